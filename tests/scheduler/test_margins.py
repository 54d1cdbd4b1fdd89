"""Margins learnt from what clients say of their answers, and rounds that plan with them."""

from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import pytest

from tierline_broker import Plan, Requirement, Route, Stage, Tier
from tierline_scheduler import (
    ClusterState,
    Estimate,
    Objective,
    Reluctance,
    SchedulerConfig,
    apply,
    explain,
    run_round,
)
from tierline_scheduler.job import Job
from tierline_scheduler.leadership import Office
from tierline_scheduler.margins import BATCH, LEAST, Margins, hear, network_class, with_margins
from tierline_scheduler.service import _Desk
from tierline_scheduler.slowloop import SlowLoop

OBJECTIVE = Objective(deadline=0.5)
TARGET = 0.05
NAME = "mobile-0"
ROUTE = Route(stages=(Stage(tier=Tier.MOBILE, node=NAME, layer=16, codec="input"),))


def planned(kit: Any, **fields: Any) -> ClusterState:
    state = kit.deployment(kit.text.card, **fields)
    for plan in run_round(state, OBJECTIVE, Reluctance(), {}).changed.values():
        state = apply(state, plan, 0.0)
    return state


def said(seen: int, late: int, **fields: Any) -> Requirement:
    given = {"client": "app", "node": NAME, "deadline": 0.5, "outcomes": {NAME: (seen, late)}}
    return Requirement.model_validate(given | fields)


def learnt(
    state: ClusterState, *reports: Requirement, promises: dict[str, bool] | None = None
) -> dict[str, float]:
    margins, given = Margins(), {NAME: True} if promises is None else promises
    for report in reports:
        state = apply(state, report, 0.0)
        margins = hear(margins, report, state, OBJECTIVE, given)
    return dict(margins.by_class)


def test_more_late_than_may_be_raise_the_margin_of_their_class_and_fewer_lower_it(kit: Any) -> None:
    state = planned(kit)
    kind = network_class(state.nodes[NAME])

    assert learnt(state, said(BATCH, 4))[kind] > OBJECTIVE.margin
    assert learnt(state, said(BATCH, 0))[kind] < OBJECTIVE.margin
    assert learnt(state, said(BATCH - 1, 5)) == {}
    assert learnt(state, said(BATCH - 1, 5), said(BATCH, 5)).keys() == {kind}


def test_what_says_nothing_of_the_margin_changes_none(kit: Any) -> None:
    state = planned(kit)
    loose = {NAME: False}

    assert learnt(state, said(100, 0), promises=loose) == {}  # with time to spare nobody is late
    assert learnt(state, said(100, 8), promises=loose) == {}  # chance
    assert learnt(state, said(100, 50), promises=loose)
    assert learnt(state, said(100, 50), promises={}) == {}  # nothing could keep that deadline
    assert learnt(state, said(100, 50, deadline=0.1)) == {}  # not what the plan was made for
    assert learnt(state, said(100, 50, deadline=None)) == {}
    assert learnt(state, said(100, 50, outcomes={"nobody": (100, 50)})) == {}
    once = learnt(state, said(100, 50))
    assert learnt(state, said(100, 50), said(100, 50)) == once  # repeated, not new


def test_a_hostile_report_moves_no_margin_out_of_bounds(kit: Any) -> None:
    state = planned(kit)
    most = [said(10**15 * k, 10**15 * k) for k in range(1, 20)]

    assert max(learnt(state, *most).values()) <= 4.0
    assert learnt(state, said(5, 90)) == {}
    assert (
        learnt(state, *(said(1000 * k, 0) for k in range(1, 200)))[network_class(state.nodes[NAME])] == LEAST
    )


def test_a_job_gets_its_class_s_margin_and_keeps_its_own_wishes(kit: Any) -> None:
    nodes = planned(kit, mobiles=2).nodes
    mobiles = {name: node for name, node in nodes.items() if node.tier is Tier.MOBILE}
    jobs = with_margins({NAME: Job(deadline=0.3)}, mobiles, {network_class(nodes[NAME]): 2.5})

    assert jobs == {NAME: Job(deadline=0.3, margin=2.5), "mobile-1": Job(margin=2.5)}
    assert with_margins({}, mobiles, {}) == {}


