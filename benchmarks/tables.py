"""Writes the documentation's tables of figures from the rows in `benchmarks/results`.

A table stands between `<!-- rows: NAME -->` and `<!-- end -->` and is replaced whole.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from tierline.bench import met

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "docs")
_TABLE = re.compile(r"(<!-- rows: (?P<name>[a-z_]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def rendered(text: str, results: Path) -> str:
    """Return a document with every table written anew.

    Args:
        text: the document.
        results: folder of the rows.
    """

    def table(found: re.Match[str]) -> str:
        rows = json.loads((results / f"{found['name']}.json").read_text())
        return f"{found[1]}{_table(rows)}{found[3]}"

    return _TABLE.sub(table, text)


def documents() -> list[Path]:
    """Return every document that may hold a table."""
    found = (ROOT / name for name in DOCUMENTS)
    return [path for one in found for path in ([one] if one.is_file() else sorted(one.glob("*.md")))]


def _table(rows: list[dict[str, Any]]) -> str:
    lines = ["| claim | measured | spread | of | to reach | |", "|---|---|---|---|---|---|"]
    for row in rows:
        low, high = row["spread"]
        cells = (
            row["claim"],
            f"{row['value']:.4g} {row['unit']}".rstrip(),
            "" if low == high else f"{low:.4g} to {high:.4g}",
            str(row["runs"]),
            f"{'≥' if row['better'] == 'higher' else '≤'} {row['reach']:.4g}",
            "met" if met(row) else "falls short",
        )
        lines.append(f"| {' | '.join(cells)} |")
    if rows:
        lines.append(f"\n`{rows[0]['command']}` on {rows[0]['machine']}, {rows[0]['date']}.")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write every document whose tables have changed; with `--check` only name them, and fail if any."""
    check = "--check" in sys.argv[1:]
    changed = False
    for path in documents():
        before = path.read_text()
        after = rendered(before, ROOT / "benchmarks" / "results")
        if after != before:
            changed = True
            print(f"{'out of date:' if check else 'wrote'} {path.relative_to(ROOT)}")
            if not check:
                path.write_text(after)
    return 1 if check and changed else 0


if __name__ == "__main__":
    sys.exit(main())
