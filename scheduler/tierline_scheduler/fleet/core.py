"""The exact optimum of one edge with few devices: what the price leaves open, enumerated.

At a price every option has a reduced cost, what choosing it loses against the row's best. No optimum loses
more than the gap between the bounds, so most options are out at once. What is left is enumerated row by row
(Nemhauser and Ullmann 1969; Pisinger 1995): a partial choice goes when it loses more than the gap, when it
cannot fit any more, or when another uses and costs no more.
"""

from dataclasses import dataclass

import numpy as np

from tierline_scheduler.table import Bools, Floats, Ints

MOST = 2000
"""Partial choices kept at a time; where there are more, the least promising go and exactness with them."""
WIDEST = 60
"""Rows that are enumerated: those whose second best loses least. The others keep their best."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exact:
    """The cheapest choice found: one option for each row, and whether nothing can be cheaper."""

    choice: Ints
    proved: bool


def solve_exactly(cost: Floats, use: Floats, capacity: float, price: float, known: Ints) -> Exact:
    """Return the cheapest choice of one option a row that fits.

    Args:
        cost: (R, P) of each option, infinite where there is none.
        use: (R, P) of the capacity.
        capacity: what may be used in all.
        price: the edge's, at the cut of the linear relaxation.
        known: (R,) a choice that fits.
    """
    every = np.arange(len(cost))
    charged = cost + price * use
    best = charged.min(axis=1)
    bound = best.sum() - price * capacity
    gap = float(cost[every, known].sum() - bound) * (1 + 1e-9) + 1e-15
    kept: Bools = charged - best[:, None] <= gap
    open_rows = np.flatnonzero(kept.sum(axis=1) > 1)
    choice = np.where(kept, charged, np.inf).argmin(axis=1)
    closed = np.ones(len(cost), dtype=np.bool_)
    closed[open_rows] = False
    left = capacity - float(use[every, choice][closed].sum())
    if not len(open_rows):
        return Exact(choice=choice if left >= 0 else known, proved=True)
    second = np.sort(np.where(kept, charged, np.inf)[open_rows], axis=1)
    open_rows = open_rows[np.argsort(second[:, 1] - second[:, 0], kind="stable")]
    rest, open_rows = open_rows[WIDEST:], open_rows[:WIDEST]
    left -= float(use[rest, choice[rest]].sum())
    found, proved = _enumerate(
        [(cost[row, kept[row]], use[row, kept[row]]) for row in open_rows], left, price, gap
    )
    proved = proved and not len(rest)
    if found is None:
        return Exact(choice=known, proved=proved)
    for row, option in zip(open_rows, found, strict=True):
        choice[row] = np.flatnonzero(kept[row])[option]
    total = float(cost[every, choice].sum())
    return Exact(choice=choice if total <= cost[every, known].sum() else known, proved=proved)


def _enumerate(
    rows: list[tuple[Floats, Floats]], capacity: float, price: float, gap: float
) -> tuple[list[int] | None, bool]:
    """Return the option of each row in the cheapest choice that fits, if any, and whether that is proved."""
    least = np.array([use.min() for _, use in rows])
    most = np.array([use.max() for _, use in rows])
    later_least = np.concatenate([np.cumsum(least[::-1])[::-1][1:], [0.0]])
    later_most = np.concatenate([np.cumsum(most[::-1])[::-1][1:], [0.0]])
    used, spent, lost = np.zeros(1), np.zeros(1), np.zeros(1)
    trail: list[tuple[Ints, Ints]] = []
    proved = True
    for k, (cost, use) in enumerate(rows):
        charged = cost + price * use
        option = np.tile(np.arange(len(cost)), len(used))
        parent = np.repeat(np.arange(len(used)), len(cost))
        used, spent = used[parent] + use[option], spent[parent] + cost[option]
        lost = lost[parent] + (charged - charged.min())[option]
        # What stays unused is lost as well, at the price.
        idle = price * np.maximum(0.0, capacity - used - later_most[k])
        keep = np.flatnonzero((used + later_least[k] <= capacity * (1 + 1e-12)) & (lost + idle <= gap))
        keep = keep[np.lexsort((spent[keep], used[keep]))]
        cheaper = np.concatenate([[np.inf], np.minimum.accumulate(spent[keep])[:-1]])
        keep = keep[spent[keep] < cheaper]
        if len(keep) > MOST:
            proved = False
            keep = keep[np.argsort(lost[keep], kind="stable")[:MOST]]
        used, spent, lost = used[keep], spent[keep], lost[keep]
        trail.append((parent[keep], option[keep]))
        if not len(keep):
            return None, proved
    state = int(np.argmin(spent))
    found: list[int] = []
    for parent, option in reversed(trail):
        found.append(int(option[state]))
        state = int(parent[state])
    return found[::-1], proved
