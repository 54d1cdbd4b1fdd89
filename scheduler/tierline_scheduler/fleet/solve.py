"""One round for a whole fleet: a plan for every device, a price for every edge, and what is lost at most.

Both sides of the answer come with it: what the plans cost, and what no plans could cost less than.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from tierline_scheduler.fleet.devices import LEVELS, Fleet
from tierline_scheduler.fleet.round import (
    Decision,
    Round,
    at_price,
    by_edge,
    cloud_used,
    open_round,
    room_of,
    sharpen,
    waits_at,
)
from tierline_scheduler.fleet.toll import toll
from tierline_scheduler.objective import Objective
from tierline_scheduler.table import Floats, Ints

EXACT = 1000
"""Fleets up to this size can have the exact optimum of every edge, not only the cut."""
SEARCH = 40  # halvings of the interval that a cloud's price lies in, at most
NOTHING = 1e-9  # relative difference of costs that is rounding
CLOSE = 1e-3  # relative width of that interval at which the search ends


def solve(fleet: Fleet, objective: Objective, level: Floats) -> Decision:
    """Return the plans of one round at the edges' planned utilisations.

    Args:
        fleet: the devices and what they share.
        objective: what is minimised, and how busy anything may be.
        level: (M,) planned utilisation of every edge, below 1.
    """
    return _solved(open_round(fleet, objective, level))


def settle(
    fleet: Fleet, objective: Objective, levels: Sequence[float] = LEVELS, *, exact: bool = False
) -> Decision:
    """Return the plans at the best planned utilisation of every edge, which is what a first round needs.

    Edges touch each other only through the clouds' prices, so each takes the level that is best for it.

    Args:
        fleet: the devices and what they share.
        objective: what is minimised, and how busy anything may be.
        levels: to choose from.
        exact: find the exact optimum of every edge, in fleets of up to `EXACT` devices.
    """
    rounds = [open_round(fleet, objective, np.full(len(fleet.edges), level)) for level in levels]
    found = [_solved(rounds[0])]
    found += [at_price(one, found[0].cloud_price) for one in rounds[1:]]
    if exact and len(fleet) <= EXACT:
        found = _sharpened(rounds, found)
    best = np.array([one.edge_upper for one in found]).argmin(axis=0)
    bound = np.array([one.edge_lower for one in found]).min(axis=0)
    return _picked(fleet, objective, found, best, bound)


def _sharpened(rounds: Sequence[Round], found: Sequence[Decision]) -> list[Decision]:
    """Return the decisions with the exact optimum of every edge at every level that may be the best one."""
    known = np.array([one.edge_upper for one in found]).min(axis=0)
    sharp = []
    for now, one in zip(rounds, found, strict=True):
        wanted = np.flatnonzero((one.edge_lower < known * (1 - NOTHING)) & (one.gaps > NOTHING * known))
        sharp.append(sharpen(now, one, wanted) if len(wanted) else one)
        known = np.minimum(known, sharp[-1].edge_upper)
    return sharp


def _solved(now: Round) -> Decision:
    free = at_price(now, np.zeros(len(now.fleet.clouds)))
    return _priced(now, free) if np.any(cloud_used(now.fleet, free) > now.room) else free


def improve(fleet: Fleet, objective: Objective, last: Decision, step: int) -> Decision:
    """Return the plans when every edge goes one step up or down the levels where that is better for it.

    Args:
        fleet: the devices.
        objective: what is minimised.
        last: the decision whose levels are stepped from.
        step: 1 or -1.
    """
    grid = np.array(LEVELS)
    place = np.abs(grid[None, :] - last.level[:, None]).argmin(axis=1) + step
    stay = solve(fleet, objective, last.level)
    stepped = open_round(fleet, objective, grid[np.clip(place, 0, len(grid) - 1)])
    move = at_price(stepped, stay.cloud_price)
    better = (move.edge_upper < stay.edge_upper).astype(np.int64)
    return _picked(fleet, objective, [stay, move], better, np.where(better, move.edge_lower, stay.edge_lower))


def _picked(
    fleet: Fleet, objective: Objective, found: Sequence[Decision], best: Ints, bound: Floats
) -> Decision:
    """Return the decision that takes, for each edge, the one of `found` that `best` says."""
    every = np.arange(len(fleet.edges))
    level = np.array([one.level for one in found])[best[:-1], every]
    plan = np.array([one.plan for one in found])[best[fleet.edge], np.arange(len(fleet))]
    paid = toll(fleet, objective, waits_at(fleet, objective, level), plan)
    price = found[0].cloud_price
    room = room_of(fleet, objective)
    used = np.bincount(fleet.cloud, paid.cloud, len(room) + 1)[:-1]
    if np.any(used > room * (1 + 1e-9)):
        return solve(fleet, objective, level)
    return Decision(
        plan=plan,
        level=level,
        price=np.array([one.price for one in found])[best[:-1], every],
        cloud_price=price,
        toll=paid,
        edge_upper=np.array([one.edge_upper for one in found])[best, np.arange(len(best))],
        edge_lower=bound,
        lower=float(bound.sum() - price @ room),
    )


def _priced(now: Round, free: Decision) -> Decision:
    """Return the best plans that fit into the clouds too, by halving the interval of each cloud's price."""
    fleet, short = now.fleet, cloud_used(now.fleet, free) > now.room
    low = np.where(short, 1e-6, 0.0)
    high = np.where(short, 4 * now.objective.miss_cost * max(1.0, fleet.priority.max()) / 1e-4, 0.0)
    over, best, bound = free, at_price(now, high), free.lower
    for _ in range(SEARCH):
        if np.all(high <= low * (1 + CLOSE)):
            break
        tried = at_price(now, np.sqrt(low * high))
        exceeded = cloud_used(fleet, tried) > now.room
        bound = max(bound, tried.lower)
        low, high = np.where(exceeded, tried.cloud_price, low), np.where(exceeded, high, tried.cloud_price)
        if exceeded.any():
            over = tried
        elif tried.upper < best.upper:
            best = tried
    return _mixed(now, over, replace(best, lower=max(bound, best.lower)))


def _mixed(now: Round, over: Decision, best: Decision) -> Decision:
    """Return the plans that fit, with those of the ones that do not wherever the clouds still have room."""
    fleet, plan = now.fleet, best.plan.copy()
    left = now.room - cloud_used(fleet, best)
    for edge in range(len(now.capacity)):
        devices = np.flatnonzero(fleet.edge == edge)
        more = over.toll.cloud[devices] - best.toll.cloud[devices]
        wanted = np.bincount(fleet.cloud[devices], more, len(left) + 1)[:-1]
        cheaper = over.toll.cost[devices].sum() < best.toll.cost[devices].sum()
        if cheaper and np.all(wanted <= left):
            plan[devices] = over.plan[devices]
            left = left - wanted
    paid = toll(fleet, now.objective, now.waits, plan)
    return replace(best, plan=plan, toll=paid, edge_upper=by_edge(now, paid, best.cloud_price))
