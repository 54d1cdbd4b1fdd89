"""How often the image model answers as the unsplit one does when its activation crosses a split point coded.

`codec_agreement.py` prints rows; `--table` prints one line a split point instead, as docs/models.md has it;
`--quick` takes fifteen samples instead of 135.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

import structlog
import torch
from torch import Tensor

from tierline_codecs import decode, encode
from tierline_models import SegmentedModel, load_bundle

CODECS = ("fp16", "int8", "int8-lz4")
# The issue asks for the figures and sets no goal: these are what we would not want to fall below.
SAME_ANSWER = {"fp16": 0.99, "int8": 0.95, "int8-lz4": 0.95}
FORWARD_SECONDS = 0.05
SAMPLES = 135
QUICK_SAMPLES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """One sample across one split point in one codec."""

    same: bool  # the label is the unsplit model's
    change: float  # of the probability that changed most
    frame_bytes: int


Results = dict[tuple[int, str], list[Crossing]]  # by layer and codec


def main() -> None:
    """Measure, and print rows or the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true")
    args = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    bundle = load_bundle("image")
    model = bundle.model
    count = QUICK_SAMPLES if args.quick else SAMPLES
    samples = [sample.data for sample in bundle.samples("test", seed=0)[:count]]
    results: Results = {(layer, codec): [] for layer in range(1, len(model.blocks) + 1) for codec in CODECS}
    forward = []
    for number, data in enumerate(samples):
        print(f"\r{number + 1} of {len(samples)}", end="", file=sys.stderr)
        x = model.preprocess(data)
        forward.append(forward_seconds(model, x))
        for key, crossing in cross_everywhere(model, x):
            results[key].append(crossing)
    print(file=sys.stderr)
    print(table(results, samples) if args.table else json.dumps(rows(results, forward), indent=1))


def forward_seconds(model: SegmentedModel, x: Tensor) -> float:
    """Time the whole model once, in seconds of this thread, which no other program can stretch."""
    start = time.thread_time()
    model.unsplit(x)
    return time.thread_time() - start


def cross_everywhere(model: SegmentedModel, x: Tensor) -> Iterator[tuple[tuple[int, str], Crossing]]:
    """Send one sample across every split point in every codec."""
    last = len(model.blocks)
    whole = torch.softmax(model.unsplit(x)[0], dim=0)
    for layer in range(1, last + 1):
        x = model.run(x, layer - 1, layer)
        answers: dict[bytes, Tensor] = {}  # LZ4 loses nothing, so its activation is int8's
        for codec in CODECS:
            frame = encode(x, codec)
            y = torch.from_numpy(decode(frame))
            values = y.numpy().tobytes()
            if values not in answers:
                answers[values] = torch.softmax(model.logits(last, model.run(y, layer, last))[0], dim=0)
            answer = answers[values]
            yield (
                (layer, codec),
                Crossing(
                    same=bool(answer.argmax() == whole.argmax()),
                    change=float((answer - whole).abs().max()),
                    frame_bytes=len(frame),
                ),
            )


def same(crossings: list[Crossing]) -> float:
    """The share of unchanged answers."""
    return statistics.mean(crossing.same for crossing in crossings)


def rows(results: Results, forward: list[float]) -> list[dict[str, object]]:
    """One row a codec, at the worst of all split points, and the time of a whole pass."""
    found: list[dict[str, object]] = []
    layers = sorted({layer for layer, _ in results})
    for codec in CODECS:
        shares = [same(results[layer, codec]) for layer in layers]
        found.append(
            {
                "claim": f"image: answers unchanged by codec {codec}, worst split point",
                "value": min(shares),
                "reach": SAME_ANSWER[codec],
                "better": "higher",
                "unit": "of all",
                "spread": [min(shares), max(shares)],
                "runs": len(forward),
            }
        )
    found.append(
        {
            "claim": "image: CPU time of a whole forward pass, median",
            "value": statistics.median(forward),
            "reach": FORWARD_SECONDS,
            "better": "lower",
            "unit": "s",
            "spread": [min(forward), max(forward)],
            "runs": len(forward),
        }
    )
    return found


def table(results: Results, samples: list[bytes]) -> str:
    """One line a split point: mean bytes by codec, unchanged answers, the largest change of a probability."""
    lines = [
        f"Mean JPEG: {statistics.mean(map(len, samples)):,.0f} bytes; {len(samples)} samples.",
        "",
        "| after block | fp16 bytes | int8 bytes | int8-lz4 bytes | same answer fp16 / int8 "
        "| largest change of a probability fp16 / int8 |",
        "|---|---|---|---|---|---|",
    ]
    for layer in sorted({layer for layer, _ in results}):
        sizes = [statistics.mean(one.frame_bytes for one in results[layer, codec]) for codec in CODECS]
        half, eight = results[layer, "fp16"], results[layer, "int8"]
        cells = [
            str(layer),
            *(f"{size:,.0f}" for size in sizes),
            f"{100 * same(half):.1f} / {100 * same(eight):.1f} %",
            f"{max(one.change for one in half):.4f} / {max(one.change for one in eight):.3f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
