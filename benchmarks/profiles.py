"""How well a profile that ships, scaled in a second at the start, says what measuring all blocks would say.

Both are measured in turns, by time on a core. The error is the mean over blocks of how far seconds are off.
The other class of devices is this one computing in double precision: some blocks slow down more than others.
"""

import argparse
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tierline_models import Bundle, Subject, device_class, load_bundle, measure_device, scale, subject_of

ROUNDS, RUNS = 5, 60
QUICK_ROUNDS, QUICK_RUNS = 2, 20


def main() -> None:
    """Measure, and print rows, or null where nothing ships for this class of devices."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    rounds, runs = (QUICK_ROUNDS, QUICK_RUNS) if quick else (ROUNDS, RUNS)
    bundles = {name: load_bundle(name) for name in ("text", "image")}
    known = {
        name: one for name, one in bundles.items() if one.profile and device_class() in one.profile.devices
    }
    rows = [row for one in known.values() for row in errors(one, rounds, runs)]
    rows += [row for one in known.values() for row in errors_elsewhere(one, rounds, runs)]
    print(json.dumps(rows or None))


def errors(bundle: Bundle, rounds: int, runs: int) -> list[dict[str, Any]]:
    """The error of a block's seconds on a machine of the profile's class, and how long scaling took."""
    off, took = measured(bundle, subject_of(bundle), rounds, runs)
    claim = f"{bundle.name}: error of a block's seconds, profile of its class scaled, beside all measured"
    return [
        _row(claim, off, 0.1, "of it"),
        _row(f"{bundle.name}: scaling the profile at a start", took, 3.0, "s"),
    ]


def errors_elsewhere(bundle: Bundle, rounds: int, runs: int) -> list[dict[str, Any]]:
    """The same on a machine of another class; leaves the bundle's weights in double precision."""
    bundle.model.blocks.double()
    for leave in bundle.model.exits.values():
        leave.head.double()
    subject = subject_of(bundle)
    wide = {name: one.double() if one.is_floating_point() else one for name, one in subject.inputs.items()}
    off, _ = measured(bundle, replace(subject, inputs=wide), rounds, runs)
    claim = f"{bundle.name}: error of a block's seconds, profile of another class scaled, beside all measured"
    return [_row(claim, off, 0.25, "of it")]


def measured(bundle: Bundle, subject: Subject, rounds: int, runs: int) -> tuple[list[float], list[float]]:
    """By round: the error, and the seconds that scaling took."""
    assert bundle.profile is not None
    shipped = bundle.profile.devices[device_class()]
    off, took = [], []
    for _ in range(rounds):
        scaled = scale(shipped, subject, clock=time.thread_time)
        full = measure_device(subject, [subject.inputs], runs=runs).sizes[0].quantile(0.5)
        pairs = zip(scaled.block_seconds, full, strict=True)
        off.append(statistics.mean(abs(ours / theirs - 1) for ours, theirs in pairs))
        took.append(scaled.seconds)
    return off, took


def _row(claim: str, values: Sequence[float], reach: float, unit: str) -> dict[str, Any]:
    return {
        "claim": claim,
        "value": statistics.median(values),
        "reach": reach,
        "better": "lower",
        "unit": unit,
        "spread": [min(values), max(values)],
        "runs": len(values),
    }


if __name__ == "__main__":
    main()
