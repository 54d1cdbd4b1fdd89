"""How long a newcomer waits: from a fresh clone with empty caches to the demo's summary, and what is fetched.

Mosquitto and Python are there already; what is committed is cloned, what is not is not measured.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
MINUTES = 10.0  # what we would not want to go beyond on an ordinary network
MEGABYTES = 500.0
_LOCAL = re.compile(r"Processing (/\S+\.(?:whl|gz))")
_FETCHED = re.compile(r"Downloading (\S+\.(?:whl|gz)) \(([\d.]+) ([kM])B\)")


def main() -> None:
    """Measure, and print rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the shortest demo")
    quick = parser.parse_args().quick
    with tempfile.TemporaryDirectory(prefix="tierline-fresh-") as folder:
        print(json.dumps(measure(Path(folder), "--requests 1" if quick else ""), indent=1))


def measure(folder: Path, demo: str) -> list[dict[str, object]]:
    """Set up and run the demo in `folder`."""
    log, clone = folder / "pip.log", folder / "clone"
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"} | {
        "PIP_NO_CACHE_DIR": "1",
        "PIP_LOG": str(log),
        "TIERLINE_CACHE": str(folder / "cache"),
        "TIERLINE_STATE": str(folder / "state"),
    }

    def run(*command: str) -> float:
        started = time.monotonic()
        subprocess.run(command, cwd=clone, env=environment, stdout=sys.stderr, check=True)
        return time.monotonic() - started

    clone.mkdir()
    run("git", "clone", "--quiet", str(ROOT), ".")
    installing = run("make", "install")
    showing = run("make", "demo", f"DEMO=--no-view {demo}")
    fetched = packages(log.read_text(errors="replace"))
    cuda = [name for name in fetched if name.startswith(("nvidia", "triton", "cuda"))]
    return [
        row("minutes from a fresh clone to the demo's summary", (installing + showing) / 60, MINUTES, "min"),
        row("minutes of it that install", installing / 60, MINUTES, "min"),
        row("fetched for it: packages, weights and data", sum(fetched.values()) / 1e6, MEGABYTES, "MB"),
        row("CUDA packages among what was fetched", len(cuda), 0, "packages"),
    ]


def packages(log: str) -> dict[str, float]:
    """Return the bytes of every archive that pip fetched, or took from a folder as a mirror has it."""
    found = {Path(path).name: float(os.path.getsize(path)) for path in _LOCAL.findall(log)}
    for name, size, unit in _FETCHED.findall(log):
        found[name] = float(size) * {"k": 1e3, "M": 1e6}[unit]
    return found


def row(claim: str, value: float, reach: float, unit: str) -> dict[str, object]:
    """Return one row; there is one run, as it takes minutes."""
    return {
        "claim": claim,
        "value": value,
        "reach": reach,
        "better": "lower",
        "unit": unit,
        "spread": [value, value],
        "runs": 1,
    }


if __name__ == "__main__":
    main()
