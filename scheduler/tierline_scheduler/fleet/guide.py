"""What a round of the whole fleet says to each of its mobile nodes: prices, and a plan to start from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tierline_scheduler.candidates import Candidate
from tierline_scheduler.fleet.devices import levels_up_to
from tierline_scheduler.fleet.reattach import WORTH_MOVING
from tierline_scheduler.fleet.round import Decision
from tierline_scheduler.fleet.snapshot import Snapshot, snapshot
from tierline_scheduler.fleet.solve import settle
from tierline_scheduler.job import Jobs
from tierline_scheduler.ledger import Ledger
from tierline_scheduler.objective import Objective
from tierline_scheduler.state import ClusterState, NodeState

SMALL = 50
"""Fleets up to this size are planned exactly every round; it takes some 20 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guide:
    """Prices of the shared nodes, by name; whoever minimises cost plus price times use is planned right.

    Attributes:
        prices: weighted seconds of work that one more second of the node would save.
        waits: planned mean wait at each edge in seconds.
        starts: the nodes and the candidate that each mobile node is given, where it meets its deadline.
        upper: what these plans cost, a second ...
        lower: ... and what no others could cost less than, as far as the fleet's columns tell.
    """

    prices: Mapping[str, float] = field(default_factory=dict)
    waits: Mapping[str, float] = field(default_factory=dict)
    starts: Mapping[str, tuple[tuple[str, ...], Candidate]] = field(default_factory=dict)
    upper: float = 0.0
    lower: float = 0.0


def guide(
    state: ClusterState, mobiles: Sequence[NodeState], objective: Objective, jobs: Jobs, ledger: Ledger
) -> Guide:
    """Return the prices at which these mobile nodes share what they share; none where one is alone.

    Args:
        state: what is known.
        mobiles: usable ones, in the order of their names.
        objective: of the site.
        jobs: what is different for some of them.
        ledger: says what edges and clouds are busy with beyond the plans in force.
    """
    taken = snapshot(state, mobiles, objective, jobs, ledger) if len(mobiles) > 1 else None
    if taken is None:
        return Guide()
    exact = len(mobiles) <= SMALL
    found = _settled(taken, objective, exact=exact)
    if found.price.any():
        again = snapshot(state, mobiles, objective, jobs, ledger, anew=True)
        other = None if again is None else _settled(again, objective, exact=exact)
        if again is not None and other is not None and other.upper < (1 - WORTH_MOVING) * found.upper:
            taken, found = again, other
    prices = dict(zip(taken.edges, found.price.tolist(), strict=True))
    prices |= dict(zip(taken.clouds, found.cloud_price.tolist(), strict=True))
    return Guide(
        prices={name: price for name, price in prices.items() if price > 0},
        waits=dict(zip(taken.edges, taken.fleet.edges.wait(found.level)[0].tolist(), strict=True)),
        starts={
            taken.mobiles[row]: taken.chosen(int(row), int(found.plan[row]))
            for row in np.flatnonzero(found.plan >= 0)
        },
        upper=found.upper,
        lower=found.lower,
    )


def _settled(taken: Snapshot, objective: Objective, *, exact: bool) -> Decision:
    return settle(taken.fleet, objective, levels_up_to(objective.max_utilisation), exact=exact)
