"""What the state says of the nodes and links that a plan would use, as the prediction takes it."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tierline_broker import Profile, Tier
from tierline_scheduler.coding import hop_coding
from tierline_scheduler.objective import HORIZON
from tierline_scheduler.servers import Arrivals, Device, Hop, Load
from tierline_scheduler.smoothing import PRIOR_SD
from tierline_scheduler.state import ClusterState, LinkState, NodeState

DEFAULT_RATE = 2.5e6
"""Bytes per second assumed of a link that nobody measured yet: 20 Mbit/s."""
DEFAULT_RTT = 0.03
UNMEASURED_SD = 1.4
"""Of that rate's logarithm: it may well, in one case of twenty, be less than a tenth."""
STALE_SECONDS = 3.0
"""Age at which an observation of a link begins to lose its worth."""
MAX_SD = 1.0
MAX_AHEAD = 2.0
"""The same of where a rate will be: mostly within a factor of seven, as that of a link that drives about."""
MOSTLY = 0.5
"""Share of samples in time from which on a plan is worth room that others want: one that is a hair beyond its
limits would be ruined by whoever counts it as lost."""
QUEUE_SLACK = 2.0
"""Samples that may wait by chance before a queue counts as more than the plans explain."""

Server = str | tuple[str, str]
"""A node, or the link from one node to another: whatever is shared and can be busy."""
Loads = Mapping[Server, Load]

NO_LOAD = Load()
_LEAST_FREE = 0.05  # share of a link that a choice of codec counts on, however much others send


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Loads from the point of view of one mobile node.

    Attributes:
        others: what everybody else asks for, background included.
        explained: what all plans in force ask for, this mobile node's own included.
        waiting: whether what waits there beyond that counts.
    """

    others: Loads = field(default_factory=dict)
    explained: Loads = field(default_factory=dict)
    waiting: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """What is in the way of a mobile node that nothing answers in time while all others stay; see `Places`.

    Attributes:
        state: what is known, with nodes as fast, and samples of its own as few, as they may well be.
        there: the loads of all others, background included, but without those that give way to it.
        firm: the loads of plans that do not, and keep their deadlines; nothing else.
        needed: the loads of all others that keep their deadlines or are more important.
    """

    state: ClusterState
    there: Traffic
    firm: Traffic
    needed: Loads


def peers(state: ClusterState, mobile: NodeState, tier: Tier) -> list[str]:
    """Return the names of the usable nodes of a tier that run the mobile node's model, sorted."""
    if mobile.model is None:
        return []
    return sorted(
        name
        for name, node in state.nodes.items()
        if node.tier is tier and node.usable and node.model is not None and not leaves(state, name)
        if node.model.digest == mobile.model.digest and node.model.blocks == mobile.model.blocks
    )


def leaves(state: ClusterState, name: str) -> bool:
    """Return whether an operator wants plans to do without a node."""
    order = state.orders.get(name)
    return order is not None and order.leaves


def pinned(state: ClusterState, names: Iterable[str]) -> bool:
    """Return whether an operator wants plans that use one of these nodes to stay."""
    orders = (state.orders.get(name) for name in names)
    return any(order is not None and order.pin for order in orders)


def device(node: NodeState, traffic: Traffic) -> Device:
    """Return a usable node as it is now."""
    if node.profile is None:
        raise ValueError(f"{node.name} has no profile; only usable nodes can be planned with")
    speed = 1.0 if node.speed is None else node.speed.value
    return Device(
        name=node.name,
        ready_at=speed * np.concatenate(([0.0], np.cumsum(_all_block_seconds(node.profile)))),
        exit_seconds=speed * node.profile.exit_seconds,
        codec_seconds=speed * node.profile.codec_seconds / 2,
        sd=PRIOR_SD if node.speed is None else node.speed.sd,
        doubt=PRIOR_SD if node.speed is None else node.speed.doubt,
        max_layer=node.profile.max_layer,
        backlog=_backlog(node, traffic.explained.get(node.name, NO_LOAD)) if traffic.waiting else 0.0,
        others=traffic.others.get(node.name, NO_LOAD),
    )


