"""How often each exit of the text workload is right on the test split, and how well it knows it."""

import argparse
import json
import math
import subprocess
import sys

QUICK_SAMPLES = 300
# What a LoRA of the same size reached when it was tried by hand, less one standard error of 0.7 points.
REACH = {2: 82.7, 4: 86.0, 6: 86.2}  # %
CALIBRATED = 0.05


def main() -> None:
    """Measure, and print rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    few = ["--samples", str(QUICK_SAMPLES)] if parser.parse_args().quick else []
    done = subprocess.run(
        [sys.executable, "-m", "tierline_models.report_exits", "--json", *few],
        stdout=subprocess.PIPE,
        check=True,
    )
    exits = json.loads(done.stdout)
    print(json.dumps([row for one in exits for row in (accuracy(one), calibration(one))], indent=1))


def accuracy(one: dict[str, float]) -> dict[str, object]:
    """Return the row of one exit's accuracy; its spread is one standard error."""
    right = 100 * one["accuracy"]
    error = math.sqrt(right * (100 - right) / one["samples"])
    return {
        "claim": f"text: right answers of the exit after block {one['layer']:.0f}, test split",
        "value": right,
        "reach": REACH[int(one["layer"])],
        "better": "higher",
        "unit": "%",
        "spread": [right - error, right + error],
        "runs": one["samples"],
    }


def calibration(one: dict[str, float]) -> dict[str, object]:
    """Return the row of how far an exit's confidence is from how often it is right, in ten bins."""
    off = one["calibration_error"]
    return {
        "claim": f"text: calibration error of the exit after block {one['layer']:.0f}, test split",
        "value": off,
        "reach": CALIBRATED,
        "better": "lower",
        "unit": "",
        "spread": [off, off],
        "runs": one["samples"],
    }


if __name__ == "__main__":
    main()
