"""Who gives way on shared nodes: a plan that keeps its deadline holds its place, as far as plans decide it.

What a node is busy with beyond plans counts for nothing here. It may be gone in a second, as with an edge
that still loads its model, and nobody is to lose a place by it.
"""

from collections.abc import Collection
from dataclasses import replace

from tierline_broker import Plan
from tierline_scheduler.job import Jobs, objective_of, priority_of
from tierline_scheduler.ledger import Ledger, sum_of
from tierline_scheduler.objective import Objective
from tierline_scheduler.planner import assess
from tierline_scheduler.state import ClusterState, NodeState
from tierline_scheduler.view import MOSTLY, Contest, Traffic, pinned


class Places:
    """Whose plans hold their places in a round; looked at only where somebody is going to be late.

    Args:
        state: what is known.
        objective: of the site.
        jobs: what is different for some mobile nodes.
        kept: mobile nodes that the fleet's round has in time.
    """

    def __init__(
        self, state: ClusterState, objective: Objective, jobs: Jobs, kept: Collection[str] = ()
    ) -> None:
        self._state, self._objective, self._jobs, self._kept = state, objective, jobs, kept
        self._plans = dict(state.plans)
        self._holds: dict[str, bool] | None = None
        self._fast: ClusterState | None = None
        self._weights: dict[float, float] = {}

    def decided(self, name: str, plan: Plan | None, ledger: Ledger) -> None:
        """Take note of the plan that a mobile node gets; None: the one in force stays."""
        if plan is not None:
            self._plans[name] = plan
        if self._holds is not None:
            self._holds[name] = self._in_time(name, ledger, self._holds)

    def contest(self, name: str, ledger: Ledger) -> Contest:
        """Return what is in a mobile node's way, by whether it would give way."""
        holds, mine = self._look(ledger), priority_of(self._jobs, name)
        others = [one for one in ledger.entries if one != name]
        yielding = sum_of(ledger.entries[one] for one in others if self._yields(one, name))
        traffic = ledger.traffic(name)
        left = {server: traffic.others[server].minus(load) for server, load in yielding.items()}
        return Contest(
            state=self._favoured(name),
            there=replace(traffic, others={**traffic.others, **left}),
            firm=self._firm(name, ledger, holds),
            needed=sum_of(
                ledger.entries[one] for one in others if holds[one] or priority_of(self._jobs, one) > mine
            ),
        )

    def _look(self, ledger: Ledger) -> dict[str, bool]:
        """Return who holds its place, the more important ones first, each as the others were then."""
        if self._holds is None:
            holds = dict.fromkeys(ledger.entries, True)
            for name in sorted(holds, key=lambda one: (-priority_of(self._jobs, one), one)):
                holds[name] = self._in_time(name, ledger, holds)
            self._holds = holds
        return self._holds

    def _in_time(self, name: str, ledger: Ledger, holds: dict[str, bool]) -> bool:
        """Whether most of its samples would be in time if there were nothing but plans, and some gave way."""
        plan, own = self._plans.get(name), objective_of(self._objective, self._jobs.get(name))
        if plan is None:
            return False
        found = assess(self._favoured(name), plan, own, self._firm(name, ledger, holds))
        return found is not None and found.late <= 1 - MOSTLY

    def _weight(self, most: float) -> float:
        """Return what all those less important count for together that the fleet's round keeps in time."""
        if most not in self._weights:
            every = (priority_of(self._jobs, one) for one in self._kept)
            self._weights[most] = sum(one for one in every if one < most)
        return self._weights[most]

    def _favoured(self, name: str) -> ClusterState:
        """Return the state in which a node's samples are as few, and all as fast, as they may well be."""
        if self._fast is None:
            nodes = {one: self._faster(node) for one, node in self._state.nodes.items()}
            self._fast = replace(self._state, nodes=nodes)
        node = self._fast.nodes[name]
        if node.arrivals is None:
            return self._fast
        fewest = replace(node.arrivals, value=node.arrivals.least(self._objective.margin))
        return replace(self._fast, nodes={**self._fast.nodes, name: replace(node, arrivals=fewest)})

    def _faster(self, node: NodeState) -> NodeState:
        if node.speed is None:
            return node
        return replace(node, speed=node.speed.lowered(self._objective.margin))

    def _firm(self, name: str, ledger: Ledger, holds: dict[str, bool]) -> Traffic:
        staying = (
            loads
            for one, loads in ledger.entries.items()
            if one != name and holds.get(one, False) and not self._yields(one, name)
        )
        return Traffic(others=sum_of(staying), waiting=False)

    def _yields(self, one: str, name: str) -> bool:
        """Whether one mobile node leaves a shared node to another that can be in time there without it.

        Those less important do, but not where the fleet's round keeps so many of them in time that they count
        for more together.
        """
        mine, its = priority_of(self._jobs, name), priority_of(self._jobs, one)
        if its >= mine or (one in self._kept and self._weight(mine) >= mine):
            return False
        plan = self._plans.get(one)
        return plan is None or not pinned(self._state, [stage.node for stage in plan.route.stages])
