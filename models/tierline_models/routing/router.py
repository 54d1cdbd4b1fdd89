"""What a sample looks like at an exit: calibrated confidence, pool, and what going on is expected to mend.

Everything here is in the path of every sample on the smallest device: a few numbers, no arrays but logits.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tierline_models.routing.cartography import Cartography, ExitChart

Doubt = TypeVar("Doubt", float, NDArray[np.float64])
"""Of one sample on a node, or of many while a rule is fitted: the same arithmetic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What an exit said: its layer, and its logits as they are."""

    layer: int
    logits: Sequence[float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What is known of a sample once an exit has spoken.

    Attributes:
        confidence: calibrated.
        pool: `easy`, `medium` or `hard`, by bands of that confidence.
        gain: expected change of being right by going on to where the route ends; 0 there.
        claimed: what the exit before gave to its own answer; None without one.
        granted: what this exit gives to that answer; where both are calibrated these are alike on average.
    """

    confidence: float
    pool: str
    gain: float
    claimed: float | None = None
    granted: float | None = None


def judge(found: Cartography, said: Spoken, before: Spoken | None, end: int) -> Judged | None:
    """Judge a sample; None where the cartography does not know the exit.

    Args:
        found: of the bundle.
        said: by the exit that has just spoken.
        before: by the last exit on the sample's way before it.
        end: the exit at which its route ends.
    """
    chart = found.at(said.layer)
    if chart is None:
        return None
    mine = probabilities(said.logits, chart.temperature)
    answer = int(mine.argmax())
    confidence = min(1.0, float(mine[answer]))
    past = None if before is None else found.at(before.layer)
    if past is None or before is None or len(before.logits) != len(said.logits) or past.layer >= chart.layer:
        past = None
    doubt_before, claimed, granted = None, None, None
    if past is not None and before is not None:
        theirs = probabilities(before.logits, past.temperature)
        doubt_before, claimed = 1 - float(theirs[answer]), min(1.0, float(theirs.max()))
        granted = min(1.0, float(mine[int(theirs.argmax())]))
    leg = found.leg(None if past is None else past.layer, chart.layer, end)
    gain = 0.0 if leg is None else expected(leg.weights, gain_features(1 - confidence, doubt_before))
    return Judged(
        confidence=confidence,
        pool=pool_at(chart, confidence),
        gain=min(1.0, max(-1.0, gain)),
        claimed=claimed,
        granted=granted,
    )


def probabilities(logits: Sequence[float], temperature: float) -> NDArray[np.float64]:
    """(C,) calibrated."""
    scaled = np.asarray(logits, dtype=np.float64) / temperature
    grown = np.exp(scaled - scaled.max())
    found: NDArray[np.float64] = grown / grown.sum()
    return found


def gain_features(doubt: Doubt, before: Doubt | None) -> tuple[Doubt, ...]:
    """What the gain is linear in, in the order of `FEATURES`.

    All but what is added vanishes where an exit is sure and the one before it was: there is nothing to mend.

    Args:
        doubt: 1 less what the exit gives to its answer.
        before: 1 less what the exit before gives to the same answer; None without one. Unsure is not the same
            as contradicted.
    """
    earlier = 0 * doubt if before is None else before
    return (doubt, doubt**2, earlier, doubt * earlier)


def expected(weights: Sequence[float], found: Sequence[float]) -> float:
    """The gain."""
    return weights[-1] + sum(weight * one for weight, one in zip(weights[:-1], found, strict=True))


def pool_at(chart: ExitChart, confidence: float) -> str:
    """The band into which a calibrated confidence falls."""
    if confidence >= chart.easy:
        return "easy"
    return "medium" if confidence >= chart.medium else "hard"
