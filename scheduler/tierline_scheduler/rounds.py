"""One round of scheduling, a pure function: the same in the service, in replay and in virtual time."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from tierline_broker import Plan, Price
from tierline_scheduler.chance import allowed_late
from tierline_scheduler.estimate import Estimate, as_plan
from tierline_scheduler.fallbacks import fallbacks, prices_of
from tierline_scheduler.faring import SlowPrices, with_slow_prices
from tierline_scheduler.fleet import Guide
from tierline_scheduler.fleet.snapshot import snapshot
from tierline_scheduler.hysteresis import Standing, keep_or_switch
from tierline_scheduler.job import Jobs, objective_of
from tierline_scheduler.joint import Change, Scales, taken_back
from tierline_scheduler.ledger import Ledger, open_ledger
from tierline_scheduler.margins import with_margins
from tierline_scheduler.objective import Objective, Reluctance
from tierline_scheduler.places import Places
from tierline_scheduler.planner import Choice, asked, assess, mobiles, model_of, reason_of
from tierline_scheduler.requirements import by_priority, jobs_of
from tierline_scheduler.sharing import choose_in_fleet, guided
from tierline_scheduler.state import ClusterState, NodeState
from tierline_scheduler.view import Loads, Traffic, pinned

Standings = Mapping[str, Standing]
_NEARLY, _KEPT = 0.3, 1.2  # of what may be late
WHOLE_FLEET = "the whole fleet"
"""Whom it is told of where planning the fleet fails: each mobile node is then planned for by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """What a round decided.

    Attributes:
        changed: the plans to put into force, by mobile node.
        standings: to be handed to the next round.
        impossible: mobile nodes for which there is no plan at all.
        failed: what went wrong where nothing should, by the node whose plan it was about; that plan stays.
        prices: what the time of each shared node costs now.
        promises: the mobile nodes whose plans are to keep their deadline, and whether they use it up.
    """

    changed: Mapping[str, Plan] = field(default_factory=dict)
    standings: Standings = field(default_factory=dict)
    impossible: tuple[str, ...] = ()
    failed: Mapping[str, Exception] = field(default_factory=dict)
    prices: Mapping[str, Price] = field(default_factory=dict)
    promises: Mapping[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Decision:
    """What became of one mobile node; without a standing nothing is possible for it."""

    standing: Standing | None = None
    plan: Plan | None = None
    tight: bool | None = None  # the plan uses its deadline up; None: it does not even keep it
    loads: Loads = field(default_factory=dict)  # of the new plan
    forced: bool = False  # the plan in force cannot stay


def run_round(
    state: ClusterState,
    objective: Objective,
    reluctance: Reluctance,
    standings: Standings,
    margins: Mapping[str, float] | None = None,
    slow: SlowPrices | None = None,
) -> Round:
    """Decide for every mobile node whether its plan in force stays, at `state.now`.

    `margins` are those that network classes have learnt, in deviations kept free before the deadline; `slow`
    are the prices at which classes of devices fare alike.

    What is known of nodes came from them. Should one have said what no check of ours foresaw, it is left
    out of the round, and all others are planned for.
    """
    failed: dict[str, Exception] = {}
    ledger = _ledger(state, objective, failed)
    jobs = with_margins(jobs_of(state), {node.name: node for node in mobiles(state)}, margins or {})
    objective, jobs = with_slow_prices(objective, jobs, state, slow or SlowPrices())
    scales = Scales(
        state=state, ledger=ledger, objective=objective, jobs=jobs, reluctance=reluctance, plans=state.plans
    )
    shared = _guided(state, objective, jobs, ledger, failed)
    draft = _drafted(scales, standings, shared, failed)
    return Round(
        changed={one.plan.node: one.plan for one in draft.changes},
        standings=draft.standings,
        impossible=tuple(draft.impossible),
        failed=failed,
        prices=prices_of(state, draft.ledger, shared.prices, shared.waits),
        promises=draft.promises,
    )


@dataclass(slots=True, kw_only=True)
class _Draft:
    """A round as far as it has come."""

    ledger: Ledger
    changes: list[Change] = field(default_factory=list)
    standings: dict[str, Standing] = field(default_factory=dict)
    impossible: list[str] = field(default_factory=list)
    promises: dict[str, bool] = field(default_factory=dict)


def _drafted(scales: Scales, standings: Standings, shared: Guide, failed: dict[str, Exception]) -> _Draft:
    """Decide for one mobile node after the other, each reckoning with what those before it got."""
    draft, jobs = _Draft(ledger=scales.ledger), scales.jobs
    places = Places(scales.state, scales.objective, jobs, kept=shared.starts)
    for mobile in by_priority(mobiles(scales.state), jobs):
        own, known = objective_of(scales.objective, jobs.get(mobile.name)), standings.get(mobile.name)
        contest = partial(places.contest, mobile.name, draft.ledger)
        traffic = draft.ledger.traffic(mobile.name)
        try:
            choice = choose_in_fleet(scales.state, mobile, own, traffic, shared, contest)
            decision = _decide(scales, mobile, own, traffic, known, choice)
        except Exception as error:  # noqa: BLE001 (whatever a node's records do to it ends this decision)
            failed[mobile.name] = error
            if known is not None:
                draft.standings[mobile.name] = known
            continue
        if decision.standing is None:
            draft.impossible.append(mobile.name)
            continue
        draft.standings[mobile.name] = decision.standing
        if decision.tight is not None:
            draft.promises[mobile.name] = decision.tight
        if decision.plan is not None:
            draft.changes.append(Change(plan=decision.plan, loads=decision.loads, forced=decision.forced))
            draft.ledger = draft.ledger.replaced(mobile.name, decision.loads)
        places.decided(mobile.name, decision.plan, draft.ledger)
    sound = {name: plan for name, plan in scales.plans.items() if name not in failed}
    _take_back(draft, replace(scales, plans=sound), standings)
    return draft


def _take_back(draft: _Draft, scales: Scales, standings: Standings) -> None:
    """Leave plans in force whose changes cost others more than they save."""
    back = taken_back(scales, draft.changes)
    for name in back:
        draft.ledger = draft.ledger.replaced(name, scales.ledger.entries.get(name, {}))
        draft.standings[name] = standings.get(name, Standing(since=scales.state.now))
        draft.promises.pop(name, None)
    draft.changes = [one for one in draft.changes if one.plan.node not in back]


def _ledger(state: ClusterState, objective: Objective, failed: dict[str, Exception]) -> Ledger:
    """Return what the plans in force ask for, but those that cannot be reckoned with."""
    entries: dict[str, Loads] = {}
    for name, in_force in state.plans.items():
        try:
            loads = asked(state, in_force, objective)
        except Exception as error:  # noqa: BLE001 (as in a round)
            failed[name] = error
            continue
        if loads is not None:
            entries[name] = loads
    return open_ledger(state, entries)


def _guided(
    state: ClusterState, objective: Objective, jobs: Jobs, ledger: Ledger, failed: dict[str, Exception]
) -> Guide:
    """Return what the fleet's round says, without mobile nodes that cannot be reckoned with."""
    everybody = mobiles(state)
    try:
        return guided(state, everybody, objective, jobs, ledger)
    except Exception as error:  # noqa: BLE001 (whose records do that is found out when it is decided for)
        sound = [mobile for mobile in everybody if _sound(state, mobile, objective, ledger)]
        if len(sound) < len(everybody):
            return guided(state, sound, objective, jobs, ledger)
        failed[WHOLE_FLEET] = error
        return Guide()


def _sound(state: ClusterState, mobile: NodeState, objective: Objective, ledger: Ledger) -> bool:
    try:
        snapshot(state, [mobile], objective, {}, ledger)
    except Exception:  # noqa: BLE001 (as in a round)
        return False
    return True


def _decide(
    scales: Scales,
    mobile: NodeState,
    objective: Objective,
    traffic: Traffic,
    standing: Standing | None,
    choice: Choice | None,
) -> _Decision:
    """Decide for one mobile node between its plan in force and the best there is."""
    if choice is None:
        return _Decision()
    state, in_force = scales.state, scales.state.plans.get(mobile.name)
    current = None if in_force is None else assess(state, in_force, objective, choice.traffic, choice.prices)
    # While others still have to leave, nothing is promised.
    sure = choice.traffic == traffic
    tight = _tight(current or choice.best, objective) if sure else None
    if current is not None and _stays(state, current, choice.best):
        return _Decision(standing=standing or Standing(since=state.now), tight=tight)
    compared = _compared(state, in_force, current, choice, objective)
    verdict = keep_or_switch(
        standing, *compared, objective, scales.reluctance, now=state.now, needed=choice.off
    )
    if not verdict.change:
        return _Decision(standing=verdict.standing, tight=tight)
    plan = as_plan(
        choice.best,
        model=model_of(mobile).digest,
        version=1 + max(mobile.plan, 0 if in_force is None else in_force.version),
        reason=f"{verdict.change}; {reason_of(choice, objective)}{_seen(mobile)}",
    )
    plan = plan.model_copy(
        update={
            "deadline": objective.deadline,
            "fallbacks": fallbacks(state, mobile, objective, traffic),
            "mix": dict(mobile.mix.pools),
        }
    )
    return _Decision(
        standing=verdict.standing,
        plan=plan,
        loads=choice.best.loads,
        tight=_tight(choice.best, objective) if sure else None,
        forced=verdict.forced,
    )


def _compared(
    state: ClusterState,
    in_force: Plan | None,
    current: Estimate | None,
    choice: Choice,
    objective: Objective,
) -> tuple[Estimate | None, Estimate]:
    """Return the plan in force and the best there is, at no prices where only the second is in time.

    Prices say who gives way of those that keep their deadlines, at what it costs a fleet that somebody does
    not. A plan that misses its deadline has given way already, and is no use to anybody where it is.
    """
    best, traffic = choice.best, choice.traffic
    if in_force is None or current is None or "deadline" not in current.broken or not best.feasible:
        return current, best
    wanted = as_plan(best, model=in_force.model, version=in_force.version, reason="")
    plain = [assess(state, one, objective, traffic) for one in (in_force, wanted)]
    return (plain[0], plain[1]) if plain[0] is not None and plain[1] is not None else (current, best)


def _tight(found: Estimate, objective: Objective) -> bool | None:
    share = found.late / allowed_late(objective.margin)
    return None if share > _KEPT else share >= _NEARLY


def _seen(mobile: NodeState) -> str:
    return f"; samples are now {mobile.mix.words}" if mobile.mix.words else ""


def _stays(state: ClusterState, current: Estimate, best: Estimate) -> bool:
    """Return whether a plan that can be carried out is not to be changed, whatever it might save.

    Somebody may have pinned it. Or we have only just begun, and a node has not said yet how it is: then what
    we would choose rests on assumptions, and what is in force on measurements.
    """
    names = {*current.names, *best.names}
    return pinned(state, current.names) or any(state.nodes[name].speed is None for name in names)
