"""Devices that fare alike: each class's slow samples get a price, until none waits much longer than another.

A class waits at most so long at p95 if at most 5 % of its samples take longer: a chance constraint (Charnes
and Cooper 1959), linear in what is chosen, and the price of a slow sample is its multiplier (Everett 1963).
Given the prices, a round is as exact as any other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tierline_scheduler.chance import slow_share
from tierline_scheduler.fleet.devices import LEVELS, Fleet
from tierline_scheduler.fleet.round import Decision, waits_at
from tierline_scheduler.fleet.solve import settle, solve
from tierline_scheduler.fleet.toll import Outlook, outlook, toll
from tierline_scheduler.objective import Objective
from tierline_scheduler.table import Bools, Floats, Ints

LEAST, MOST = 1e-3, 1.0
"""Weighted seconds of work between which the price of a slow sample is searched for."""
NARROW = 1.06
"""Highest by lowest price still possible at which the search ends."""
ABOUT = 2.0
"""A search that knows what prices were looks from their part by this to as many times of them."""
SEARCHES = 3
SLOW = 0.05
"""Share of a class's samples that may be slow: what p95 means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alike:
    """Plans with which K classes of devices fare alike.

    Attributes:
        fleet: the devices, each with its class's price of a slow sample.
        objective: with the seconds after which a sample is slow.
        decision: the plans.
        seconds: (K,) p95 of each class's samples, as predicted.
        price: (K,) of a slow sample of each class.
    """

    fleet: Fleet
    objective: Objective
    decision: Decision
    seconds: Floats
    price: Floats

    @property
    def ratio(self) -> float:
        """The longest p95 of a class by the shortest."""
        return float(self.seconds.max() / max(self.seconds.min(), 1e-12))


def never() -> bool:
    """Whether to stop: no."""
    return False


def settle_alike(
    fleet: Fleet,
    objective: Objective,
    classes: Ints,
    ratio: float,
    *,
    levels: Sequence[float] = LEVELS,
    known: Floats | None = None,
    stop: Callable[[], bool] = never,
) -> Alike:
    """Return the cheapest plans found that keep every class's p95 within `ratio` times the shortest one.

    Each class that waits longer has its price searched for by halving, at the edges' levels as they are; then
    edges take the levels that are best at these prices, from which the prices are searched for again if they
    do not hold there. Where a class cannot come so near whatever is paid, the plans are those in which the
    classes were nearest.

    Args:
        fleet: N devices.
        objective: what is minimised besides.
        classes: (N,) class of each device, from 0.
        ratio: above 1.
        levels: planned utilisations of edges to choose from.
        known: (K,) prices that held not long ago; the search is then shorter.
        stop: asked between two rounds whether to be content with what was found so far.
    """
    best = partial(settle, levels=levels)
    none = np.zeros(int(classes.max(initial=0)) + 1)
    found = [_judged(_priced(fleet, none, classes), objective, classes, none, best)]
    apart = found[0].seconds > ratio * found[0].seconds.min()
    bounds = _bounds(apart, none if known is None else known)
    for _ in range(SEARCHES if apart.any() else 0):
        if stop():
            break
        last = _searched(fleet, found[-1], classes, ratio, bounds, stop)
        found.append(_judged(last.fleet, last.objective, classes, last.price, best))
        if found[-1].ratio <= ratio:
            break
        bounds = _bounds(apart, last.price)
    kept = [one for one in found if one.ratio <= ratio]
    return min(kept, key=_cost) if kept else min(found, key=lambda one: one.ratio)


def _bounds(apart: Bools, known: Floats) -> tuple[Floats, Floats]:
    """Return between which prices to search; both are 0 for the classes that are near."""
    low, high = (np.where(known > 0, known * by, one) for by, one in ((1 / ABOUT, LEAST), (ABOUT, MOST)))
    return np.where(apart, low, 0.0), np.where(apart, high, 0.0)


def _searched(
    fleet: Fleet,
    start: Alike,
    classes: Ints,
    ratio: float,
    bounds: tuple[Floats, Floats],
    stop: Callable[[], bool],
) -> Alike:
    """Return the lowest prices between two bounds at which classes are near, at the levels of a start."""
    low, high = bounds
    last, near = start, None

    def at_levels(priced: Fleet, objective: Objective) -> Decision:
        return solve(priced, objective, start.decision.level)

    while np.any(high > low * NARROW) and not stop():
        within = replace(start.objective, slow_after=ratio * float(last.seconds.min()))
        price = np.sqrt(low * high)
        last = _judged(_priced(fleet, price, classes), within, classes, price, at_levels)
        kept = last.seconds <= ratio * last.seconds.min()
        low, high = np.where(kept, low, price), np.where(kept, price, high)
        near = last if kept.all() else near
    return near or last


def class_p95(fleet: Fleet, seen: Outlook, classes: Ints) -> Floats:
    """Return the seconds (K,) that all but 5 % of each class's samples keep.

    Args:
        fleet: N devices.
        seen: what their samples may expect.
        classes: (N,) class of each, from 0.
    """
    every = np.bincount(classes, fleet.rate, int(classes.max(initial=0)) + 1)
    longest = float((seen.seconds + 4 * seen.sd).max(initial=1e-9))
    low, high = np.zeros(len(every)), np.full(len(every), 1e-9 + 2 * longest)
    while np.any(high - low > 1e-4 * high):
        middle = (low + high) / 2
        late = slow_share(middle[classes], seen.seconds, seen.sd**2, seen.mean_seconds, seen.deep)
        over = np.bincount(classes, fleet.rate * late, len(every)) > SLOW * every
        low, high = np.where(over, middle, low), np.where(over, high, middle)
    return high


def _priced(fleet: Fleet, price: Floats, classes: Ints) -> Fleet:
    return replace(fleet, slow_weight=fleet.slow_weight + price[classes])


def _judged(
    priced: Fleet,
    objective: Objective,
    classes: Ints,
    price: Floats,
    decide: Callable[[Fleet, Objective], Decision],
) -> Alike:
    """Return what comes of these prices of a slow sample."""
    decision = decide(priced, objective)
    seen = outlook(priced, objective, waits_at(priced, objective, decision.level), decision.plan)
    seconds = class_p95(priced, seen, classes)
    return Alike(fleet=priced, objective=objective, decision=decision, seconds=seconds, price=price)


def _cost(one: Alike) -> float:
    """Return what the plans cost without the prices of their classes."""
    plain = replace(one.fleet, slow_weight=np.zeros(len(one.fleet)))
    waits = waits_at(one.fleet, one.objective, one.decision.level)
    return float(toll(plain, one.objective, waits, one.decision.plan).cost.sum())
