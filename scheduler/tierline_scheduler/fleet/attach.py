"""Which edge and cloud each mobile node is planned with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tierline_broker import Tier
from tierline_scheduler.job import Jobs, objective_of, priority_of
from tierline_scheduler.model import Model
from tierline_scheduler.objective import Objective
from tierline_scheduler.state import ClusterState, NodeState
from tierline_scheduler.view import Traffic, arrivals, device, hop, peers

NEAR, FAR = 1.25, 2.0
"""Edges that an input takes at most so many times longer to than to the nearest are as good as that ...

... for a mobile node that joins, and where edges are short.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One mobile node of a fleet with what it is planned for; `edge` and `cloud` are empty where none is."""

    node: NodeState
    model: Model
    objective: Objective
    priority: float
    edge: str
    cloud: str

    @property
    def away(self) -> dict[Tier, str]:
        """The nodes beyond it."""
        return {Tier.EDGE: self.edge, Tier.CLOUD: self.cloud}


def attach(
    state: ClusterState,
    mobiles: Sequence[NodeState],
    objective: Objective,
    jobs: Jobs,
    *,
    anew: bool = False,
) -> list[Member]:
    """Return mobile nodes with the edge of their plan, else of the nearest ones the one least asked for.

    Args:
        state: what is known.
        mobiles: usable ones.
        objective: of the site.
        jobs: what is different for some of them.
        anew: whatever the plans in force say, and over all edges that are not far.
    """
    asked: dict[str, float] = {}
    members = []
    for node in mobiles:
        if node.model is None:
            continue
        own = objective_of(objective, jobs.get(node.name))
        near = _seconds_to(state, node, node.model, Tier.CLOUD)
        edges = _seconds_to(state, node, node.model, Tier.EDGE)
        edge = _least_asked(edges, asked, FAR) if anew else _edge(state, node, edges, asked)
        if edge:
            whole = float(device(state.nodes[edge], Traffic()).ready_at[-1])
            asked[edge] = asked.get(edge, 0.0) + arrivals(node, own.expected_rate).rate * whole
        members.append(
            Member(
                node=node,
                model=node.model,
                objective=own,
                priority=priority_of(jobs, node.name),
                edge=edge,
                cloud=min(near, key=lambda name: (near[name], name), default=""),
            )
        )
    return members


def _edge(state: ClusterState, node: NodeState, near: Mapping[str, float], asked: Mapping[str, float]) -> str:
    in_force = state.plans.get(node.name)
    for stage in in_force.route.stages if in_force is not None else ():
        if stage.node in near:
            return stage.node
    return _least_asked(near, asked, NEAR)


def _least_asked(near: Mapping[str, float], asked: Mapping[str, float], reach: float) -> str:
    closest = [name for name in near if near[name] <= reach * min(near.values())]
    return min(closest, key=lambda name: (asked.get(name, 0.0), name), default="")


def _seconds_to(state: ClusterState, node: NodeState, model: Model, tier: Tier) -> dict[str, float]:
    """Return how long an input takes to each usable node of a tier."""
    links = {name: hop(state, node.name, name, Traffic()) for name in peers(state, node, tier)}
    return {name: link.rtt + model.input_bytes / link.rate for name, link in links.items()}
