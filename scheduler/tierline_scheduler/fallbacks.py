"""What a mobile node can do when it must choose for itself: the best way over every choice of nodes."""

from collections.abc import Mapping

import numpy as np

from tierline_broker import Fallback, Price, Tier
from tierline_scheduler.candidates import as_route
from tierline_scheduler.cost import stretch
from tierline_scheduler.estimate import coded
from tierline_scheduler.ledger import Ledger
from tierline_scheduler.objective import Objective
from tierline_scheduler.options import (
    Option,
    accuracy_floor,
    cost,
    expected,
    first_crossing,
    limits,
    options,
)
from tierline_scheduler.planner import model_of
from tierline_scheduler.servers import Load
from tierline_scheduler.state import ClusterState, NodeState
from tierline_scheduler.table import Bools, tables
from tierline_scheduler.view import Traffic

MOST = 8
"""Fallbacks of each kind that a plan carries, the best first."""
_LONGEST = 86_400.0

Way = tuple[float, tuple[str, ...], Fallback]
"""What it is expected to cost, over which nodes, and what the plan says of it."""


def fallbacks(
    state: ClusterState, mobile: NodeState, objective: Objective, traffic: Traffic
) -> tuple[Fallback, ...]:
    """Return the best way over each choice of nodes, the least expected cost first.

    Only what could be carried out at the accuracy floor counts; the deadline is the node's to judge, by its
    link and its own queue as they will be then. After these come as many on which it computes nothing itself.
    """
    model = model_of(mobile)
    floor = accuracy_floor(model, objective)
    best: list[Way] = []
    sparing: list[Way] = []
    for option in options(state, mobile, tables(model, floor), traffic, objective):
        kept = limits(option, objective, floor)
        possible = kept.possible & kept.accuracy & kept.battery
        best += _cheapest(option, objective, possible)
        sparing += _cheapest(option, objective, possible & (option.table.layer[:, 0] == 0))
    first, more = ([way[2] for way in sorted(ways, key=_in_order)[:MOST]] for ways in (best, sparing))
    return (*first, *(one for one in more if one not in first))


def _cheapest(option: Option, objective: Objective, admitted: Bools) -> list[Way]:
    rows = np.flatnonzero(admitted)
    if not len(rows):
        return []
    costs = expected(option, objective)
    row = int(rows[costs[rows].argmin()])
    return [(float(costs[row]), option.names, _fallback(option, objective, row))]


def _in_order(way: Way) -> tuple[float, tuple[str, ...]]:
    return way[:2]


def prices_of(
    state: ClusterState, ledger: Ledger, prices: Mapping[str, float], waits: Mapping[str, float]
) -> dict[str, Price]:
    """Return what each shared node's time costs now; its wait is no less than that for what waits there.

    Args:
        state: says which nodes there are.
        ledger: what is asked of them.
        prices: what the planner says that a second of their time is worth, by name.
        waits: seconds until served where it has planned them for all: at these prices no node gets busier.
    """
    found = {}
    for name, node in sorted(state.nodes.items()):
        if node.tier in (Tier.EDGE, Tier.CLOUD) and node.usable:
            load = ledger.total.get(name)
            busy = 0.0 if load is None else load.utilisation
            wait = 0.0 if load is None else load.pressure * float(stretch(np.array(busy)))
            wait = max(wait, waits.get(name, 0.0), node.waiting * _piece(load))
            found[name] = Price(
                node=name, wait=min(wait, _LONGEST), price=prices.get(name, 0.0), busy=min(busy, 1e6)
            )
    return found


def _piece(load: Load | None) -> float:
    """Return the seconds that a sample keeps a node on average, by what is asked of it."""
    return 0.0 if load is None or load.utilisation <= 0 else load.pressure / load.utilisation


def _fallback(option: Option, objective: Objective, row: int) -> Fallback:
    figures = option.figures
    crossing = float(first_crossing(option.hops, figures)[row])
    waits = float(figures.nodes.wait[row, 1:].sum())
    candidate = coded(option.table.candidates[row], figures.crossing, row)
    return Fallback(
        route=as_route(candidate, option.names),
        seconds=min(max(0.0, float(figures.seconds[row]) - crossing - waits), _LONGEST),
        sent_bytes=int(figures.crossing.received_bytes[row, 1]) if option.hops else 0,
        cost=float(cost(option, objective)[row]),
        uses={name: float(figures.work[row, k]) for k, name in enumerate(option.names) if k},
        wait=min(float(figures.nodes.wait[row, 0]), _LONGEST),
    )
