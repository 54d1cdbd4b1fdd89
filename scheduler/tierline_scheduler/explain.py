"""Every alternative with its predicted figures and the reason that rejects it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from tierline_broker import Route
from tierline_scheduler.candidates import as_route
from tierline_scheduler.errors import SchedulerError
from tierline_scheduler.estimate import Estimate, estimates
from tierline_scheduler.faring import SlowPrices, with_slow_prices
from tierline_scheduler.job import objective_of
from tierline_scheduler.objective import Objective
from tierline_scheduler.options import Option, accuracy_floor, cost, limits, options
from tierline_scheduler.places import Places
from tierline_scheduler.planner import Choice, ledger_of, mobiles, model_of
from tierline_scheduler.requirements import jobs_of
from tierline_scheduler.sharing import choose_in_fleet, guided
from tierline_scheduler.state import ClusterState, NodeState
from tierline_scheduler.table import full_tables
from tierline_scheduler.view import server_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """One way to serve a mobile node; `rejected` is empty for the one that is chosen."""

    estimate: Estimate
    rejected: str

    @property
    def route(self) -> Route:
        """As a plan would say it."""
        return as_route(self.estimate.candidate, self.estimate.names)


def explain(
    state: ClusterState, objective: Objective, mobile: str, *, slow: SlowPrices | None = None
) -> Iterator[Alternative]:
    """Yield every alternative for a mobile node, the chosen one first, the others in a fixed order.

    Judged is what is best now, by what the node's clients require, at what others ask of shared nodes and at
    the prices of those that are short; a plan in force may be kept although it is no longer the best.

    Args:
        state: what is known.
        objective: of the site.
        mobile: name of a mobile node.
        slow: prices at which classes of devices fare alike, if they are to.

    Raises:
        SchedulerError: nothing is known of the node, or nothing is possible for it.
    """
    node = state.nodes.get(mobile)
    if node is None or not node.usable:
        raise SchedulerError(f"{mobile} is not a node that is ready and profiled; see `tierline nodes`")
    site, jobs = with_slow_prices(objective, jobs_of(state), state, slow or SlowPrices())
    own, ledger = objective_of(site, jobs.get(mobile)), ledger_of(state, site)
    shared = guided(state, mobiles(state), site, jobs, ledger)
    places = Places(state, site, jobs, kept=shared.starts)
    contest = partial(places.contest, mobile, ledger)
    choice = choose_in_fleet(state, node, own, ledger.traffic(mobile), shared, contest)
    if choice is None:
        raise SchedulerError(f"{mobile} has no possible plan: no node has the memory for the model's blocks")
    yield Alternative(estimate=choice.best, rejected="")
    for option in options(state, node, full_tables(model_of(node)), choice.traffic, own):
        yield from _alternatives(option, choice, node, own, choice.prices)


def _alternatives(
    option: Option, choice: Choice, node: NodeState, objective: Objective, prices: Mapping[str, float]
) -> Iterator[Alternative]:
    floor = accuracy_floor(model_of(node), objective)
    kept, costs = limits(option, objective, floor), cost(option, objective, prices)
    for found in estimates(option, kept, costs, objective, range(len(option.table.candidates))):
        if (found.names, found.candidate) != (choice.best.names, choice.best.candidate):
            reason = why_not(found, choice, objective, floor, prices)
            yield Alternative(estimate=found, rejected=reason)


def why_not(
    found: Estimate, choice: Choice, objective: Objective, floor: float, prices: Mapping[str, float]
) -> str:
    """Return in one line why an alternative was not chosen."""
    if found.broken and (choice.best.feasible or found.broken[0] in ("memory", "frame")):
        return _breach(found, objective, floor)
    best = choice.best
    if best.feasible:
        return _over_share(found, best, prices) or _behind(found, best, priced=bool(prices))
    if found.accuracy < best.accuracy and "accuracy" in found.broken:
        return f"accuracy {found.accuracy:.3f} against {best.accuracy:.3f}"
    if found.safe_seconds > best.safe_seconds:
        return f"slower: {found.safe_seconds:.3f} s with margin against {best.safe_seconds:.3f} s"
    return "the same, later in order"


def _over_share(found: Estimate, best: Estimate, prices: Mapping[str, float]) -> str:
    """Return which node that is short it would take more of than its share; empty if none."""
    for name in prices:
        busy, share = (one.loads[name].utilisation if name in one.loads else 0.0 for one in (found, best))
        if busy > share * (1 + 1e-6) and found.cost <= best.cost:
            return f"{name} is short: it takes {busy:.1%} of it, of which {share:.1%} are left to this node"
    return ""


def _behind(found: Estimate, best: Estimate, *, priced: bool) -> str:
    if found.cost > best.cost:
        said = f"more work: {found.cost * 1000:.2f} ms a sample against {best.cost * 1000:.2f} ms"
        return f"{said}, at the prices of what is short" if priced else said
    if round(found.mean_seconds, 9) > round(best.mean_seconds, 9):  # as the planner ranks them
        return f"same work, slower: {found.mean_seconds:.3f} s on average against {best.mean_seconds:.3f} s"
    if found.sent_bytes > best.sent_bytes:
        return f"same work and speed, {found.sent_bytes:.0f} bytes a sample against {best.sent_bytes:.0f}"
    return "the same, later in order"


def _breach(found: Estimate, objective: Objective, floor: float) -> str:
    match found.broken[0]:
        case "memory":
            return "a node has no memory for its blocks"
        case "frame":
            largest = max(leg.received_bytes for leg in found.candidate.legs)
            return f"a hand-off of {largest} bytes is over the limit of {objective.max_frame_bytes}"
        case "accuracy":
            return f"accuracy {found.accuracy:.3f} is below the floor of {floor:.3f}"
        case "deadline":
            return f"{found.safe_seconds:.3f} s with margin misses the deadline of {objective.deadline:g} s"
        case "utilisation":
            server, busy = max(found.utilisation.items(), key=lambda item: item[1])
            return f"{server_name(server)} would be {busy:.0%} busy, over {objective.max_utilisation:.0%}"
        case _:
            return f"the battery is under {objective.battery_floor:.0%} and it computes on the mobile node"
