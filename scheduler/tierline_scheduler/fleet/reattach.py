"""Which site each device of a large fleet belongs to: moves at prices, kept while they save.

At the prices of edges and clouds every device has a best site, and if all went there at once, all would
crowd where it was cheap before. So only those that save most move, fewer after a step that did not help, and
every step is planned anew: what is returned never costs more than where devices were.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tierline_scheduler.fleet.alike import never
from tierline_scheduler.fleet.devices import LEVELS, Fleet, Singles, make_fleet
from tierline_scheduler.fleet.round import Decision, open_round
from tierline_scheduler.fleet.rows import CHUNK, options
from tierline_scheduler.fleet.solve import improve, settle
from tierline_scheduler.objective import Objective
from tierline_scheduler.table import Floats, Ints

MOVERS, FEWEST = 0.5, 0.02
"""Share of those that would save by moving who move at a step: at first, and at the last."""
STEPS = 12
WORTH_MOVING = 0.05
"""Devices are attached to other sites for a saving of this share of what the fleet costs."""

_COLUMNS = ("table", "rate", "deadline", "priority", "margin", "slow_weight", "depth")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reach:
    """The K sites that each of N devices can be attached to, the one it is at first, in the fleet's order.

    Attributes:
        site: (N, K) index of the site.
        features: (N, K, 9) of the device if it is attached there.
        spread: (N, K, 9) their relative standard deviations.
    """

    site: Ints
    features: Singles
    spread: Singles


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """Devices at their sites, and what they are planned to do there.

    Attributes:
        fleet: in an order of its own, `fleet.order` being places in the fleet that was given.
        decision: the plans.
        place: (N,) which of the K sites each device is at, in the order of the fleet that was given.
    """

    fleet: Fleet
    decision: Decision
    place: Ints


def reattach(
    fleet: Fleet,
    objective: Objective,
    reach: Reach,
    levels: Sequence[float] = LEVELS,
    *,
    stop: Callable[[], bool] = never,
) -> Attached:
    """Return devices attached to other sites where that saves the fleet enough, else where they are.

    Args:
        fleet: N devices where they are.
        objective: what is minimised.
        reach: where else they could be.
        levels: planned utilisations of edges to choose from.
        stop: asked between two steps whether to be content with what was found so far.
    """
    here = np.zeros(len(fleet), dtype=np.int64)
    still = placed(fleet, reach, here)
    first = settle(still, objective, levels)
    stay = Attached(fleet=still, decision=first, place=here)
    best, share = stay, MOVERS
    for number in range(STEPS):
        if share < FEWEST or stop():
            break
        tried = _step(fleet, objective, reach, best, share, (-1) ** number)
        if tried is not None and tried.decision.upper < best.decision.upper:
            best = tried
        else:
            share /= 2
    found = replace(best, decision=settle(best.fleet, objective, levels))
    worth = found.decision.upper < (1 - WORTH_MOVING) * first.upper
    return found if worth else stay


def _step(
    fleet: Fleet, objective: Objective, reach: Reach, now: Attached, share: float, step: int
) -> Attached | None:
    """Return what comes of it when this share of those moves that save by moving; None if nobody does.

    Edges go one step up (1) or down (-1) the levels where that is better.
    """
    values = np.column_stack(
        [
            _values(placed(fleet, reach, np.full(len(fleet), k)), objective, now.decision)
            for k in range(reach.site.shape[1])
        ]
    )
    gain = values[np.arange(len(fleet)), now.place] - values.min(axis=1)
    movers = np.flatnonzero(gain > 1e-12)
    if not len(movers):
        return None
    order = np.argsort(-gain[movers], kind="stable")[: max(1, round(share * len(movers)))]
    place = now.place.copy()
    place[movers[order]] = values[movers[order]].argmin(axis=1)
    moved = placed(fleet, reach, place)
    return Attached(fleet=moved, decision=improve(moved, objective, now.decision, step), place=place)


def _values(fleet: Fleet, objective: Objective, at: Decision) -> Floats:
    """Return what each device would cost a second at its site at these prices, in the order it came in."""
    now, found = open_round(fleet, objective, at.level), np.empty(len(fleet))
    edge_price, cloud_price = np.append(at.price, 0.0), np.append(at.cloud_price, 0.0)
    for rows in now.rows:
        least = np.empty(len(rows))
        for start in range(0, len(rows), CHUNK):
            picked = np.arange(start, min(start + CHUNK, len(rows)))
            made, site = options(fleet, objective, rows, picked), rows.site[picked]
            charged = made.cost + edge_price[fleet.sites.edge[site], None] * made.edge
            charged += cloud_price[fleet.sites.cloud[site], None] * made.cloud
            least[picked] = charged.min(axis=1)
        found[rows.devices] = least[rows.member]
    back = np.empty(len(fleet))
    back[fleet.order] = found * fleet.rate
    return back


def placed(fleet: Fleet, reach: Reach, place: Ints) -> Fleet:
    """Return the fleet with each device at one of its sites."""
    every = np.arange(len(fleet))
    columns = {name: getattr(fleet, name) for name in _COLUMNS}
    columns |= {name: getattr(reach, name)[every, place] for name in ("site", "features", "spread")}
    return make_fleet(fleet.tables, fleet.sites, fleet.edges, fleet.clouds, columns)
