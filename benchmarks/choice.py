"""What the codec that is chosen at each split point of the text model costs in answers, and saves in time.

At each split point the smallest frame within the error budget is taken, as on a slow link, on samples of the
split `test`, which no budget was measured on. Times are predicted by `choose` from this machine's own.
"""

import argparse
import json
import sys
from collections import Counter
from typing import Any

import structlog
from _default_choice import crossed, smallest

from tierline_broker import CodecCost
from tierline_codecs import CodecSeconds, Device, choose, statistics_from
from tierline_models import Bundle, load_bundle
from tierline_nodes import codec_costs

SAMPLES, QUICK_SAMPLES = 1000, 100
CHANGED = 1.0  # % of the labels, which the budgets are made for
LOST = 0.2  # points of accuracy
LINKS = {1: 125e3, 100: 12.5e6, 1000: 125e6}  # Mbit/s: bytes a second
SOONER = {1: 0.3, 100: 0.4, 1000: 1.0}  # of the time that raw takes

Row = dict[str, Any]


def main() -> None:
    """Measure, and print rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    count = QUICK_SAMPLES if parser.parse_args().quick else SAMPLES
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    bundle = load_bundle("text")
    print(json.dumps([*answer_rows(bundle, count), *time_rows(bundle)], indent=1))


def answer_rows(bundle: Bundle, count: int) -> list[Row]:
    """Return how many labels change at the worst split point, and how much accuracy goes."""
    model, chosen = bundle.model, smallest(bundle)
    last, changed, lost = len(model.blocks), Counter[int](), Counter[int]()
    samples = bundle.samples("test", seed=0)[:count]
    for number, sample in enumerate(samples):
        if number % 100 == 0:
            print(f"{number} of {len(samples)} samples", file=sys.stderr)
        x = model.preprocess(sample.data)
        whole = model.exit(last, model.run(x, 0, last)).label
        for layer in range(1, last):
            x = model.run(x, layer - 1, layer)
            label = model.exit(
                last, model.run(crossed(bundle, layer, chosen[layer], x)[0], layer, last)
            ).label
            changed[layer] += label != whole
            lost[layer] += (whole == sample.label) - (label == sample.label)
    return [
        share_row("labels changed", changed, len(samples), CHANGED, chosen),
        share_row("points of accuracy lost", lost, len(samples), LOST, chosen),
    ]


def share_row(what: str, counts: Counter[int], samples: int, reach: float, chosen: dict[int, str]) -> Row:
    """Return one row of shares, in percent."""
    shares = [100 * counts[layer] / samples for layer in chosen]
    return {
        "claim": f"text: {what} by the smallest frame within budget, worst split point, {samples} samples",
        "value": max(shares),
        "reach": reach,
        "better": "lower",
        "unit": "points",
        "spread": [min(shares), max(shares)],
        "runs": len(shares),
    }


def time_rows(bundle: Bundle) -> list[Row]:
    """Return how long the chosen codec takes, predicted, against raw, on links of several speeds."""
    costs = {name: seconds_of(cost) for name, cost in codec_costs(bundle, 1.0).items()}
    device = Device(sender=costs, receiver=costs)
    rows = []
    for megabits, rate in LINKS.items():
        ratios = []
        for budget in bundle.codings.budgets:
            frames = {codec: one.frame_bytes for codec, one in budget.codecs.items()}
            errors = {codec: one.error for codec, one in budget.codecs.items()}
            elements = frames["raw"] // 4
            choice = choose(rate, device, statistics_from(elements, frames, errors), budget.error_budget)
            raw = choose(rate, device, statistics_from(elements, {"raw": frames["raw"]}, {}), 0.0)
            ratios.append(choice.seconds / raw.seconds)
        rows.append(
            {
                "claim": f"text: chosen codec, encode, wire and decode over those of raw, {megabits} Mbit/s",
                "value": max(ratios),
                "reach": SOONER[megabits],
                "better": "lower",
                "unit": "times",
                "spread": [min(ratios), max(ratios)],
                "runs": len(ratios),
            }
        )
    return rows


def seconds_of(cost: CodecCost) -> CodecSeconds:
    """Return a profile's record as the choice takes it."""
    return CodecSeconds(**cost.model_dump())


if __name__ == "__main__":
    main()
