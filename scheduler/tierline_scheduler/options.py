"""All candidates of a mobile node on all choices of nodes, with their figures and the limits they keep."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise, product

import numpy as np

from tierline_broker import Tier
from tierline_scheduler.chance import Tail, allowed_late, slow_share, tail
from tierline_scheduler.cost import Figures, predict
from tierline_scheduler.model import Model
from tierline_scheduler.objective import Objective
from tierline_scheduler.servers import Device, Hop
from tierline_scheduler.state import ClusterState, NodeState
from tierline_scheduler.table import Bools, Floats, Table
from tierline_scheduler.view import Traffic, arrivals, device, hop, peers

_EVERY = slice(None)
_LEAST_RATE = 1e-9  # so that what a sample asks of a node is known while there are none


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One choice of nodes, and every candidate of one table on it."""

    names: tuple[str, ...]
    table: Table
    devices: tuple[Device, ...]
    hops: tuple[Hop, ...]
    figures: Figures
    tail: Tail
    ahead: Tail  # half a horizon from now, the link moving on as it did lately
    battery: float | None  # of the mobile node
    rate: float  # samples a second that are planned for


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Which candidates of an option keep which limit; columns are (N,)."""

    memory: Bools
    frame: Bools
    accuracy: Bools
    deadline: Bools
    utilisation: Bools
    room: Bools  # (N, K) the same of each node alone
    battery: Bools

    @property
    def possible(self) -> Bools:
        """What could be carried out at all, well or badly."""
        return self.memory & self.frame

    @property
    def all(self) -> Bools:
        """What keeps every limit."""
        return self.possible & self.accuracy & self.deadline & self.utilisation & self.battery


def options(
    state: ClusterState,
    mobile: NodeState,
    tables: Mapping[tuple[Tier, ...], Table],
    traffic: Traffic,
    objective: Objective,
) -> Iterator[Option]:
    """Yield every choice of nodes for every chain of tiers, in a fixed order."""
    names = {Tier.MOBILE: [mobile.name]}
    names |= {tier: peers(state, mobile, tier) for tier in (Tier.EDGE, Tier.CLOUD)}
    for chain, table in tables.items():
        for chosen in product(*(names[tier] for tier in chain)):
            if table.candidates:
                yield make_option(state, chosen, table, traffic, objective)


def make_option(
    state: ClusterState, names: tuple[str, ...], table: Table, traffic: Traffic, objective: Objective
) -> Option:
    """Return a table's candidates predicted on these nodes, the first of which is the mobile node."""
    mobile = state.nodes[names[0]]
    devices = tuple(device(state.nodes[name], traffic) for name in names)
    hops = tuple(hop(state, a, b, traffic, objective.max_frame_bytes) for a, b in pairwise(names))
    asked = arrivals(mobile, max(objective.expected_rate, _LEAST_RATE))
    figures = predict(table, devices, hops, asked, objective.margin)
    present = _tail(hops, figures)
    return Option(
        names=names,
        table=table,
        devices=devices,
        hops=hops,
        figures=figures,
        tail=present,
        ahead=_ahead(hops, figures, present),
        battery=mobile.battery,
        rate=asked.rate,
    )


def limits(option: Option, objective: Objective, floor: float) -> Limits:
    """Return which candidates keep which limit."""
    table, figures = option.table, option.figures
    highest = np.maximum(figures.nodes.most, figures.links.most)
    flat = option.battery is not None and option.battery < objective.battery_floor
    return Limits(
        memory=np.all(table.layer <= np.array([one.max_layer for one in option.devices]), axis=1),
        frame=np.all(figures.crossing.received_bytes <= objective.max_frame_bytes, axis=1),
        accuracy=table.accuracy >= floor,
        deadline=option.tail.late(objective.deadline) <= allowed_late(objective.margin),
        utilisation=highest.max(axis=1) <= objective.max_utilisation,
        room=figures.nodes.most <= objective.max_utilisation,
        battery=table.layer[:, 0] == 0 if flat else np.ones(len(table.candidates), dtype=np.bool_),
    )


