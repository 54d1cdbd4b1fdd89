"""What going on from one exit to another is expected to mend: a regression for every way to stand there."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from tierline_cartography.analysis.said import Float
from tierline_cartography.analysis.stopping import FOLDS, RIDGE
from tierline_models import gain_features

Leg = tuple[int | None, int, int]
"""Places among the exits: the one before on a sample's way, the one that has just spoken, the last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SaidOnce:
    """What X exits say of N samples, calibrated."""

    layers: tuple[int, ...]
    probabilities: Float  # (X, N, C)
    answers: NDArray[np.intp]  # (X, N)
    confidence: Float  # (X, N)
    right: Float  # (X, N), 0 or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LegGain:
    """The gain of going on along one leg: its weights, and what is expected of each sample."""

    weights: Float  # (F + 1,)
    error: float  # typical, of what is expected
    expected: Float  # (N,), as nodes expect it, which decides who goes
    unseen: Float  # (N,), by fits that left the sample out, which says what that costs


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """All of them, and how close below what is wanted a gain still goes on."""

    by_leg: Mapping[Leg, LegGain]
    caution: float


def _legs(exits: int) -> list[Leg]:
    """Every way to stand at an exit with more of the way to go."""
    ends = combinations(range(exits), 2)
    return [(before, here, end) for here, end in ends for before in (None, *range(here))]


def _features(said: SaidOnce, leg: Leg) -> Float:
    """(N, F), by the very function that nodes use."""
    before, here, _ = leg
    rows = []
    for sample, answer in enumerate(said.answers[here]):
        past = None if before is None else 1 - float(said.probabilities[before, sample, answer])
        rows.append(gain_features(1 - float(said.confidence[here, sample]), past))
    return np.array(rows)


def fit_gains(said: SaidOnce) -> Gains:
    """Right at the end less right here, regressed on what is known here."""
    found = {
        leg: _fit_gain(_features(said, leg), said.right[leg[2]] - said.right[leg[1]])
        for leg in _legs(len(said.layers))
    }
    return Gains(by_leg=found, caution=float(np.median([one.error for one in found.values()] or [0.0])))


def _fit_gain(features: Float, gained: Float) -> LegGain:
    weights, error = _ridge(features, gained)
    fold, unseen = np.arange(len(gained)) % FOLDS, np.empty_like(gained)
    for one in range(FOLDS):
        left_out, _ = _ridge(features[fold != one], gained[fold != one])
        unseen[fold == one] = _expected(features[fold == one], left_out)
    return LegGain(weights=weights, error=error, expected=_expected(features, weights), unseen=unseen)


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


def _expected(features: Float, weights: Float) -> Float:
    found: Float = features @ weights[:-1] + weights[-1]
    return found
