"""The exact planner, a pure function: the least work within the limits, over every candidate and node."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from tierline_broker import Plan, Tier
from tierline_scheduler.candidates import from_route
from tierline_scheduler.estimate import Estimate, as_plan, estimate
from tierline_scheduler.ledger import Ledger, open_ledger
from tierline_scheduler.model import Model
from tierline_scheduler.objective import Objective
from tierline_scheduler.options import (
    Limits,
    Option,
    accuracy_floor,
    cost,
    expected,
    limits,
    make_option,
    options,
)
from tierline_scheduler.state import ClusterState, NodeState
from tierline_scheduler.table import Bools, Floats, make_table, tables
from tierline_scheduler.view import MOSTLY, NO_LOAD, Contest, Loads, Traffic, peers


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The best that can be done for a mobile node.

    Attributes:
        best: what it is, and is predicted to do ...
        traffic: ... at these loads ...
        prices: ... and these prices, with which any other is to be compared.
        note: what it falls short of; empty if nothing.
        off: nodes that it is not to make too busy, since others need them and it is late all the same.
    """

    best: Estimate
    traffic: Traffic
    prices: Mapping[str, float] = field(default_factory=dict)
    note: str = ""
    off: frozenset[str] = frozenset()


def choose(
    state: ClusterState,
    mobile: NodeState,
    objective: Objective,
    traffic: Traffic,
    prices: Mapping[str, float] | None = None,
    contest: Callable[[], Contest] | None = None,
) -> Choice | None:
    """Return the best for one mobile node: within all limits, else the fastest at the accuracy floor.

    Where others are in the way, who matters more counts on them to leave, and who is late whatever they do
    takes nothing of what they need. Where not even the accuracy floor can be kept, since no node has the
    memory for the blocks it takes, the most accurate comes first and the fastest of those. None if nothing
    at all can be carried out.

    Args:
        state: what is known.
        mobile: a usable mobile node.
        objective: what counts for it.
        traffic: the load of all others.
        prices: of the nodes that it shares, as a `Guide` has them.
        contest: says, where it is asked, who would give way; None: nobody, and nobody is to be spared.
    """
    prices, model = prices or {}, model_of(mobile)
    floor = accuracy_floor(model, objective)
    find = partial(first_of, objective=objective, floor=floor, prices=prices)
    found = list(options(state, mobile, tables(model, floor), traffic, objective))
    best = find(found, admit=_within, rank=by_cost)
    if best is not None:
        return Choice(best=best, traffic=traffic, prices=prices)
    note = f"nothing meets the deadline of {objective.deadline:g} s within limits"
    met = contest() if contest is not None else None
    if met is not None:
        left = found
        if met.there != traffic:
            left = list(options(state, mobile, tables(model, floor), met.there, objective))
        hoped = _hoped(left, model, objective, met, note)
        if hoped is not None:
            return hoped
    needed = met.needed if met is not None else {}
    best = find(found, admit=_accurate, rank=partial(_by_taken, needed=needed))
    if best is not None:
        off = frozenset(name for name in needed if isinstance(name, str))
        return Choice(best=best, traffic=traffic, prices=prices, note=note, off=off)
    found = list(options(state, mobile, tables(model, None), traffic, objective))
    best = find(found, admit=_possible, rank=_by_accuracy)
    if best is None:
        return None
    note = f"no node has the memory for the accuracy floor of {floor:.3f}"
    return Choice(best=best, traffic=traffic, prices=prices, note=note)


def _hoped(
    found: Sequence[Option], model: Model, objective: Objective, contest: Contest, note: str
) -> Choice | None:
    """Return the best where those who give way have done so; None where most would be late even then.

    Without prices: what others would pay for a node says nothing to whom they give way.
    """
    find = partial(first_of, objective=objective, floor=accuracy_floor(model, objective), prices={})
    best = find(found, admit=_within, rank=by_cost)
    if best is not None:
        return Choice(best=best, traffic=contest.there)
    beside = partial(_beside, loads=contest.firm.others, most=objective.max_utilisation)
    best = find(found, admit=beside, rank=_by_expected)
    if best is None:
        return None
    tried = as_plan(best, model=model.digest, version=1, reason="")
    alone = assess(contest.state, tried, objective, contest.firm)
    hopeful = alone is not None and alone.late <= 1 - MOSTLY
    return Choice(best=best, traffic=contest.there, note=note) if hopeful else None


def assess(
    state: ClusterState,
    in_force: Plan,
    objective: Objective,
    traffic: Traffic,
    prices: Mapping[str, float] | None = None,
) -> Estimate | None:
    """Return what a plan in force is predicted to do now; None where it can no longer be carried out."""
    mobile = state.nodes.get(in_force.node)
    stages = in_force.route.stages
    if mobile is None or mobile.model is None or not mobile.usable or not stages:
        return None
    if stages[0].node != mobile.name or in_force.model != mobile.model.digest:
        return None
    if any(stage.node not in peers(state, mobile, stage.tier) for stage in stages[1:]):
        return None
    candidate = from_route(mobile.model, in_force.route)
    if candidate is None:
        return None
    table = make_table(tuple(stage.tier for stage in stages), (candidate,))
    option = make_option(state, tuple(stage.node for stage in stages), table, traffic, objective)
    kept = limits(option, objective, accuracy_floor(mobile.model, objective))
    costs = cost(option, objective, prices)
    return estimate(option, kept, costs, 0, objective) if kept.possible[0] else None


