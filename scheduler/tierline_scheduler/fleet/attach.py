"""Which edge and cloud each mobile node is planned with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tierline_broker import Tier
from tierline_scheduler.job import Jobs, objective_of
from tierline_scheduler.model import Model
from tierline_scheduler.objective import Objective
from tierline_scheduler.state import ClusterState, NodeState
from tierline_scheduler.view import Traffic, arrivals, hop, peers

_NEAR = 1.25
"""Edges that an input takes at most so many times longer to than to the nearest are as good as that."""


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
    state: ClusterState, mobiles: Sequence[NodeState], objective: Objective, jobs: Jobs
) -> list[Member]:
    """Return mobile nodes with the edge of their plan, else of the nearest ones the one least asked for."""
    asked: dict[str, float] = {}
    members = []
    for node in mobiles:
        if node.model is None:
            continue
        job, own = jobs.get(node.name), objective_of(objective, jobs.get(node.name))
        near = _seconds_to(state, node, node.model, Tier.CLOUD)
        edge = _edge(state, node, _seconds_to(state, node, node.model, Tier.EDGE), asked)
        asked[edge] = asked.get(edge, 0.0) + arrivals(node, own.expected_rate).rate
        members.append(
            Member(
                node=node,
                model=node.model,
                objective=own,
                priority=1.0 if job is None else job.priority,
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
    closest = [name for name in near if near[name] <= _NEAR * min(near.values())]
    return min(closest, key=lambda name: (asked.get(name, 0.0), name), default="")


def _seconds_to(state: ClusterState, node: NodeState, model: Model, tier: Tier) -> dict[str, float]:
    """Return how long an input takes to each usable node of a tier."""
    links = {name: hop(state, node.name, name, Traffic()) for name in peers(state, node, tier)}
    return {name: link.rtt + model.input_bytes / link.rate for name, link in links.items()}
