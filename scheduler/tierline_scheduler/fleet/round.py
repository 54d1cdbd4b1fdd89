"""What a round of a fleet starts from, and its answer at given prices of cloud work.

Given a planned utilisation of every edge its wait is known, so that all devices are independent but for the
edges' capacity, a knapsack each (see `hull`), and for the clouds, whose price is given here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tierline_scheduler.fleet.core import solve_exactly
from tierline_scheduler.fleet.devices import Fleet
from tierline_scheduler.fleet.hull import Cut, Steps, cut
from tierline_scheduler.fleet.predict import Waits
from tierline_scheduler.fleet.rows import Rows, make_rows, options, walk_rows
from tierline_scheduler.fleet.toll import BEST_EFFORT, SHED, Toll, toll
from tierline_scheduler.objective import Objective
from tierline_scheduler.table import Floats, Ints


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a round decided for N devices, M edges and C clouds; costs are a second.

    Attributes:
        plan: (N,) index of each device's plan in its table; `BEST_EFFORT` or `SHED` where it misses.
        level: (M,) planned utilisation.
        price: (M,) cost that one more second a second of the edge would save.
        cloud_price: (C,) the same of a cloud.
        toll: what every device costs and uses.
        edge_upper: (M + 1,) cost of each edge's devices, cloud work at its price; the last are without edge.
        edge_lower: (M + 1,) what no other plans at these planned utilisations could cost less than.
        lower: the same of the whole fleet.
    """

    plan: Ints
    level: Floats
    price: Floats
    cloud_price: Floats
    toll: Toll
    edge_upper: Floats
    edge_lower: Floats
    lower: float

    @property
    def gaps(self) -> Floats:
        """What is open between the bounds of each edge."""
        found: Floats = self.edge_upper - self.edge_lower
        return found

    @property
    def upper(self) -> float:
        """What the plans cost."""
        return float(self.toll.cost.sum())

    @property
    def gap(self) -> float:
        """The most that other plans could save, as a share of the cost."""
        return max(0.0, self.upper - self.lower) / max(self.upper, 1e-12)


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What does not change while prices are searched for."""

    fleet: Fleet
    objective: Objective
    level: Floats
    waits: Waits
    rows: Sequence[Rows]
    edge: Ints  # of each row
    capacity: Floats  # of each edge, and none where there is no edge
    room: Floats  # of each cloud


def waits_at(fleet: Fleet, objective: Objective, level: Floats) -> Waits:
    """Return the waits when edges are as busy as planned, and clouds as busy as they may be."""
    most = np.full(len(fleet.clouds), objective.max_utilisation)
    return Waits(edge=fleet.edges.wait(level), cloud=fleet.clouds.wait(most))


def open_round(fleet: Fleet, objective: Objective, level: Floats) -> Round:
    """Return a round at these planned utilisations of the edges."""
    waits = waits_at(fleet, objective, level)
    rows = make_rows(fleet, objective, waits)
    return Round(
        fleet=fleet,
        objective=objective,
        level=level,
        waits=waits,
        rows=rows,
        edge=fleet.edge[np.concatenate([np.zeros(0, dtype=np.int64), *(one.device for one in rows)])],
        capacity=np.append(fleet.edges.room(level), 0.0),
        room=room_of(fleet, objective),
    )


def room_of(fleet: Fleet, objective: Objective) -> Floats:
    """Return the seconds a second that devices may use of each cloud."""
    return fleet.clouds.room(np.full(len(fleet.clouds), objective.max_utilisation))


def cloud_used(fleet: Fleet, found: Decision) -> Floats:
    """Return the seconds a second that devices do use of each cloud."""
    used = np.bincount(fleet.cloud, found.toll.cloud, len(fleet.clouds) + 1)[:-1]
    return used.astype(np.float64)


def at_price(now: Round, cloud_price: Floats) -> Decision:
    """Return the plans where cloud work costs this, whether or not they fit into the clouds."""
    fleet, edges = now.fleet, len(now.capacity)
    steps = walk_rows(fleet, now.objective, now.rows, cloud_price)
    found = cut(steps, len(now.edge), now.edge, now.capacity)
    plan, saved = _expanded(now, steps, found)
    paid = toll(fleet, now.objective, now.waits, plan)
    upper = by_edge(now, paid, cloud_price)
    lower = np.minimum(upper + saved - found.price * found.room, upper)
    return Decision(
        plan=plan,
        level=now.level,
        price=found.price[: edges - 1],
        cloud_price=cloud_price,
        toll=paid,
        edge_upper=upper,
        edge_lower=lower,
        lower=float(lower.sum() - cloud_price @ now.room),
    )


def by_edge(now: Round, paid: Toll, cloud_price: Floats) -> Floats:
    """Return what each edge's devices cost, cloud work charged at its price."""
    charged = paid.cost + np.append(cloud_price, 0.0)[now.fleet.cloud] * paid.cloud
    return np.bincount(now.fleet.edge, charged, len(now.capacity)).astype(np.float64)


