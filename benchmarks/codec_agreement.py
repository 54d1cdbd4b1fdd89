"""What the demo's models answer when their activation crosses a split point coded, for every codec and point.

Of the text bundle, the accuracy on test snippets; of the image bundle, that on the labelled photographs that
`TIERLINE_IMAGES` names, or where it names none, the share of answers about its own photographs, which have no
labels, that stay those of the unsplit model. What is judged is the default choice: at each split
point the smallest frame within its error budget. The other codecs are shown beside it on fewer samples;
`int8` and `int8-mask` return the values of `int8-lz4`. Prints rows; `--table` prints one line a split point
instead, as docs/models.md has it; `--plot FOLDER` draws what each codec costs at each split point; `--quick`
takes few samples.
"""

import argparse
import itertools
import json
import statistics
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog
import torch
from _default_choice import crossed, smallest
from _labelled import photographs
from torch import Tensor

from tierline_models import Bundle, Sample, SegmentedModel, load_bundle

CHOSEN = "the default choice"
CODECS = ("fp16", "int8-lz4", "step-zstd-2", "step-zstd", "step-zstd-10", "int4")
POINTS = 0.2
FORWARD_SECONDS = 0.05
# Of the image bundle, what no budget was measured on, and enough that one answer is no more than 0.2 %.
SPLITS = {"text": "test", "image": "agreement"}
SAMPLES = {"text": 2000, "image": 1000}  # there are 510 crops, though
BESIDE = {"text": 500, "image": 135}
QUICK = {"text": 40, "image": 6}
BATCH = 16

Row = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """One sample across one split point in one codec."""

    right: bool
    same: bool  # the label is the unsplit model's
    change: float  # of the probability that changed most
    frame_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """What became of a bundle's samples."""

    bundle: str
    right: list[bool]  # unsplit
    forward: list[float]  # CPU seconds of a sample, unsplit
    crossings: dict[tuple[int, str], list[Crossing]]  # by layer and codec
    chosen: dict[int, str]  # by layer, what the default choice is there
    labelled: bool  # by people; else right is what the unsplit model says

    @property
    def codecs(self) -> list[str]:
        """The codecs that were tried."""
        return list(dict.fromkeys(codec for _, codec in self.crossings))

    def lost(self, layer: int, codec: str) -> float:
        """Return the points of accuracy that a codec costs at a split point."""
        right = sum(one.right for one in self.crossings[layer, codec])
        return 100 * (sum(self.right) - right) / len(self.right)

    def changed(self, layer: int, codec: str) -> float:
        """Return the percentage of answers that it changes there."""
        return 100 * statistics.mean(not one.same for one in self.crossings[layer, codec])

    @property
    def layers(self) -> list[int]:
        """The split points."""
        return sorted({layer for layer, _ in self.crossings})


def study(name: str, count: int, codecs: Sequence[str] = (CHOSEN,)) -> Study:
    """Send so many samples of a bundle across every split point in every one of these codecs."""
    bundle = load_bundle(name)
    pictures = photographs(bundle.model.labels) if name == "image" else None
    samples = (pictures or bundle.samples(SPLITS[name], seed=0))[:count]
    crossings: dict[tuple[int, str], list[Crossing]] = {
        (at, codec): [] for at in range(1, len(bundle.model.blocks)) for codec in codecs
    }
    labelled = name == "text" or pictures is not None
    chosen = smallest(bundle)
    found = Study(bundle=name, right=[], forward=[], crossings=crossings, chosen=chosen, labelled=labelled)
    for done, (x, labels) in batches(bundle, samples):
        print(f"\r{name}: {done} of {len(samples)}", end="", file=sys.stderr)
        cross_everywhere(bundle, x, labels, found)
    print(file=sys.stderr)
    return found


def batches(
    bundle: Bundle, samples: Sequence[Sample]
) -> Iterator[tuple[int, tuple[Tensor, Sequence[str | None]]]]:
    """Yield how many samples are done, and the next of equal shape: inputs (B, ...), and their labels."""
    ready = [(bundle.model.preprocess(one.data), one.label) for one in samples]
    ready.sort(key=lambda one: tuple(one[0].shape))
    done = 0
    for _, alike in itertools.groupby(ready, key=lambda one: tuple(one[0].shape)):
        while chunk := list(itertools.islice(alike, BATCH)):
            yield done, (torch.cat([x for x, _ in chunk]), [label for _, label in chunk])
            done += len(chunk)


def cross_everywhere(bundle: Bundle, x: Tensor, labels: Sequence[str | None], found: Study) -> None:
    """Send samples across every split point in every codec, and note what becomes of each."""
    model = bundle.model
    start = time.thread_time()
    whole = answers(model, x, 0)
    found.forward.extend([(time.thread_time() - start) / len(labels)] * len(labels))
    truth = [name == label for name, label in zip(named(model, whole), labels, strict=True)]
    found.right.extend(truth)
    for layer in range(1, len(model.blocks)):
        x = model.run(x, layer - 1, layer)
        for codec in found.codecs:
            used = found.chosen[layer] if codec == CHOSEN else codec
            received, sizes = zip(*(crossed(bundle, layer, used, one) for one in x[:, None]), strict=True)
            answer = answers(model, torch.cat(received), layer)
            found.crossings[layer, codec].extend(noted(model, whole, answer, labels, sizes))