def cost(option: Option, objective: Objective, prices: Mapping[str, float] | None = None) -> Floats:
    """Return what is minimised, in weighted seconds a sample, to the nanosecond so that ties are ties.

    Args:
        option: the candidates.
        objective: what counts.
        prices: what a second of a shared node's time costs besides, by name; see `fleet.Guide`.
    """
    weights = {Tier.MOBILE: 0.0, Tier.EDGE: objective.edge_weight, Tier.CLOUD: objective.cloud_weight}
    weighted = option.figures.work @ np.array([weights[tier] for tier in option.table.chain])
    if objective.latency_weight > 0:
        weighted = weighted + objective.latency_weight * option.figures.mean_seconds
    if objective.slow_after > 0 and objective.slow_weight > 0:
        weighted = weighted + objective.slow_weight * slow(option, objective)
    if objective.energy_weight > 0:
        weighted = weighted + objective.energy_weight * joules(option, objective)
    if prices:
        charged = np.array([prices.get(name, 0.0) for name in option.names])
        weighted = weighted + option.figures.nodes.own @ charged / option.rate
    rounded: Floats = np.round(weighted, 9)
    return rounded


def expected(option: Option, objective: Objective, prices: Mapping[str, float] | None = None) -> Floats:
    """Return what a sample costs when those that are late are paid for: weighted seconds (N,)."""
    found: Floats = cost(option, objective, prices) + lateness(option, objective)
    return found


def lateness(option: Option, objective: Objective, rows: slice = _EVERY) -> Floats:
    """Return what late samples cost, in weighted seconds a sample, of some rows.

    Counted are those within the horizon: on a link that moves, being in time now says less of them. The share
    that the margin allows is free. Beyond it a late sample costs more the later it is on average, so that of
    plans that all miss the deadline the fast ones are still better.
    """
    late = option.ahead.at(rows).late(objective.deadline)
    excess = np.maximum(0.0, late - allowed_late(objective.margin))
    overrun = 1 + np.log(np.maximum(1.0, option.figures.seconds[rows] / objective.deadline))
    found: Floats = objective.late_cost * excess * overrun
    return found


def slow(option: Option, objective: Objective) -> Floats:
    """Return the share of samples (N,) that take longer than the objective's `slow_after`."""
    figures, deep = option.figures, option.table.reach[:, -1]
    variance = figures.sd**2
    return slow_share(objective.slow_after, figures.seconds, variance, figures.mean_seconds, deep)


def joules(option: Option, objective: Objective) -> Floats:
    """Return the energy that a sample takes of the mobile node: what computes it, and what sends it on."""
    figures, rate = option.figures, option.rate
    sending = figures.links.own[:, 1] / rate if len(option.names) > 1 else 0.0
    spent: Floats = objective.compute_watts * figures.nodes.own[:, 0] / rate + objective.radio_watts * sending
    return spent


def accuracy_floor(model: Model, objective: Objective) -> float:
    """Return the accuracy that a plan must keep; where no route does, that of the best there is.

    Lower by a rounding error, so that a route that drops by exactly what is allowed is allowed.
    """
    return min(model.accuracy - objective.accuracy_drop, model.best_accuracy) - 1e-9


def _tail(hops: tuple[Hop, ...], figures: Figures) -> Tail:
    """Return the distribution of latencies, in which the first hop is what varies most."""
    rate_sd = hops[0].rate_sd if hops else 0.0
    return tail(figures.seconds, figures.sd, first_crossing(hops, figures), rate_sd)


def _ahead(hops: tuple[Hop, ...], figures: Figures, present: Tail) -> Tail:
    """Return the same half a horizon from now, when the first hop may have moved on."""
    if not hops or hops[0].ahead_sd is None:
        return present
    crossing, then = first_crossing(hops, figures), hops[0].ahead_sd
    sd = np.sqrt(figures.sd**2 + crossing**2 * (then**2 - hops[0].rate_sd ** 2))
    return tail(figures.seconds, sd, crossing, then)


def first_crossing(hops: tuple[Hop, ...], figures: Figures) -> Floats:
    """Return the seconds (N,) on the first hop."""
    if not hops:
        return np.zeros(len(figures.seconds))
    found: Floats = figures.crossing.received_bytes[:, 1] / hops[0].rate
    return found