def hop(state: ClusterState, sender: str, peer: str, traffic: Traffic, most_bytes: float = math.inf) -> Hop:
    """Return the link as it was last measured, and how it then codes frames of up to `most_bytes`."""
    others = traffic.others.get((sender, peer), NO_LOAD)
    found, (here, there) = _hop(state, sender, peer, others), (state.nodes[sender], state.nodes[peer])
    if here.model is None:
        return found
    free = found.rate * max(_LEAST_FREE, 1 - others.utilisation)
    return replace(found, coding=hop_coding(here.model, here, there, free, most_bytes))


def _hop(state: ClusterState, sender: str, peer: str, others: Load) -> Hop:
    """Return the link as it was last measured, less certain the longer ago; a stated default if never."""
    link = state.nodes[sender].links.get(peer)
    if link is None:
        return Hop(
            rate=DEFAULT_RATE,
            rate_sd=UNMEASURED_SD,
            doubt=UNMEASURED_SD,
            rtt=DEFAULT_RTT,
            rtt_sd=PRIOR_SD,
            others=others,
        )
    return Hop(
        rate=link.rate.value,
        rate_sd=_aged(link.rate.sd, link, state.now),
        doubt=_aged(link.rate.doubt, link, state.now),
        rtt=link.rtt.value,
        rtt_sd=_aged(link.rtt.sd, link, state.now),
        ahead_sd=_ahead(link, state.now),
        others=others,
    )


def arrivals(mobile: NodeState, expected_rate: float) -> Arrivals:
    """Return the samples per second that a mobile node is planned for."""
    if mobile.arrivals is None or mobile.arrivals.value < expected_rate:
        return Arrivals(rate=expected_rate, doubt=0.0)
    return Arrivals(rate=mobile.arrivals.value, doubt=mobile.arrivals.doubt)


def background(node: NodeState, planned: Load) -> Load:
    """Return the load that a node reports beyond what the plans in force explain, such as direct requests.

    Each piece of it is taken to be one run through the whole model.
    """
    surplus = max(0.0, (node.busy or 0.0) - planned.utilisation)
    if surplus == 0.0 or node.profile is None:
        return NO_LOAD
    speed = 1.0 if node.speed is None else node.speed.value
    return Load(utilisation=surplus, pressure=surplus * speed * sum(node.profile.block_seconds))


def server_name(server: Server) -> str:
    """Return a node or link as people say it."""
    return server if isinstance(server, str) else f"the link from {server[0]} to {server[1]}"


def _all_block_seconds(profile: Profile) -> tuple[float, ...]:
    """Return the seconds of every block; those that memory does not admit count as the mean of the others.

    No plan asks for such a block: the figure only keeps what is said of rejected alternatives sober.
    """
    measured = profile.block_seconds
    mean = sum(measured) / max(1, len(measured))
    return measured + (mean,) * (profile.model.blocks - len(measured))


def _backlog(node: NodeState, explained: Load) -> float:
    """Return the samples in the queue that neither chance nor the plans in force explain."""
    usual = explained.utilisation / max(0.05, 1 - explained.utilisation)
    return max(0.0, (node.queue or 0.0) - 2 * usual - QUEUE_SLACK)


def _ahead(link: LinkState, now: float) -> float:
    """Return how uncertain a rate is half a horizon from now, should it move on as it did lately."""
    present = _aged(link.rate.sd, link, now)
    return max(present, min(MAX_AHEAD, math.hypot(present, math.sqrt(link.rate.movement * HORIZON / 2))))


def _aged(sd: float, link: LinkState, now: float) -> float:
    age = max(0.0, now - link.observed)
    return min(MAX_SD, sd * math.sqrt(max(1.0, age / STALE_SECONDS)))
