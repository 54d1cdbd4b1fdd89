"""Fit a bundle's cartography: ask every exit about some inputs, then chart what they say."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from tierline_cartography.analysis.charting import chart, check_counts
from tierline_cartography.analysis.cost import Prices
from tierline_cartography.analysis.said import UNLABELLED, Float
from tierline_cartography.errors import DataError
from tierline_models import Bundle, Cartography, Sample, ServedModel


def chart_bundle(
    bundle: Bundle,
    samples: Sequence[Sample],
    *,
    made: Mapping[str, str],
    prices: Prices | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> Cartography:
    """Fit what a bundle's nodes route by; one pass over the samples, one at a time as a node has them.

    Args:
        bundle: whole, all its blocks in memory.
        samples: which nothing was trained on, all labelled or none. Without labels what the last exit holds
            stands in for them, under the temperatures of the cartography that the bundle has.
        made: by which command, for people.
        prices: see `chart`.
        report: told how many samples are done.

    Raises:
        DataError: a sample has no label that the model knows while others have one, or none has and the
            bundle's exits were never calibrated.
        PoolError: there are too few samples, or too many exits.
    """
    exits = tuple(bundle.model.exits)
    if any(one.label is not None for one in samples):
        labels, scale = _labels(bundle.model, samples), None
    else:
        labels, scale = np.full(len(samples), UNLABELLED), _temperatures(bundle)
    check_counts(len(samples), len(exits))
    logits: list[list[tuple[float, ...]]] = []
    for done, sample in enumerate(samples, start=1):
        logits.append(_asked(bundle.model, exits, sample))
        report(done)
    said: Float = np.array(logits, dtype=np.float64).transpose(1, 0, 2)  # (X, N, C)
    return chart(said, labels, exits, made=made, temperatures=scale, prices=prices)


def _temperatures(bundle: Bundle) -> list[float]:
    """Of all exits, as they were calibrated last."""
    if bundle.cartography is None:
        raise DataError(
            "the inputs have no labels, and this bundle's exits were never calibrated: "
            f"fit {bundle.name} to labelled inputs once, then inputs without labels will do"
        )
    return [one.temperature for one in bundle.cartography.exits]


def _labels(model: ServedModel, samples: Sequence[Sample]) -> NDArray[np.int64]:
    known = {label: number for number, label in enumerate(model.labels)}
    for number, sample in enumerate(samples, start=1):
        if sample.label is None:
            raise DataError(f"sample {number} has no label while others have one; label all of them, or none")
        if sample.label not in known:
            some = ", ".join(model.labels[:10])
            raise DataError(f"sample {number} is labelled {sample.label!r:.60}; this model knows {some}")
    return np.array([known[str(sample.label)] for sample in samples], dtype=np.int64)


def _asked(model: ServedModel, exits: Sequence[int], sample: Sample) -> list[tuple[float, ...]]:
    """What each exit says of one sample."""
    carried, layer, found = model.preprocess(sample.data), 0, []
    for leave in exits:
        carried, layer = model.run(carried, layer, leave), leave
        found.append(model.exit(leave, carried).logits)
    return found
