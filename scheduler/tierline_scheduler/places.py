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
from tierline_scheduler.view import MOSTLY, NO_LOAD, Contest, Traffic, pinned


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
        self._decided: set[str] = set()
        self._holds: dict[str, bool] | None = None
        self._fast: ClusterState | None = None
        self._weights: dict[float, float] = {}

    def decided(self, name: str, plan: Plan | None, ledger: Ledger) -> None:
        """Take note of the plan that a mobile node gets; None: the one in force stays."""
        self._decided.add(name)
        if plan is not None:
            self._plans[name] = plan
        if self._holds is not None:
            self._holds[name] = self._in_time(name, ledger, self._holds)

    def contest(self, name: str, ledger: Ledger) -> Contest:
        """Return what is in a mobile node's way, by whether it would give way."""
        holds, mine = self._look(ledger), priority_of(self._jobs, name)
        everybody, others = ledger.traffic(name), [one for one in ledger.entries if one != name]
        priorities = {one: priority_of(self._jobs, one) for one in others}
        yielding = sum_of(ledger.entries[one] for one in others if self._yields(one, name, holds))
        return Contest(
            state=self._favoured(name),
            there=Traffic(
                others={
                    server: load.minus(yielding.get(server, NO_LOAD))
                    for server, load in everybody.others.items()
                },
                explained=everybody.explained,
            ),
            firm=self._firm(name, ledger, holds),
            needed=sum_of(ledger.entries[one] for one in others if holds[one] or priorities[one] > mine),
        )

    def _look(self, ledger: Ledger) -> dict[str, bool]:
        """Return who holds its place, the more important ones first, each as the others were then."""
        if self._holds is None:
            holds = dict.fromkeys(ledger.entries, True)
            for name in sorted(holds, key=lambda one: (-priority_of(self._jobs, one), one)):
                settled = name in self._kept and name not in self._decided
                holds[name] = settled or self._in_time(name, ledger, holds)
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
            if one != name and holds.get(one, False) and not self._yields(one, name, holds)
        )
        return Traffic(others=sum_of(staying), waiting=False)

    def _yields(self, one: str, name: str, holds: dict[str, bool]) -> bool:
        """Whether one mobile node leaves a shared node to another that can be in time there without it.

        Those less important do, but not where the fleet's round keeps so many of them in time that they count
        for more together; and of those as important who are late anyway, those that are decided for later.
        """
        plan, mine, its = self._plans.get(one), *(priority_of(self._jobs, each) for each in (name, one))
        if self._state.orders and plan is not None and pinned(self._state, _nodes_of(plan)):
            return False
        if one in self._kept and (its == mine or self._weight(mine) >= mine):
            return False
        return its < mine or (its == mine and not holds.get(one, False) and one not in self._decided)


def _nodes_of(plan: Plan) -> list[str]:
    return [stage.node for stage in plan.route.stages]
