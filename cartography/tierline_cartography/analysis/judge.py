"""How sure one can be of a drop: a two-way bootstrap over items and seeds, and Holm's correction."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tierline_cartography.analysis.said import Float

DRAWS = 10_000
LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Verdict:
    """A drop of accuracy, in points."""

    point: float
    upper: float  # one-sided 95 % bound
    budget: float

    @property
    def shown(self) -> bool:
        """Whether the bound keeps the budget; else only the point is known."""
        return self.upper <= self.budget

    @property
    def word(self) -> str:
        """For a table."""
        return "shown" if self.shown else "point only"


@lru_cache(maxsize=4)
def weights(seeds: int, items: int, draws: int = DRAWS) -> tuple[Float, Float]:
    """How often each seed (D, S) and each item (D, N) is drawn, divided by how many are; always the same."""
    source = np.random.default_rng(0)
    by_seed = source.multinomial(seeds, np.full(seeds, 1 / seeds), draws) / seeds
    by_item = np.empty((draws, items), dtype=np.float32)
    for row in by_item:
        row[:] = np.bincount(source.integers(0, items, items), minlength=items) / items
    return by_seed.astype(np.float32), by_item


def resampled(values: Float, *, draws: int = DRAWS) -> Float:
    """(D,): the mean of (S, N) values, seeds and items drawn anew (pigeonhole bootstrap; Owen, 2007)."""
    by_seed, by_item = weights(*values.shape, draws)
    found: Float = ((by_item @ values.T.astype(np.float32)) * by_seed).sum(1)
    return found


def judge(full: Float, ours: Float, *, budget: float = 0.5, draws: int = DRAWS) -> Verdict:
    """The drop from one way of answering to another, both (S, N) of 0 and 1."""
    drop = 100 * (full - ours)
    return Verdict(float(drop.mean()), float(np.quantile(resampled(drop, draws=draws), LEVEL)), budget)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjusted p-values: all that are below a level hold together at that level (Holm, 1979)."""
    adjusted, worst = {}, 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda one: p_values[one])):
        worst = max(worst, min(1.0, (len(p_values) - rank) * p_values[name]))
        adjusted[name] = worst
    return adjusted
