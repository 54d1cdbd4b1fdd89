"""The columns of a fleet, taken out of the state of a deployment."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations
from math import log2

import numpy as np

from tierline_broker import Tier
from tierline_scheduler.candidates import Candidate
from tierline_scheduler.coding import hop_coding
from tierline_scheduler.fleet.attach import Member, attach
from tierline_scheduler.fleet.devices import Fleet, Servers, Sites, device_features, make_fleet
from tierline_scheduler.fleet.features import Feature, PlanTable, compile_plans
from tierline_scheduler.job import Jobs
from tierline_scheduler.ledger import Ledger
from tierline_scheduler.model import Model
from tierline_scheduler.objective import Objective
from tierline_scheduler.options import accuracy_floor
from tierline_scheduler.servers import Hop, Load
from tierline_scheduler.state import ClusterState, NodeState
from tierline_scheduler.table import Floats, tables
from tierline_scheduler.view import Traffic, arrivals, device, hop, peers

BACKHAUL_RATE = 12.5e6
"""Bytes per second at which codecs between edge and cloud are chosen."""

_NO_LOAD = Load()
_NO_HOP = Hop(rate=1.0, rate_sd=0.0, doubt=0.0, rtt=0.0, rtt_sd=0.0, others=_NO_LOAD)
_FAR = (1.0, 86_400.0, 0.0, 0.0)  # bytes per second, round trip and their deviations, where there is nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """A fleet, and who its columns are.

    Attributes:
        fleet: the columns.
        mobiles: name of each device, in the fleet's order.
        sites: edge and cloud of each site by name, empty where there is none.
        edges: name of each edge.
        clouds: name of each cloud.
    """

    fleet: Fleet
    mobiles: tuple[str, ...]
    sites: tuple[tuple[str, str], ...]
    edges: tuple[str, ...]
    clouds: tuple[str, ...]

    def chosen(self, row: int, plan: int) -> tuple[tuple[str, ...], Candidate]:
        """Return the nodes and the candidate that a plan of a device stands for."""
        candidate = self.fleet.tables[self.fleet.table[row]].candidates[plan]
        edge, cloud = self.sites[self.fleet.site[row]]
        at = {Tier.MOBILE: self.mobiles[row], Tier.EDGE: edge, Tier.CLOUD: cloud}
        return tuple(at[leg.tier] for leg in candidate.legs), candidate


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """Mobile nodes whose plans have one table, with the nodes whose profiles stand for all; equal by key."""

    key: tuple[object, ...]
    model: Model = field(compare=False)
    floor: float = field(compare=False)
    nodes: Mapping[Tier, NodeState] = field(compare=False)
    rate: float = field(compare=False)
    most_bytes: int = field(compare=False)


def snapshot(
    state: ClusterState,
    mobiles: Sequence[NodeState],
    objective: Objective,
    jobs: Jobs,
    ledger: Ledger,
    *,
    anew: bool = False,
) -> Snapshot | None:
    """Return the fleet of these mobile nodes; None where they share nothing.

    Args:
        state: what is known.
        mobiles: usable ones.
        objective: of the site.
        jobs: what is different for some of them.
        ledger: says what edges and clouds are busy with beyond the plans in force.
        anew: attach mobile nodes to edges whatever their plans say.
    """
    members = attach(state, mobiles, objective, jobs, anew=anew)
    pairs = tuple(sorted({(member.edge, member.cloud) for member in members}))
    if not any(edge or cloud for edge, cloud in pairs):
        return None
    return _assembled(state, members, pairs, ledger, objective)


def _assembled(
    state: ClusterState,
    members: Sequence[Member],
    pairs: tuple[tuple[str, str], ...],
    ledger: Ledger,
    site: Objective,
) -> Snapshot:
    """Return the fleet of these members at these pairs of edge and cloud."""
    groups = [_group(state, member) for member in members]
    made: dict[tuple[object, ...], PlanTable] = {}
    for group, member in zip(groups, members, strict=True):
        if group not in made:
            made[group] = _table(_kind(state, member))
    place = {group: k for k, group in enumerate(made)}
    columns = [
        _row(state, member, made[group])
        | {"table": place[group], "site": pairs.index((member.edge, member.cloud))}
        | {"slow_weight": member.objective.slow_weight - site.slow_weight}
        for group, member in zip(groups, members, strict=True)
    ]
    edges, clouds = (tuple(sorted({pair[k] for pair in pairs} - {""})) for k in (0, 1))
    of = {
        name: made[group]
        for group, member in zip(groups, members, strict=True)
        for name in (member.edge, member.cloud)
    }
    fleet = make_fleet(
        tuple(made.values()),
        _sites(state, pairs, edges, clouds),
        _servers(state, edges, Tier.EDGE, of, ledger),
        _servers(state, clouds, Tier.CLOUD, of, ledger),
        {name: np.array([column[name] for column in columns]) for name in columns[0]},
    )
    names = tuple(members[k].node.name for k in fleet.order)
    return Snapshot(fleet=fleet, mobiles=names, sites=pairs, edges=edges, clouds=clouds)


def _group(state: ClusterState, member: Member) -> tuple[str, float, int, int]:
    """Return what mobile nodes share that have one table; links within a factor of four code alike."""
    objective, peer = member.objective, member.edge or member.cloud
    rate = hop(state, member.node.name, peer, Traffic()).rate if peer else 1.0
    floor = accuracy_floor(member.model, objective)
    return (member.model.key, floor, round(log2(max(1.0, rate)) / 2), objective.max_frame_bytes)


def _kind(state: ClusterState, member: Member) -> _Kind:
    """Return the kind of a mobile node, which stands for all others of it."""
    group = _group(state, member)
    nodes = {Tier.MOBILE: member.node}
    for tier in (Tier.EDGE, Tier.CLOUD):
        # The same node for all kinds of one model, for an edge is so many times slower than one thing only.
        near = peers(state, member.node, tier)
        nodes[tier] = state.nodes[near[0]] if near else member.node
    profiles = tuple(
        (one.block_seconds, one.exit_seconds, one.codec_seconds, str(one.codecs))
        for one in (node.profile for node in nodes.values())
        if one is not None
    )
    return _Kind(
        key=(*group, profiles),
        model=member.model,
        floor=group[1],
        nodes=nodes,
        rate=4.0 ** group[2],
        most_bytes=group[3],
    )


@lru_cache(maxsize=256)
def _table(kind: _Kind) -> PlanTable:
    """Return the table of a kind, in seconds of its nodes at the speed of their profiles."""
    nodes = {tier: replace(node, speed=None) for tier, node in kind.nodes.items()}
    links = {}
    for a, b in combinations(Tier, 2):
        rate = kind.rate if a is Tier.MOBILE else BACKHAUL_RATE
        coding = hop_coding(kind.model, nodes[a], nodes[b], rate, kind.most_bytes)
        links[a, b] = replace(_NO_HOP, coding=coding)
    reference = {tier: device(node, Traffic()) for tier, node in nodes.items()}
    return compile_plans(tables(kind.model, kind.floor), reference, links, kind.most_bytes)


def _row(state: ClusterState, member: Member, table: PlanTable) -> dict[str, object]:
    """Return one device's columns but its table and site."""
    node, objective = member.node, member.objective
    own, asked = device(node, Traffic()), arrivals(node, objective.expected_rate)
    slow = np.array([own.ready_at[-1] / max(table.seconds[Tier.MOBILE], 1e-12)])
    links = {tier: _link(state, node, name) for tier, name in member.away.items()}
    ends = {tier: np.array([link[:2]]) for tier, link in links.items()}
    spread = np.ones(Feature.EDGE_WAIT)
    spread[[Feature.MOBILE, Feature.CODEC]] = own.sd
    spread[[Feature.UP_EDGE, Feature.RTT_EDGE]] = links[Tier.EDGE][2:]
    spread[[Feature.UP_CLOUD, Feature.RTT_CLOUD]] = links[Tier.CLOUD][2:]
    flat = node.battery is not None and node.battery < objective.battery_floor
    rate = np.array([asked.rate])
    return {
        "rate": asked.rate * (1 + objective.margin * asked.doubt),
        "deadline": objective.deadline,
        "priority": member.priority,
        "margin": objective.margin,
        "depth": 0 if flat else own.max_layer,
        "features": device_features(rate, slow, slow, ends[Tier.EDGE], ends[Tier.CLOUD])[0],
        "spread": spread,
    }