def answers(model: SegmentedModel, x: Tensor, layer: int) -> Tensor:
    """Return the probabilities (B, C) of the last exit, from an activation after `layer` on."""
    last = len(model.blocks)
    return torch.softmax(model.logits(last, model.run(x, layer, last)), dim=1)


def named(model: SegmentedModel, probabilities: Tensor) -> list[str]:
    """Return the label of each."""
    return [model.labels[int(index)] for index in probabilities.argmax(dim=1)]


def noted(
    model: SegmentedModel,
    whole: Tensor,
    answer: Tensor,
    labels: Sequence[str | None],
    sizes: Sequence[int],
) -> Iterator[Crossing]:
    """Yield what became of each sample."""
    for before, after, label, name, size in zip(
        whole, answer, labels, named(model, answer), sizes, strict=True
    ):
        yield Crossing(
            right=name == label,
            same=bool(before.argmax() == after.argmax()),
            change=float((before - after).abs().max()),
            frame_bytes=size,
        )


def row(claim: str, values: Sequence[float], value: float, reach: float, unit: str, **more: Any) -> Row:
    """Return one row of results, of which lower is better."""
    return {
        "claim": claim,
        "value": value,
        "reach": reach,
        "better": "lower",
        "unit": unit,
        "spread": [min(values), max(values)],
        "runs": len(values),
        **more,
    }


def rows(found: Study, beside: Study) -> Iterator[Row]:
    """Yield what the default choice costs at the worst of all split points, and the time of a whole pass.

    Args:
        found: of the default choice.
        beside: of all codecs, on fewer samples.
    """
    what = "accuracy" if found.labelled else "agreement with the unsplit model"
    lost = [found.lost(layer, CHOSEN) for layer in found.layers]
    claim = (
        f"{found.bundle}: points of {what} that {CHOSEN} costs at the worst split point,"
        f" {len(found.right):,} samples"
    )
    changed = {
        codec: {str(layer): one.changed(layer, codec) for layer in one.layers}
        for one in (found, beside)
        for codec in one.codecs
    }
    columns = [point_columns(found, beside, layer) for layer in found.layers]
    yield row(claim, lost, max(lost), POINTS, "points", changed=changed, table=columns)
    if found.bundle == "image":
        claim = f"image: CPU time of a whole forward pass of a sample, {BATCH} at a time, median"
        yield row(claim, found.forward, statistics.median(found.forward), FORWARD_SECONDS, "s")


def point_columns(found: Study, beside: Study, layer: int) -> dict[str, str]:
    """Return one line of the table in docs/codecs.md: points lost, and in brackets labels changed, in %."""
    crossings = found.crossings[layer, CHOSEN]
    codecs = {codec: f"{beside.lost(layer, codec):.2g}" for codec in beside.codecs}
    return {
        "split": f"{found.bundle}, after block {layer}",
        CHOSEN: f"`{found.chosen[layer]}`",
        "bytes": f"{statistics.mean(one.frame_bytes for one in crossings):,.0f}",
        "costs": f"{found.lost(layer, CHOSEN):.2g} ({found.changed(layer, CHOSEN):.2g})",
        **codecs,
    }


def table(found: Study) -> str:
    """One line a split point: mean bytes by codec, unchanged answers, the largest change of a probability."""
    shown = found.codecs
    lines = [
        f"{len(found.right)} samples.",
        "",
        f"| after block | {' | '.join(f'{codec} bytes' for codec in shown)} "
        f"| same answer {' / '.join(shown)} "
        f"| largest change of a probability {' / '.join(shown)} |",
        "|---" * (len(shown) + 3) + "|",
    ]
    for layer in found.layers:
        crossed = [found.crossings[layer, codec] for codec in shown]
        cells = [
            str(layer),
            *(f"{statistics.mean(one.frame_bytes for one in each):,.0f}" for each in crossed),
            " / ".join(f"{100 - found.changed(layer, codec):.1f}" for codec in shown) + " %",
            " / ".join(f"{max(one.change for one in each):.4f}" for each in crossed),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def plot(folder: Path, rows: Sequence[Row]) -> None:
    """Draw what each codec changes at each split point."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "tierline"
    from matplotlib import pyplot as plt

    figure, both = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axes, bundle in zip(both, SAMPLES, strict=True):
        (changed,) = (one["changed"] for one in rows if one["claim"].startswith(bundle) and "changed" in one)
        for codec, shares in changed.items():
            style = "k--" if codec == CHOSEN else "o-"
            axes.plot([int(at) for at in shares], list(shares.values()), style, label=codec)
        axes.set(title=bundle, xlabel="split after block", ylabel="answers changed, %")
    both[0].legend()
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "codecs-accuracy.svg", metadata={"Date": None})


def main() -> None:
    """Measure, and print rows or the table; or draw the rows that were kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    if args.plot:
        kept = Path(__file__).parent / "results" / "codec_agreement.json"
        plot(args.plot, json.loads(kept.read_text()))
        return
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    if args.table:
        print(table(study("image", QUICK["image"] if args.quick else BESIDE["image"], ("fp16", "int8"))))
        return
    found: list[Row] = []
    for name in SAMPLES:
        counts = (QUICK[name], QUICK[name]) if args.quick else (SAMPLES[name], BESIDE[name])
        found += rows(study(name, counts[0]), study(name, counts[1], CODECS))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