def _expanded(now: Round, steps: Steps, found: Cut) -> tuple[Ints, Floats]:
    """Return each device's plan, and what each edge saves by the parts of steps that its devices take.

    A step that does not fit whole is taken by as many of the row's devices as fit, in their order.
    """
    fleet = now.fleet
    chosen = steps.corners[np.arange(len(found.level)), found.level]
    plan, saved = np.empty(len(fleet), dtype=np.int64), np.zeros(len(found.price))
    for one in now.rows:
        plan[one.devices] = chosen[one.first + one.member]
    for edge in np.flatnonzero(found.broken >= 0):
        saved[edge] = _filled(now, steps, found, int(edge), plan)
    return plan, saved


def _filled(now: Round, steps: Steps, found: Cut, edge: int, plan: Ints) -> float:
    """Give what room is left at an edge to single devices, best steps first; return the cost that saves."""
    room, saved = float(found.room[edge]), 0.0
    for step in found.queue[edge]:
        row = int(steps.row[step])
        one = next(rows for rows in reversed(now.rows) if rows.first <= row)
        at = row - one.first
        if len(one) == len(one.member) and steps.use[step] > room:
            continue  # one device, too large
        devices = one.of(at)
        before, after = steps.corners[row, steps.level[step] - 1], steps.corners[row, steps.level[step]]
        devices = devices[plan[devices] == before]
        if room <= 0 or not len(devices):
            continue
        share = now.fleet.rate[devices] / max(one.weight[at], 1e-300)
        fits = _fitting(share, room / float(steps.use[step]))
        plan[devices[fits]] = after
        taken = float(share[fits].sum())
        room, saved = room - taken * float(steps.use[step]), saved + taken * float(steps.saved[step])
    return saved


def _fitting(share: Floats, room: float) -> Ints:
    """Return which of these shares fill the room nearly: the smallest, then one exchanged for a larger."""
    order = np.argsort(share, kind="stable")
    sizes = share[order]
    fits = int(np.searchsorted(np.cumsum(sizes), room, side="right"))
    if not 0 < fits < len(sizes):
        return order[:fits]
    left, taken, free = room - float(sizes[:fits].sum()), np.arange(fits), sizes[fits:]
    larger = np.searchsorted(free, sizes[:fits] + left, side="right") - 1
    gain = np.where(larger >= 0, free[np.maximum(larger, 0)] - sizes[:fits], 0.0)
    best = int(gain.argmax())
    if gain[best] > 0:
        taken[best] = fits + larger[best]
    return order[taken]


def sharpen(now: Round, found: Decision, edges: Ints) -> Decision:
    """Return the decision with the exact optimum of these edges."""
    plan, lower = found.plan.copy(), found.edge_lower.copy()
    proved = np.zeros(len(lower), dtype=np.bool_)
    for edge in edges:
        devices, cost, use, names = matrix(now, int(edge), found.cloud_price)
        known = (names == plan[devices][:, None]).argmax(axis=1)
        price = float(np.append(found.price, 0.0)[edge])
        exact = solve_exactly(cost, use, float(now.capacity[edge]), price, known)
        plan[devices] = names[np.arange(len(devices)), exact.choice]
        proved[edge] = exact.proved
    paid = toll(now.fleet, now.objective, now.waits, plan)
    upper = by_edge(now, paid, found.cloud_price)
    lower = np.where(proved, upper, np.minimum(lower, upper))
    bound = float(lower.sum() - found.cloud_price @ now.room)
    return replace(found, plan=plan, toll=paid, edge_upper=upper, edge_lower=lower, lower=bound)


def matrix(now: Round, edge: int, cloud_price: Floats) -> tuple[Ints, Floats, Floats, Ints]:
    """Return the devices of an edge, and cost, use and plan of all their options, (n, P) each."""
    parts = []
    width = max(len(one.segment.table) for one in now.rows) + 2
    charge = np.append(cloud_price, 0.0)
    for one in now.rows:
        picked = np.flatnonzero(now.edge[one.first : one.first + len(one)] == edge)
        made, plans = options(now.fleet, now.objective, one, picked), len(one.segment.table)
        price, weight = charge[now.fleet.sites.cloud[one.site[picked]]], one.weight[picked, None]
        cost, use = np.full((len(picked), width), np.inf), np.zeros((len(picked), width))
        cost[:, : plans + 2] = weight * (made.cost + price[:, None] * made.cloud)
        use[:, : plans + 2] = weight * made.edge
        names = np.full(width, SHED - 1)
        names[: plans + 2] = [*range(plans), BEST_EFFORT, SHED]
        parts.append((one.device[picked], cost, use, np.tile(names, (len(picked), 1))))
    devices, cost, use, names = (np.concatenate(column) for column in zip(*parts, strict=True))
    return devices, cost, use, names
