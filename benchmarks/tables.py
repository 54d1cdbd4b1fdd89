"""Writes the documentation's tables of figures from the rows in `benchmarks/results`.

A table stands between `<!-- rows: NAME -->` and `<!-- end -->` and is replaced whole. Between
`<!-- peers: NAME -->` and `<!-- end -->` stands one of the rows that compare with others, size by size, and
between `<!-- table: NAME -->` and `<!-- end -->` the columns that rows bring as their `table`. `curves` are
ways to choose plans by load, `points` settings by what comes of them.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

from tierline.bench import met

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "docs")
_TABLE = re.compile(
    r"(<!-- (?P<kind>rows|peers|table|curves|points): (?P<name>[a-z_]+) -->\n).*?(<!-- end -->)", re.DOTALL
)


def rendered(text: str, results: Path) -> str:
    """Return a document with every table written anew.

    Args:
        text: the document.
        results: folder of the rows.
    """

    def table(found: re.Match[str]) -> str:
        rows = json.loads((results / f"{found['name']}.json").read_text())
        return f"{found[1]}{_made(found['kind'], rows)}{found[4]}"

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
        lines.append(f"\n{_circumstances(rows[0])}")
    return "\n".join(lines) + "\n"


def _peers(rows: list[dict[str, Any]]) -> str:
    compared = [row for row in rows if "peer" in row]
    sizes = list(compared[0]["sizes"])
    lines = [
        f"| peer | ours | {' | '.join(sizes)} | error theirs / ours, {sizes[0]} | it checks |",
        "|---" * (len(sizes) + 4) + "|",
    ]
    for row in compared:
        found = row["sizes"]
        errors = found[sizes[0]]
        cells = (
            row["peer"],
            f"`{row['ours']}`",
            *(f"{found[size]['times']:.2g} ({found[size]['times_without_checksum']:.2g})" for size in sizes),
            f"{100 * errors['their_error']:.2g} / {100 * errors['our_error']:.2g} %",
            row["checks"],
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _made(kind: str, rows: list[dict[str, Any]]) -> str:
    made = {"rows": _table, "peers": _peers, "table": _own, "curves": _curves, "points": _points}
    return made[kind](rows)


def _own(rows: list[dict[str, Any]]) -> str:
    """The columns that the rows bring, one line or several each."""
    found = [row["table"] for row in rows if "table" in row]
    tables = [one for own in found for one in (own if isinstance(own, list) else [own])]
    if not tables:
        return ""
    lines = [f"| {' | '.join(tables[0])} |", "|---" * len(tables[0]) + "|"]
    lines += [f"| {' | '.join(table.values())} |" for table in tables]
    return "\n".join([*lines, "", _circumstances(rows[0])]) + "\n"


def _curves(rows: list[dict[str, Any]]) -> str:
    """Devices in time and cloud work of each way to choose, by load."""
    curves = {_way(row["claim"]): row["curve"] for row in rows if "curve" in row}
    ways = sorted(curves, key=lambda name: (name != "fleet", name))
    lines = [f"| way | {' | '.join(f'load {load:g}' for load, _, _ in curves['fleet'])} |"]
    lines.append("|---" * (len(curves["fleet"]) + 1) + "|")
    for way in ways:
        cells = (f"{kept:.1f} % at {work:.1f} %" for _, kept, work in curves[way])
        lines.append(f"| {way} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _way(claim: str) -> str:
    return claim.partition("in time than under ")[2].rpartition(",")[0] or "fleet"


def _points(rows: list[dict[str, Any]]) -> str:
    """What comes of each setting, one line each."""
    found = [
        (row["claim"].rpartition(", ")[2], name, point)
        for row in rows
        for name, point in row.get("points", {}).items()
    ]
    lines = [f"| | | {' | '.join(found[0][2])} |", "|---" * (len(found[0][2]) + 2) + "|"]
    for where, name, point in found:
        lines.append(f"| {where} | {name} | {' | '.join(f'{value:.4g}' for value in point.values())} |")
    return "\n".join(lines) + "\n"


def _circumstances(row: dict[str, Any]) -> str:
    return f"`{row['command']}` on {row['machine']}, {row['date']}."


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
