"""Devices that fare alike: each class's slow samples get a price, until none waits much longer than another.

A class waits at most so long at p95 if at most 5 % of its samples take longer: a chance constraint (Charnes
and Cooper 1959), linear in what is chosen, and the price of a slow sample is its multiplier (Everett 1963).
Given the prices, a round is as exact as any other.
"""

from dataclasses import dataclass, replace

import numpy as np

from tierline_scheduler.chance import slow_share
from tierline_scheduler.fleet.devices import Fleet
from tierline_scheduler.fleet.round import Decision, waits_at
from tierline_scheduler.fleet.solve import settle
from tierline_scheduler.fleet.toll import Outlook, outlook, toll
from tierline_scheduler.objective import Objective
from tierline_scheduler.table import Floats, Ints

LEAST, MOST = 1e-3, 1.0
"""Weighted seconds of work between which the price of a slow sample is searched for."""
HALVINGS = 7
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


def settle_alike(fleet: Fleet, objective: Objective, classes: Ints, ratio: float) -> Alike:
    """Return the cheapest plans found that keep every class's p95 within `ratio` times the shortest one.

    Each class that waits longer has its price searched for by halving. Where one cannot come so near whatever
    is paid, the plans are those in which the classes were nearest.

    Args:
        fleet: N devices.
        objective: what is minimised besides.
        classes: (N,) class of each device, from 0.
        ratio: above 1.
    """
    found = [_tried(fleet, objective, classes, np.zeros(int(classes.max(initial=0)) + 1))]
    apart = found[0].seconds > ratio * found[0].seconds.min()
    low, high = np.where(apart, LEAST, 0.0), np.where(apart, MOST, 0.0)
    for _ in range(HALVINGS if apart.any() else 0):
        within = replace(objective, slow_after=ratio * float(found[-1].seconds.min()))
        found.append(_tried(fleet, within, classes, np.sqrt(low * high)))
        near = found[-1].seconds <= ratio * found[-1].seconds.min()
        low, high = np.where(near, low, found[-1].price), np.where(near, found[-1].price, high)
    kept = [one for one in found if one.ratio <= ratio]
    return min(kept, key=_cost) if kept else min(found, key=lambda one: one.ratio)


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


def _tried(fleet: Fleet, objective: Objective, classes: Ints, price: Floats) -> Alike:
    """Return what comes of these prices of a slow sample."""
    priced = replace(fleet, slow_weight=fleet.slow_weight + price[classes])
    decision = settle(priced, objective)
    seen = outlook(priced, objective, waits_at(priced, objective, decision.level), decision.plan)
    seconds = class_p95(priced, seen, classes)
    return Alike(fleet=priced, objective=objective, decision=decision, seconds=seconds, price=price)


def _cost(one: Alike) -> float:
    """Return what the plans cost without the prices of their classes."""
    plain = replace(one.fleet, slow_weight=np.zeros(len(one.fleet)))
    waits = waits_at(one.fleet, one.objective, one.decision.level)
    return float(toll(plain, one.objective, waits, one.decision.plan).cost.sum())
