"""How good each exit of the text workload is: `python -m tierline_models.report_exits`."""

import argparse
import json
import sys
from dataclasses import asdict

import structlog

from tierline_models.catalogue import load_bundle
from tierline_models.errors import ModelError
from tierline_models.measure import ExitReport, report_exits


def main() -> int:
    """Print one row per exit, computed now, one sample at a time."""
    parser = argparse.ArgumentParser(prog="python -m tierline_models.report_exits", description=__doc__)
    parser.add_argument("--split", choices=("train", "validation", "test"), default="test")
    parser.add_argument("--samples", type=int, help="at most so many (default: all)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    try:
        bundle = load_bundle("text")
        rows = report_exits(bundle.model, bundle.samples(arguments.split, seed=0)[: arguments.samples])
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    if arguments.json:
        sys.stdout.write(json.dumps([asdict(row) for row in rows]) + "\n")
    else:
        sys.stdout.write(_table(rows))
    return 0


def _table(rows: list[ExitReport]) -> str:
    lines = [f"{'exit':>4} {'samples':>8} {'accuracy':>9} {'calibration error':>18}"]
    lines += [
        f"{row.layer:>4} {row.samples:>8} {row.accuracy:>9.1%} {row.calibration_error:>18.3f}" for row in rows
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
