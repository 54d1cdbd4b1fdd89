"""Whether a round's changes pay together: each may pay for itself and still cost others more than it saves.

A mobile node that gives an edge up at its price counts on others to use it, and they may keep their plans
since no change of theirs pays by itself. So what a round leaves is never worse than keeping the plans in
force by more than the price of the changes: those that would make it so are taken back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tierline_broker import Plan
from tierline_scheduler.job import Jobs, objective_of, priority_of
from tierline_scheduler.ledger import Ledger
from tierline_scheduler.objective import Objective, Reluctance
from tierline_scheduler.planner import assess, mobiles
from tierline_scheduler.state import ClusterState
from tierline_scheduler.view import Loads, arrivals

TRIES = 16
"""Sets of changes that are weighed at most, over the whole fleet each; the undecided are then taken back."""
NOTHING = 1e-9  # weighted seconds of work a second


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One plan that a round would change; `forced` where the one in force breaks a limit or cannot stay."""

    plan: Plan
    loads: Loads
    forced: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """What the changes of a round are weighed with.

    Attributes:
        state: what is known.
        plans: those in force that can be reckoned with.
        ledger: as the round began.
        objective: of the site.
        jobs: what is different for some mobile nodes.
        reluctance: what a change must bring.
    """

    state: ClusterState
    plans: Mapping[str, Plan]
    ledger: Ledger
    objective: Objective
    jobs: Jobs
    reluctance: Reluctance

    def price(self, name: str) -> float:
        """Return what a change of this mobile node's plan may cost, in weighted seconds a second."""
        own = objective_of(self.objective, self.jobs.get(name))
        sample = self.reluctance.switch_seconds * own.late_cost / self.reluctance.horizon
        return self._rate(name, own) * sample

    def weigh(self, changes: Sequence[Change]) -> float:
        """Return what everybody's samples cost after these changes, late ones paid for by priority."""
        plans, ledger = dict(self.plans), self.ledger
        for one in changes:
            plans[one.plan.node] = one.plan
            ledger = ledger.replaced(one.plan.node, one.loads)
        return sum(self._cost(name, plan, ledger) for name, plan in sorted(plans.items()))

    def _cost(self, name: str, plan: Plan, ledger: Ledger) -> float:
        own = objective_of(self.objective, self.jobs.get(name))
        found = assess(self.state, plan, own, ledger.traffic(name))
        if found is None:
            return 0.0
        late = priority_of(self.jobs, name) * (found.expected - found.cost)
        return self._rate(name, own) * (found.cost + late)

    def _rate(self, name: str, own: Objective) -> float:
        return arrivals(self.state.nodes[name], own.expected_rate).rate


def taken_back(scales: Scales, changes: Sequence[Change]) -> set[str]:
    """Return the mobile nodes whose plans are better not changed, for the sake of all.

    Args:
        scales: what the round began with.
        changes: in the order in which they were decided.
    """
    forced, rest = [one for one in changes if one.forced], [one for one in changes if not one.forced]
    if not rest or len(mobiles(scales.state)) <= 1:
        return set()
    known = scales.weigh(forced)
    kept, back, tries = list(forced), set[str](), 0
    while rest and tries < TRIES:
        good, weighed, tries = _longest(scales, kept, rest, known, tries)
        kept, known = [*kept, *rest[:good]], weighed
        if good < len(rest):
            back.add(rest[good].plan.node)
        rest = rest[good + 1 :]
    return back | {one.plan.node for one in rest}


def _longest(
    scales: Scales, kept: Sequence[Change], rest: Sequence[Change], known: float, tries: int
) -> tuple[int, float, int]:
    """Return how many more changes, from the first on, pay together, by halving; their cost, and tries."""
    good, bad, size, found = 0, len(rest) + 1, len(rest), known
    while good < size and tries < TRIES:
        weighed, tries = scales.weigh([*kept, *rest[:size]]), tries + 1
        allowed = known + sum(scales.price(one.plan.node) for one in rest[:size]) + NOTHING
        good, bad, found = (size, bad, weighed) if weighed <= allowed else (good, size, found)
        size = (good + bad) // 2
    return good, found, tries
