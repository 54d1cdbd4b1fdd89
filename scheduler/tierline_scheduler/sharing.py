"""Mobile nodes that share edges and clouds: each one's exact best within its share of what is short."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from tierline_broker import Plan
from tierline_scheduler.estimate import Estimate, as_plan, estimate
from tierline_scheduler.fleet.guide import SMALL, Guide, guide
from tierline_scheduler.job import Jobs, objective_of
from tierline_scheduler.ledger import Ledger
from tierline_scheduler.objective import Objective
from tierline_scheduler.options import Limits, Option, accuracy_floor, cost, limits, make_option, options
from tierline_scheduler.places import Places
from tierline_scheduler.planner import (
    Choice,
    by_cost,
    choose,
    first_of,
    ledger_of,
    mobiles,
    model_of,
    reason_of,
)
from tierline_scheduler.requirements import by_priority
from tierline_scheduler.state import ClusterState, NodeState
from tierline_scheduler.table import Bools, Floats, make_table, tables
from tierline_scheduler.view import Contest, Traffic


def plan(state: ClusterState, objective: Objective, jobs: Jobs | None = None) -> dict[str, Plan]:
    """Return the best plan of every mobile node, whatever is in force now.

    One that shares nothing gets its exact optimum. Where several share edges and clouds, the fleet is
    planned as a whole (`fleet.guide`), each plan is then judged by the exact prediction, and each mobile node
    may improve on it by itself while it breaks no limit of anybody's. A mobile node for which nothing is
    possible, not even alone, is left out.

    Args:
        state: what is known.
        objective: of the site.
        jobs: what mobile nodes ask for instead, by name.
    """
    asking, found, own = jobs or {}, mobiles(state), partial(_own, objective=objective, jobs=jobs or {})
    ledger = ledger_of(state, objective)
    shared = guided(state, found, objective, asking, ledger)
    ledger = started(state, objective, ledger, shared)
    choices: dict[str, Choice] = {}
    plans: dict[str, Plan] = {}
    places = Places(state, objective, asking, kept=shared.starts)
    for sweep in range(2 if shared.starts else 1):
        for mobile in by_priority(found, asking):
            name, given = mobile.name, shared if sweep == 0 else Guide()
            contest = partial(places.contest, name, ledger)
            choice = choose_in_fleet(state, mobile, own(name), ledger.traffic(name), given, contest)
            if choice is None or (sweep and choice.best.cost >= choices[name].best.cost):
                continue
            ledger, choices[name] = ledger.replaced(name, choice.best.loads), choice
            plans[name] = _record(state, choice, own(name))
            places.decided(name, plans[name], ledger)
    return plans


def guided(
    state: ClusterState, everybody: Sequence[NodeState], objective: Objective, jobs: Jobs, ledger: Ledger
) -> Guide:
    """Return what a round of the fleet says; nothing where nobody is in anybody's way.

    Args:
        state: what is known.
        everybody: usable mobile nodes, in the order of their names.
        objective: of the site.
        jobs: what is different for some of them.
        ledger: what is asked of the nodes when the round begins.
    """
    if len(everybody) <= 1:
        return Guide()
    if len(everybody) <= SMALL and _content(state, everybody, objective, jobs, ledger):
        return Guide()
    return guide(state, everybody, objective, jobs, ledger)


def _content(
    state: ClusterState, everybody: Sequence[NodeState], objective: Objective, jobs: Jobs, ledger: Ledger
) -> bool:
    """Whether everybody gets, one after the other, what it would get with nobody else there."""
    alone = ledger.alone()
    for mobile in everybody:
        own = objective_of(objective, jobs.get(mobile.name))
        best = choose(state, mobile, own, alone)
        found = choose(state, mobile, own, ledger.traffic(mobile.name))
        if found is None or best is None:
            continue
        if found.best.cost > best.best.cost or found.best.feasible != best.best.feasible:
            return False
        ledger = ledger.replaced(mobile.name, found.best.loads)
    return True


def started(state: ClusterState, objective: Objective, ledger: Ledger, shared: Guide) -> Ledger:
    """Return the ledger in which mobile nodes have the plans that the fleet's round starts them with."""
    for name in shared.starts:
        found = _start(state, objective, ledger.traffic(name), shared, name)
        if found is not None:
            ledger = ledger.replaced(name, found.loads)
    return ledger


def choose_in_fleet(
    state: ClusterState,
    mobile: NodeState,
    objective: Objective,
    traffic: Traffic,
    shared: Guide,
    contest: Callable[[], Contest] | None = None,
) -> Choice | None:
    """Return the best within a mobile node's share of what is short; the best at its prices if nothing is.

    Plans do not follow from prices alone: at the price of an edge, mobile nodes that are alike are all as
    well off on either side, and it is the fleet's round that says how many belong where.

    Args:
        state: what is known.
        mobile: a usable mobile node.
        objective: what counts for it.
        traffic: the load of all others.
        shared: what the fleet's round says.
        contest: as in `choose`.
    """
    start = _start(state, objective, traffic, shared, mobile.name) if shared.prices else None
    if start is None:
        return choose(state, mobile, objective, traffic, shared.prices, contest)
    share = {name: start.loads[name].utilisation if name in start.loads else 0.0 for name in shared.prices}
    model = model_of(mobile)
    floor = accuracy_floor(model, objective)
    best = first_of(
        options(state, mobile, tables(model, floor), traffic, objective),
        objective=objective,
        floor=floor,
        prices=shared.prices,
        admit=partial(_within_share, share=share),
        rank=_by_own_cost,
    )
    if best is None:
        return choose(state, mobile, objective, traffic, shared.prices, contest)
    return Choice(best=best, traffic=traffic, prices=shared.prices)


def _start(
    state: ClusterState, objective: Objective, traffic: Traffic, shared: Guide, name: str
) -> Estimate | None:
    """Return what the fleet's round gives a mobile node, as predicted exactly; None if it gives nothing."""
    if name not in shared.starts:
        return None
    nodes, candidate = shared.starts[name]
    table = make_table(tuple(leg.tier for leg in candidate.legs), (candidate,), choosing=True)
    option = make_option(state, nodes, table, traffic, objective)
    kept = limits(option, objective, accuracy_floor(model_of(state.nodes[name]), objective))
    return estimate(option, kept, cost(option, objective, shared.prices), 0, objective)


def _own(name: str, objective: Objective, jobs: Jobs) -> Objective:
    return objective_of(objective, jobs.get(name))


def _record(state: ClusterState, choice: Choice, objective: Objective) -> Plan:
    name = choice.best.names[0]
    known = state.plans.get(name)
    return as_plan(
        choice.best,
        model=model_of(state.nodes[name]).digest,
        version=1 if known is None else known.version + 1,
        reason=reason_of(choice, objective),
    )


def _within_share(kept: Limits, option: Option, share: Mapping[str, float]) -> Bools:
    most = np.array([share.get(name, np.inf) for name in option.names])
    within: Bools = np.all(option.figures.nodes.own <= most * (1 + 1e-6), axis=1)
    return kept.all & within


def _by_own_cost(option: Option, objective: Objective, prices: Mapping[str, float]) -> tuple[Floats, ...]:
    return by_cost(option, objective, {})
