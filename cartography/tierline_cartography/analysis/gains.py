"""Our rule: go on only where that is expected to mend enough, by a regression for every way to stand there.

It is fitted to one model, as a bundle holds one, and nodes route by these very weights. A tenth of the gain
is what the labels tell, right at the end less right here; the rest is what the end itself holds, whose
calibrated word varies several times less from sample to sample. A sample that depth makes worse
stays, however unsure its exit is; one whose exits contradict each other goes on, however sure the later one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tierline_cartography.analysis.said import Float, Said, blend
from tierline_models import gain_features

RIDGE = 50.0  # samples' worth of pull towards no effect
FOLDS = 5
Leg = tuple[int | None, int, int]
"""Places among the exits: the one before on a sample's way, the one that has just spoken, the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidOnce:
    """What X exits of one model say of N samples, calibrated."""

    layers: tuple[int, ...]
    probabilities: Float  # (X, N, C)
    answers: NDArray[np.intp]  # (X, N)
    confidence: Float  # (X, N)
    right: Float  # (X, N), see Said.right


@dataclass(frozen=True, slots=True, kw_only=True)
class LegGain:
    """The gain of going on along one leg: its weights, and what is expected of each sample."""

    weights: Float  # (F + 1,)
    error: float  # typical, of what is expected
    expected: Float  # (N,), as nodes expect it, which decides who goes
    unseen: Float  # (N,), the same by fits that left the sample out
    forgone: Float  # (N,), by such fits to labels alone, which says what it costs to leave here


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """All of them, and how close below what is wanted a gain still goes on."""

    by_leg: Mapping[Leg, LegGain]
    caution: float


def each_model(said: Said) -> list[SaidOnce]:
    """What each seed's model says, by itself."""
    found = zip(said.probabilities, said.prediction, said.confidence, said.right, strict=True)
    return [
        SaidOnce(
            layers=said.exits,
            probabilities=probabilities,
            answers=answers,
            confidence=confidence,
            right=right,
        )
        for probabilities, answers, confidence, right in found
    ]


def fit_gains(said: SaidOnce) -> Gains:
    """Of every way to stand at an exit with more of the way to go."""
    ends = combinations(range(len(said.layers)), 2)
    legs: list[Leg] = [(before, here, end) for here, end in ends for before in (None, *range(here))]
    found = {leg: fit_leg(said, leg) for leg in legs}
    return Gains(by_leg=found, caution=float(np.median([one.error for one in found.values()] or [0.0])))


def legs_along(chain: Sequence[int]) -> list[Leg]:
    """Where a sample stands that goes from exit to exit of a chain."""
    return [(chain[place - 1] if place else None, here, chain[-1]) for place, here in enumerate(chain[:-1])]


def fit_leg(said: SaidOnce, leg: Leg) -> LegGain:
    """What the end gains on this exit, regressed on what is known here."""
    features, told, held = _features(said, leg), _told(said, leg), _held(said, leg)
    weights, error = _ridge(features, blend(told, held))
    return LegGain(
        weights=weights,
        error=error,
        expected=_linear(features, weights),
        unseen=_left_out(features, blend(told, held)),
        forgone=_left_out(features, told),
    )


def _left_out(features: Float, gained: Float) -> Float:
    """(N,): expected of each sample by a fit to the other folds."""
    fold, found = np.arange(len(gained)) % FOLDS, np.empty_like(gained)
    for one in range(FOLDS):
        weights, _ = _ridge(features[fold != one], gained[fold != one])
        found[fold == one] = _linear(features[fold == one], weights)
    return found


def expected_gain(said: SaidOnce, leg: Leg, weights: Float) -> Float:
    """(N,): what a fit expects of samples, as nodes expect it."""
    return _linear(_features(said, leg), weights)


def _features(said: SaidOnce, leg: Leg) -> Float:
    """(N, F), by the very function that nodes use."""
    before, here, _ = leg
    doubt = 1 - np.asarray(said.confidence[here], dtype=np.float64)
    past = None if before is None else 1 - _given(said, before, here)
    return np.stack(gain_features(doubt, past), -1)


def _told(said: SaidOnce, leg: Leg) -> Float:
    """(N,): right at the end less right here."""
    _, here, end = leg
    found: Float = said.right[end] - said.right[here]
    return found


def _held(said: SaidOnce, leg: Leg) -> Float:
    """(N,): what the end gives to its own answer less what it gives to the one here."""
    _, here, end = leg
    found: Float = said.confidence[end] - _given(said, end, here)
    return found


def _given(said: SaidOnce, place: int, answer: int) -> NDArray[np.float64]:
    """(N,): what one exit gives to another's answer."""
    asked = said.answers[answer][:, None]
    return np.take_along_axis(said.probabilities[place], asked, 1)[:, 0].astype(np.float64)


def _ridge(features: Float, gained: Float) -> tuple[Float, float]:
    """Weights of the features (N, F) as they are, and the typical standard error of what they expect."""
    centre, spread = features.mean(0), features.std(0) + 1e-9
    design = np.concatenate([(features - centre) / spread, np.ones((len(features), 1))], 1)
    pull = RIDGE * np.eye(design.shape[1])
    pull[-1, -1] = 0.0
    inverse = np.linalg.inv(design.T @ design + pull)
    scaled = inverse @ design.T @ gained
    residual = float(np.var(gained - design @ scaled))
    leverage = float(np.einsum("nf,fg,ng->n", design, inverse, design).mean())
    weights = np.append(scaled[:-1] / spread, scaled[-1] - (scaled[:-1] * centre / spread).sum())
    return weights, float(np.sqrt(residual * leverage))


def _linear(features: Float, weights: Float) -> Float:
    found: Float = features @ weights[:-1] + weights[-1]
    return found