def _link(state: ClusterState, node: NodeState, peer: str) -> tuple[float, float, float, float]:
    if not peer:
        return _FAR
    found = hop(state, node.name, peer, Traffic())
    return found.rate, found.rtt, found.rate_sd, found.rtt_sd


def _sites(
    state: ClusterState, pairs: Sequence[tuple[str, str]], edges: Sequence[str], clouds: Sequence[str]
) -> Sites:
    hops = [hop(state, edge, cloud, Traffic()) if edge and cloud else None for edge, cloud in pairs]

    def depth(name: str) -> int:
        return device(state.nodes[name], Traffic()).max_layer if name else 0

    return Sites(
        edge=np.array([edges.index(edge) if edge else -1 for edge, _ in pairs]),
        cloud=np.array([clouds.index(cloud) if cloud else -1 for _, cloud in pairs]),
        backhaul=np.array([0.0 if one is None else 1 / one.rate for one in hops]),
        rtt=np.array([0.0 if one is None else one.rtt for one in hops]),
        backhaul_spread=np.array([0.0 if one is None else one.rate_sd for one in hops]),
        rtt_spread=np.array([0.0 if one is None else one.rtt_sd for one in hops]),
        edge_depth=np.array([depth(edge) for edge, _ in pairs]),
        cloud_depth=np.array([depth(cloud) for _, cloud in pairs]),
    )


def _servers(
    state: ClusterState,
    names: Sequence[str],
    tier: Tier,
    of: Mapping[str, PlanTable],
    ledger: Ledger,
) -> Servers:
    """Return the nodes of a tier, what is measured beyond the plans in force being taken already."""
    found = [device(state.nodes[name], Traffic()) for name in names]
    rest = [
        ledger.total.get(name, _NO_LOAD).minus(ledger.explained.get(name, _NO_LOAD)).utilisation
        for name in names
    ]
    return Servers(
        slowness=np.array([one.ready_at[-1] / max(of[one.name].seconds[tier], 1e-12) for one in found]),
        spread=np.array([one.sd for one in found]),
        count=np.ones(len(found)),
        background=np.array(rest),
        visit=np.array([_visit(of[one.name], tier) for one in found]),
    )


def _visit(table: PlanTable, tier: Tier) -> float:
    """Return a usual visit's seconds at the reference node: the middle one of the plans that go there."""
    visits: Floats = table.edge_visit if tier is Tier.EDGE else table.cloud_visit
    used = visits[visits > 0]
    return float(np.median(used)) if len(used) else 0.0
