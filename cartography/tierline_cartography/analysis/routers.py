"""Routers: from what is known of a new sample to a pool, and how clear the case is."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tierline_cartography.analysis.pools import EASY, HARD, MEDIUM
from tierline_cartography.analysis.said import Float
from tierline_cartography.errors import PoolError

Routed = tuple[NDArray[np.intp], Float]
"""Pools (N,) and margins (N,), 0 for a tie, 1 for no doubt."""


class Router(Protocol):
    """Says where samples belong."""

    def route(self, features: Float) -> Routed:
        """Features (N, F) to pools and margins."""


@dataclass(frozen=True, slots=True)
class CentroidRouter:
    """The pool whose centroid is nearest, in standardised features, as DIMEC-DC routes before layer 1.

    The same on hidden states costs nothing after the mobile's blocks.
    """

    centre: Float  # (F,)
    spread: Float  # (F,)
    centroids: Float  # (3, F)

    def route(self, features: Float) -> Routed:
        """The margin is (d2 - d1) / (d2 + d1) of the two nearest."""
        scaled = (features - self.centre) / self.spread
        distances = np.linalg.norm(scaled[:, None] - self.centroids, axis=-1)  # (N, 3)
        nearest = np.sort(distances, 1)
        margin = (nearest[:, 1] - nearest[:, 0]) / np.maximum(nearest[:, 1] + nearest[:, 0], 1e-12)
        return distances.argmin(1), margin


def fit_centroids(features: Float, pools: NDArray[np.intp]) -> CentroidRouter:
    """The mean of each pool's features (N, F); raises PoolError if a pool is empty."""
    if set(np.unique(pools)) != {EASY, MEDIUM, HARD}:
        raise PoolError("a pool is empty, so it has no centroid; find other thresholds")
    centre, spread = features.mean(0), features.std(0) + 1e-9
    scaled = (features - centre) / spread
    return CentroidRouter(centre, spread, np.stack([scaled[pools == pool].mean(0) for pool in range(3)]))


@dataclass(frozen=True, slots=True)
class ConfidenceRouter:
    """By the calibrated confidence of the first exit: bands of it are the pools."""

    easy_from: float
    hard_below: float

    def route(self, features: Float) -> Routed:
        """Confidences (N, 1); the margin is the distance to the next band's end."""
        confidence = features[:, 0]
        pools = np.where(
            confidence >= self.easy_from, EASY, np.where(confidence < self.hard_below, HARD, MEDIUM)
        )
        ends = np.array([self.easy_from, self.hard_below])
        return pools, np.abs(confidence[:, None] - ends).min(1)


@dataclass(frozen=True, slots=True)
class GainRouter:
    """By what depth is expected to mend, on the edge and in the cloud: a ridge regression on any features.

    What depth will not mend is easy, however unsure its exit is.
    """

    centre: Float  # (F,)
    spread: Float  # (F,)
    weights: Float  # (F + 1, 2): to the edge, to the cloud; the intercept last
    prices: tuple[float, float]  # of going there, in shares of a right answer

    def route(self, features: Float) -> Routed:
        """The margin is between the best and the second best net gain."""
        scaled = (features - self.centre) / self.spread
        gains = scaled @ self.weights[:-1] + self.weights[-1] - np.array(self.prices)
        net = np.concatenate([np.zeros((len(gains), 1)), gains], 1)  # (N, 3); staying gains nothing
        ordered = np.sort(net, 1)
        return net.argmax(1), ordered[:, -1] - ordered[:, -2]


def fit_gain(
    features: Float, right: Float, *, prices: tuple[float, float], ridge: float = 10.0
) -> GainRouter:
    """From features (N, F) and whether mobile, edge and cloud are right (3, N), on validation data."""
    centre, spread = features.mean(0), features.std(0) + 1e-9
    design = np.concatenate([(features - centre) / spread, np.ones((len(features), 1))], 1)
    target = np.stack([right[1] - right[0], right[2] - right[0]], 1)
    pull = ridge * np.eye(design.shape[1])
    pull[-1, -1] = 0.0
    return GainRouter(centre, spread, np.linalg.solve(design.T @ design + pull, design.T @ target), prices)


def cautious(routed: Routed, least: float) -> NDArray[np.intp]:
    """Where the case is not clear, one tier up."""
    pools, margins = routed
    return np.minimum(pools + (margins < least), HARD)
