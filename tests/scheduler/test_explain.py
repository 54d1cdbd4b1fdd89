from typing import Any

import pytest

from tierline_broker import Plan, Tier
from tierline_scheduler import (
    ClusterState,
    Objective,
    Reluctance,
    SchedulerError,
    apply,
    explain,
    plan,
    run_round,
)
from tierline_scheduler.candidates import CHAINS, enumerate_candidates
from tierline_scheduler.estimate import estimate, estimates
from tierline_scheduler.model import read_card
from tierline_scheduler.options import accuracy_floor, cost, limits, options
from tierline_scheduler.planner import model_of
from tierline_scheduler.table import full_tables
from tierline_scheduler.view import Traffic


def chosen(state: ClusterState, objective: Objective) -> Plan:
    (found,) = plan(state, objective).values()
    return found


def test_every_alternative_is_listed_once_with_its_figures_and_the_chosen_one_first(kit: Any) -> None:
    state, objective = kit.deployment(kit.text.card), Objective(deadline=0.1, accuracy_drop=0.0)

    alternatives = list(explain(state, objective, "mobile-0"))

    model = read_card(kit.text.card)
    assert len(alternatives) == sum(1 for chain in CHAINS for _ in enumerate_candidates(model, chain))
    assert alternatives[0].rejected == ""
    assert alternatives[0].route == chosen(state, objective).route
    assert all(one.rejected for one in alternatives[1:])
    assert len({one.route.model_dump_json() for one in alternatives}) == len(alternatives)


def test_figures_worked_out_for_all_rows_at_once_are_those_of_each_by_itself(kit: Any) -> None:
    state, objective = kit.deployment(kit.text.card), Objective(deadline=0.1)
    node = state.nodes["mobile-0"]
    model = model_of(node)
    seen = 0
    for option in options(state, node, full_tables(model), Traffic(), objective):
        kept, costs = limits(option, objective, accuracy_floor(model, objective)), cost(option, objective)
        rows = range(len(costs))
        for row, found in zip(rows, estimates(option, kept, costs, objective, rows), strict=True):
            seen += 1
            if row % 7 == 0:
                assert found == estimate(option, kept, costs, row, objective)
                assert found.utilisation[option.names[-1]] == option.figures.nodes.total[row, -1]
                assert found.late == option.tail.late(objective.deadline)[row]

    assert seen > 100


def test_the_reasons_name_the_limit_or_what_is_worse(kit: Any) -> None:
    state = kit.deployment(kit.text.card, rate=6.0)
    small = kit.profile("edge-0", Tier.EDGE, kit.text.card, 3.0, max_layer=5)
    objective = Objective(deadline=0.4, accuracy_drop=0.02, max_frame_bytes=50_000)

    reasons = {one.rejected for one in explain(apply(state, small, 0.0), objective, "mobile-0")}

    for words in (
        "has no memory for its blocks",
        "a hand-off of 75000 bytes is over the limit of 50000",
        "is below the floor of",
        "misses the deadline of 0.4 s",
        "more work:",
        "same work, slower:",
    ):
        assert any(words in reason for reason in reasons), words


def test_the_busiest_node_is_named(kit: Any) -> None:
    state = kit.deployment(kit.text.card, rate=4.0)

    reasons = {one.rejected for one in explain(state, Objective(deadline=100.0), "mobile-0")}

    assert any(reason.startswith("mobile-0 would be 9") and "over 80%" in reason for reason in reasons)


def test_a_flat_battery_is_a_reason(kit: Any) -> None:
    state = kit.deployment(kit.text.card, rate=0.1, battery=0.02)

    reasons = {one.rejected for one in explain(state, Objective(deadline=5.0), "mobile-0")}

    assert "the battery is under 10% and it computes on the mobile node" in reasons


def test_ties_are_called_ties(kit: Any) -> None:
    state = kit.deployment(kit.text.card, edges=2, rate=0.1)

    reasons = [one.rejected for one in explain(state, Objective(deadline=0.3), "mobile-0")]

    assert "the same, later in order" in reasons


def test_bytes_decide_between_plans_of_the_same_work_and_speed(kit: Any) -> None:
    population = kit.population(blocks=2, exits=(2,), frames={"int8-lz4": 5_000, "int8": 5_001})
    state = kit.deployment(population.card, clouds=0, uplink=1e12, rate=0.0)
    small = kit.profile("mobile-0", Tier.MOBILE, population.card, 0.0, max_layer=1)

    alternatives = list(explain(apply(state, small, 0.0), Objective(deadline=5.0), "mobile-0"))

    reasons = {one.route.stages[-1].codec: one.rejected for one in alternatives if one.estimate.feasible}
    assert reasons["int8"] == "same work and speed, 5001 bytes a sample against 5000"


def test_where_nothing_meets_the_deadline_the_others_are_slower(kit: Any) -> None:
    state = kit.deployment(kit.text.card, edges=2, clouds=2)

    alternatives = list(explain(state, Objective(deadline=0.001), "mobile-0"))

    assert not alternatives[0].estimate.feasible
    assert all(
        "slower:" in one.rejected or "accuracy" in one.rejected or "same" in one.rejected
        for one in alternatives[1:]
    )


def test_where_memory_rules_the_floor_out_the_others_are_less_accurate(kit: Any) -> None:
    state = kit.deployment(kit.text.card, edges=0, clouds=0)
    small = kit.profile("mobile-0", Tier.MOBILE, kit.text.card, 10.0, max_layer=4)

    alternatives = list(explain(apply(state, small, 0.0), Objective(accuracy_drop=0.0), "mobile-0"))

    reasons = {one.rejected for one in alternatives}
    assert "a node has no memory for its blocks" in reasons
    assert any(reason.startswith("accuracy ") for reason in reasons)


def test_a_node_that_cannot_be_planned_for_is_refused_with_a_reason(kit: Any) -> None:
    state = kit.deployment(kit.text.card, edges=0, clouds=0)
    none = kit.profile("mobile-0", Tier.MOBILE, kit.text.card, max_layer=0)

    with pytest.raises(SchedulerError, match="nobody is not a node that is ready"):
        next(explain(state, Objective(), "nobody"))
    with pytest.raises(SchedulerError, match="no possible plan"):
        next(explain(apply(state, none, 0.0), Objective(), "mobile-0"))


def test_where_an_edge_is_short_alternatives_are_rejected_at_its_price(kit: Any) -> None:
    state, objective = kit.deployment(kit.text.card, mobiles=6, rate=6.0), Objective(deadline=0.3)
    decided = run_round(state, objective, Reluctance(), {}).changed

    best, *others = explain(state, objective, "mobile-0")

    assert best.route == decided["mobile-0"].route
    assert all(one.rejected for one in others)
    assert any("at the prices of what is short" in one.rejected for one in others)
