"""What every plan would cost at every rate of a link, and the least that following the link could cost."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from tierline_broker import Route
from tierline_scheduler import Alternative, ClusterState, Objective, explain

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Costs:
    """Work and late samples of every plan at every rate of the grid, (G, P), and where each plan is."""

    grid: Floats  # bytes per second, rising
    index: dict[str, int]
    work: Floats  # weighted seconds a sample
    late: Floats  # share of samples

    def over(self, rates: Floats, objective: Objective) -> tuple[Floats, Floats]:
        """Return what a sample costs, and the share of late samples, of all plans over time, (T, P).

        As the objective has it, the late samples that its margin allows for cost nothing.
        """
        excess = np.maximum(0.0, self.late - NormalDist().cdf(-objective.margin))
        cost = self.work + objective.late_cost * excess
        return _between(cost, self.grid, rates), _between(self.late, self.grid, rates)


def costs(at: Callable[[float], ClusterState], grid: Floats, objective: Objective) -> Costs:
    """Return what each plan of "mobile" costs, the state at each rate being `at(rate)`."""
    index: dict[str, int] = {}
    columns: dict[Hashable, int] = {}
    work, late = [], []
    for rate in grid:
        found = {_same(one): one for one in possible(at(float(rate)), objective)}
        columns = columns or {name: column for column, name in enumerate(found)}
        index = index or {key(one.route): columns[name] for name, one in found.items()}
        work.append([found[name].estimate.cost for name in columns])
        late.append([found[name].estimate.late for name in columns])
    return Costs(grid, index, np.array(work), np.array(late))


def possible(state: ClusterState, objective: Objective) -> list[Alternative]:
    """Return every plan of "mobile" that can be carried out at all, accurately enough."""
    hard = {"memory", "frame", "accuracy"}
    return [one for one in explain(state, objective, "mobile") if not hard & set(one.estimate.broken)]


def key(route: Route) -> str:
    """Return what tells one route from another."""
    return route.model_dump_json()


def clairvoyant(cost: Floats, switch: float) -> float:
    """Return the least that a sequence of plans can cost (T, P), each change included: exact."""
    least = cost[0]
    for now in cost[1:]:
        least = np.minimum(least, least.min() + switch) + now
    return float(least.min())


def constant(cost: Floats) -> float:
    """Return the least that one plan costs throughout, (T, P)."""
    return float(cost.sum(axis=0).min())


def _same(one: Alternative) -> Hashable:
    """Return what tells one alternative from another, much sooner than its route would."""
    found = one.estimate.candidate
    legs = tuple((leg.layer, leg.codec) for leg in found.legs)
    return one.estimate.names, legs, found.used, tuple(found.card.thresholds), tuple(found.card.gains)


def _between(table: Floats, grid: Floats, rates: Floats) -> Floats:
    place = np.interp(np.log(rates), np.log(grid), np.arange(len(grid)))
    lower = np.minimum(place.astype(int), len(grid) - 2)
    share = (place - lower)[:, None]
    found: Floats = table[lower] * (1 - share) + table[lower + 1] * share
    return found
