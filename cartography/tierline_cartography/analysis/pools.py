"""Easy, medium and hard: thresholds on the data map that earn the most.

How DIMEC-DC (arXiv 2412.16616) finds its thresholds is not published beyond "a reward of expected performance
against processing and offloading cost"; this is the form that the same group's released code has (SplitEE).
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import product
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tierline_cartography.analysis.cost import Prices
from tierline_cartography.analysis.data_map import DataMap
from tierline_cartography.analysis.said import Float
from tierline_cartography.errors import PoolError

EASY, MEDIUM, HARD = 0, 1, 2
Reading = Literal["ambiguous", "hard-to-learn"]
"""What makes an unconfident sample hard: a high variability, as a summary of DIMEC-DC has it, or a low one,
as data cartography has it, which calls the other ambiguous."""

SMALLEST_SHARE = 0.02
QUANTILES = (0.1, 0.2, 0.33, 0.5, 0.67, 0.8, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thresholds:
    """Where the pools end; print them beside whatever was computed with them."""

    easy_from: float  # confidence
    hard_below: float  # confidence
    variability: float
    reading: Reading

    def pools(self, found: DataMap) -> NDArray[np.intp]:
        """The pool of each sample (N,)."""
        varies = found.variability > self.variability
        unsure = varies if self.reading == "ambiguous" else ~varies
        pools = np.full(len(found.confidence), MEDIUM)
        pools[(found.confidence < self.hard_below) & unsure] = HARD
        pools[(found.confidence >= self.easy_from) & ~varies] = EASY
        return pools


@dataclass(frozen=True, slots=True, kw_only=True)
class Pools:
    """The pools that earn most, and with which constants they were found."""

    thresholds: Thresholds
    pools: NDArray[np.intp]  # (N,)
    shares: tuple[float, float, float]
    reward: float
    drop: float  # points of accuracy below the last exit, on the data they were found on
    budget: float  # points that might have been lost
    prices: Prices

    def told(self) -> dict[str, object]:
        """For a document."""
        return {
            "thresholds": asdict(self.thresholds),
            "shares": self.shares,
            "reward": self.reward,
            "drop": self.drop,
            "budget": self.budget,
            "prices": asdict(self.prices),
        }


def find_pools(
    found: DataMap,
    certainty: Float,
    right: Float,
    exits: tuple[int, int, int],
    *,
    prices: Prices,
    budget: float,
    reading: Reading = "ambiguous",
) -> Pools:
    """Try every useful choice of thresholds, all quantiles, and keep the one of highest mean reward.

    Args:
        found: where each sample stands.
        certainty: (3, N), how sure each tier's exit is of the true label.
        right: (3, N), whether it is right.
        exits: the layers of mobile, edge and cloud.
        prices: reward is certainty less these; the prices of answers sent straight to their tier.
        budget: points of accuracy that may be lost against the last exit.
        reading: what hard means.

    Raises:
        PoolError: where every choice keeps too little accuracy or leaves a pool all but empty.
    """
    paid = prices.of(exits, "direct")
    places = np.arange(len(found.confidence))
    best: Pools | None = None
    for thresholds in _candidates(found, reading):
        pools = thresholds.pools(found)
        shares = np.bincount(pools, minlength=3) / len(pools)
        drop = 100 * float(right[2].mean() - right[pools, places].mean())
        if shares.min() < SMALLEST_SHARE or drop > budget:
            continue
        reward = float((certainty[pools, places] - paid[pools]).mean())
        if best is None or reward > best.reward:
            easy, medium, hard = (float(one) for one in shares)
            best = Pools(
                thresholds=thresholds,
                pools=pools,
                shares=(easy, medium, hard),
                reward=reward,
                drop=drop,
                budget=budget,
                prices=prices,
            )
    if best is None:
        raise PoolError(
            f"no thresholds give three pools of {SMALLEST_SHARE:.0%} or more that lose at most {budget:g} "
            "points; allow more, or train longer"
        )
    return best


def _candidates(found: DataMap, reading: Reading) -> Iterator[Thresholds]:
    levels = np.quantile(found.confidence, QUANTILES)
    spreads = np.quantile(found.variability, QUANTILES)
    for low, high, spread in product(levels, levels, spreads):
        if low <= high:
            yield Thresholds(
                easy_from=float(high), hard_below=float(low), variability=float(spread), reading=reading
            )
