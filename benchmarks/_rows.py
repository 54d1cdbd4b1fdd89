"""A benchmark's rows, and what it tells while it measures."""

import sys
from statistics import mean
from typing import Any

Row = dict[str, Any]


def say(line: str) -> None:
    """Tell how it goes."""
    print(line, file=sys.stderr, flush=True)


def row(claim: str, values: list[float], *, reach: float, better: str, unit: str = "", **more: Any) -> Row:
    """Return one row; its value is the mean."""
    value = float(mean(values))
    return {
        "claim": claim,
        "value": value,
        "reach": reach,
        "better": better,
        "unit": unit,
        "spread": [min(float(min(values)), value), max(float(max(values)), value)],
        "runs": len(values),
        **more,
    }