def test_a_learnt_margin_is_kept_by_the_plans_of_the_next_round(kit: Any) -> None:
    state = kit.deployment(kit.image_card(), uplink=1e6)
    objective = Objective(deadline=0.45)
    kind = network_class(state.nodes[NAME])
    usual = run_round(state, objective, Reluctance(), {}).changed[NAME]
    careful = run_round(state, objective, Reluctance(), {}, {kind: 3.5}).changed[NAME]

    assert careful.predicted_seconds < usual.predicted_seconds


@dataclass
class Class:
    """Mobile nodes on links of one rate, all with deadlines of their own."""

    names: list[str]
    found: list[Estimate]
    deadlines: list[float]

    def chosen(self, margin: float) -> list[Estimate | None]:
        """What each would get with so much time kept free; None where nothing keeps its deadline then."""
        return [
            min(
                (one for one in self.found if one.seconds + margin * one.sd <= deadline),
                key=lambda one: one.cost,
                default=None,
            )
            for deadline in self.deadlines
        ]


def classes(kit: Any, rng: Random) -> tuple[ClusterState, list[Class]]:
    state, made = ClusterState(), []
    for number, rate in enumerate((3e5, 2e6, 2e7)):
        part = kit.deployment(kit.image_card(), rate=0.5, uplink=rate)
        names = [f"c{number}-{k}" for k in range(20)]
        found = [one.estimate for one in explain(part, OBJECTIVE, NAME)]
        fastest = min(one.seconds + 2 * one.sd for one in found)
        made.append(Class(names, found, [fastest * rng.uniform(1.0, 3.0) for _ in names]))
        for name, deadline in zip(names, made[-1].deadlines, strict=True):
            node = replace(part.nodes[NAME], name=name)
            plan = Plan(node=name, model="m", version=1, route=ROUTE, deadline=deadline)
            state = replace(state, nodes={**state.nodes, name: node}, plans={**state.plans, name: plan})
    return state, made


@pytest.mark.no_cover
@pytest.mark.parametrize("spread", [0.7, 2.0])
def test_the_share_that_is_late_is_the_target_in_each_class_however_much_answers_scatter(
    kit: Any, spread: float
) -> None:
    """Sixty mobile nodes in three classes, whose answers scatter otherwise than predicted."""
    rng, draws = Random(1), np.random.default_rng(1)
    state, made = classes(kit, rng)
    margins, told = Margins(), dict.fromkeys(state.nodes, (0, 0))
    late, seen = np.zeros(3), np.zeros(3)
    for turn in range(300):
        for number, one in enumerate(made):
            margin = margins.by_class.get(network_class(state.nodes[one.names[0]]), OBJECTIVE.margin)
            for name, plan, deadline in zip(one.names, one.chosen(margin), one.deadlines, strict=True):
                if plan is None:
                    continue
                missed = int((draws.normal(plan.seconds, spread * plan.sd, 10) > deadline).sum())
                told[name] = (told[name][0] + 10, told[name][1] + missed)
                tight = plan.seconds + (margin + 0.5) * plan.sd > deadline
                report = said(*told[name], client=name, deadline=deadline, outcomes={name: told[name]})
                state = replace(state, requirements={**state.requirements, name: (report, 1e9)})
                margins = hear(margins, report, state, OBJECTIVE, {name: tight})
                if turn >= 100 and tight:
                    late[number], seen[number] = late[number] + missed, seen[number] + 10

    assert seen.min() > 2000
    assert late / seen == pytest.approx([TARGET] * 3, abs=0.005)


async def test_the_scheduler_learns_from_what_clients_report_and_a_repeated_wish_is_no_news(kit: Any) -> None:
    slow = SlowLoop(SchedulerConfig(name="planner", broker="mqtt://nowhere"))
    desk = _Desk(Office(name="planner", incarnation=1), OBJECTIVE, slow)
    desk.state, desk.promises = planned(kit), {NAME: True}
    desk.fold(said(0, 0))
    desk.wake.clear()
    desk.fold(said(BATCH, 10))

    assert desk.margins.by_class[network_class(desk.state.nodes[NAME])] > OBJECTIVE.margin
    assert not desk.wake.is_set()
    desk.fold(said(BATCH, 10, deadline=0.4))
    assert desk.wake.is_set()