def ledger_of(state: ClusterState, objective: Objective) -> Ledger:
    """Return what the plans in force ask for; no load depends on another's."""
    entries = {name: asked(state, in_force, objective) for name, in_force in state.plans.items()}
    return open_ledger(state, {name: loads for name, loads in entries.items() if loads is not None})


def asked(state: ClusterState, in_force: Plan, objective: Objective) -> Loads | None:
    """Return what one plan in force asks for; None where it can no longer be carried out."""
    found = assess(state, in_force, objective, Traffic())
    return None if found is None else found.loads


def mobiles(state: ClusterState) -> list[NodeState]:
    """Return the mobile nodes to plan for, in the order of their names."""
    nodes = (state.nodes[name] for name in sorted(state.nodes))
    return [node for node in nodes if node.tier is Tier.MOBILE and node.usable]


def model_of(node: NodeState) -> Model:
    """Return the model of a usable node."""
    if node.model is None:
        raise ValueError(f"{node.name} has no model; only usable nodes can be planned for")
    return node.model


def reason_of(choice: Choice, objective: Objective) -> str:
    """Return in one line what a choice is, for people."""
    best = choice.best
    figures = (
        f"{best.seconds:.3f} s for a sample that goes all the way ({best.safe_seconds:.3f} s with margin),"
        f" {best.mean_seconds:.3f} s on average, {best.cloud_seconds * 1000:.1f} ms of cloud work a sample"
    )
    if choice.note:
        return f"{choice.note}: the best there is takes {figures}"
    return f"least work within {objective.deadline:g} s at accuracy {best.accuracy:.3f}: {figures}"


def first_of(
    found: Iterable[Option],
    *,
    objective: Objective,
    floor: float,
    prices: Mapping[str, float],
    admit: Callable[[Limits, Option], Bools],
    rank: Callable[[Option, Objective, Mapping[str, float]], tuple[Floats, ...]],
) -> Estimate | None:
    """Return the admitted candidate that ranks first; ties go to fewer nodes, then to the order of names."""
    best: tuple[tuple[object, ...], Option, Limits, int] | None = None
    for option in found:
        kept = limits(option, objective, floor)
        rows = np.flatnonzero(admit(kept, option))
        if not len(rows):
            continue
        ranks = rank(option, objective, prices)
        row = int(rows[np.lexsort([values[rows] for values in reversed(ranks)])[0]])
        key = (*(float(values[row]) for values in ranks), len(option.names), option.names)
        if best is None or key < best[0]:
            best = key, option, kept, row
    if best is None:
        return None
    _, option, kept, row = best
    return estimate(option, kept, cost(option, objective, prices), row, objective)


def _within(kept: Limits, option: Option) -> Bools:
    return kept.all


def _accurate(kept: Limits, option: Option) -> Bools:
    return kept.possible & kept.accuracy


def _beside(kept: Limits, option: Option, loads: Loads, most: float) -> Bools:
    """What leaves these loads the room that they ask for, if nothing else keeps their nodes busy."""
    asked = np.array([_busy(loads, name) for name in option.names])
    room: Bools = np.all((option.figures.nodes.own + asked <= most) | (asked == 0), axis=1)
    return _accurate(kept, option) & room


def _busy(loads: Loads, name: str) -> float:
    return loads.get(name, NO_LOAD).utilisation


def _possible(kept: Limits, option: Option) -> Bools:
    return kept.possible


def by_cost(option: Option, objective: Objective, prices: Mapping[str, float]) -> tuple[Floats, ...]:
    """Rank by cost, then speed, then bytes."""
    figures = option.figures
    return (cost(option, objective, prices), np.round(figures.mean_seconds, 9), figures.sent_bytes)


def _by_expected(option: Option, objective: Objective, prices: Mapping[str, float]) -> tuple[Floats, ...]:
    costs = np.round(expected(option, objective, prices), 9)
    return (costs, *_by_speed(option, objective, prices))


def _by_taken(
    option: Option, objective: Objective, prices: Mapping[str, float], needed: Loads
) -> tuple[Floats, ...]:
    """Rank first by what is taken of nodes that others need, beyond the room that those leave."""
    own, asked = option.figures.nodes.own, np.array([_busy(needed, name) for name in option.names])
    beyond = np.clip(own + asked - objective.max_utilisation, 0.0, own) * (asked > 0)
    return (np.round(beyond.sum(axis=1), 9), *_by_expected(option, objective, prices))


def _by_speed(option: Option, objective: Objective, prices: Mapping[str, float]) -> tuple[Floats, ...]:
    figures, safe = option.figures, option.tail.quantile(objective.margin)
    return (np.round(safe, 9), np.round(figures.mean_seconds, 9), figures.sent_bytes)


def _by_accuracy(option: Option, objective: Objective, prices: Mapping[str, float]) -> tuple[Floats, ...]:
    return (-option.table.accuracy, *_by_speed(option, objective, prices))
