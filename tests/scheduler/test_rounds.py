"""One node that cannot be decided for never keeps the others waiting."""

from dataclasses import replace
from typing import Any

import pytest

from tierline_broker import Order, Requirement, Tier
from tierline_scheduler import ClusterState, Objective, Reluctance, apply, expire, plan, rounds, run_round
from tierline_scheduler.requirements import by_priority, jobs_of

OBJECTIVE = Objective(deadline=0.3)


def two_mobiles(kit: Any) -> ClusterState:
    """Two mobile nodes with plans in force."""
    state = kit.deployment(kit.text.card, mobiles=2)
    for found in plan(state, OBJECTIVE).values():
        state = apply(state, found, 0.0)
    return state


def spoilt(state: ClusterState, name: str, **fields: Any) -> ClusterState:
    """A state in which a node said what no record can, as if a check had been forgotten."""
    node = state.nodes[name]
    assert node.profile is not None
    profile = node.profile.model_copy(update=fields)
    return replace(state, nodes={**state.nodes, name: replace(node, profile=profile)})


def test_a_node_that_cannot_be_decided_for_is_named_and_the_others_get_their_plans(kit: Any) -> None:
    state = two_mobiles(kit)
    before = run_round(state, OBJECTIVE, Reluctance(), {})
    assert set(before.standings) == {"mobile-0", "mobile-1"}
    gone = apply(state, kit.birth("edge-0", Tier.EDGE, state="lost"), 1.0)

    bad = run_round(spoilt(gone, "mobile-0", codec_seconds="soon"), OBJECTIVE, Reluctance(), before.standings)

    assert set(bad.failed) == {"mobile-0"}
    assert isinstance(bad.failed["mobile-0"], TypeError)
    assert set(bad.changed) == {"mobile-1"}
    assert bad.standings["mobile-0"] == before.standings["mobile-0"]
    assert "mobile-0" not in bad.impossible


def test_a_plan_in_force_that_cannot_be_reckoned_with_leaves_the_others_theirs(kit: Any) -> None:
    state = two_mobiles(kit)
    bad = spoilt(state, "mobile-0", codec_seconds="soon")

    found = run_round(bad, OBJECTIVE, Reluctance(), {})

    assert set(found.failed) == {"mobile-0"}
    assert "mobile-0" not in found.changed
    assert set(found.standings) == {"mobile-1"}


def test_a_newcomer_that_cannot_be_decided_for_has_no_standing(kit: Any) -> None:
    state = spoilt(kit.deployment(kit.text.card, mobiles=2), "mobile-0", codec_seconds="soon")

    found = run_round(state, OBJECTIVE, Reluctance(), {})

    assert set(found.failed) == {"mobile-0"}
    assert set(found.standings) == set(found.changed) == {"mobile-1"}


def test_a_round_in_which_all_is_well_names_nobody(kit: Any) -> None:
    assert run_round(two_mobiles(kit), OBJECTIVE, Reluctance(), {}).failed == {}


def test_a_fleet_that_cannot_be_planned_as_one_is_said_so_and_everybody_gets_a_plan(
    kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object) -> Any:
        raise ZeroDivisionError("forged")

    monkeypatch.setattr(rounds, "guided", failing)
    found = run_round(kit.deployment(kit.text.card, mobiles=2), OBJECTIVE, Reluctance(), {})

    assert isinstance(found.failed["the whole fleet"], ZeroDivisionError)
    assert set(found.changed) == {"mobile-0", "mobile-1"}


def test_mobile_nodes_that_send_nothing_are_planned_for(kit: Any) -> None:
    found = run_round(kit.deployment(kit.text.card, mobiles=3, rate=0.0), OBJECTIVE, Reluctance(), {})

    assert found.failed == {}
    assert len(found.changed) == 3


def in_force(state: ClusterState, objective: Objective) -> ClusterState:
    for found in run_round(state, objective, Reluctance(), {}).changed.values():
        state = apply(state, found, 0.0)
    return state


def test_plans_that_use_a_pinned_node_stay_until_they_cannot_be_carried_out(kit: Any) -> None:
    state = in_force(kit.deployment(kit.text.card), OBJECTIVE)
    uses = [stage.node for stage in state.plans["mobile-0"].route.stages]
    assert "edge-0" in uses
    slow = apply(state, kit.profile("edge-0", Tier.EDGE, kit.text.card, 300.0), 0.0)
    assert run_round(slow, OBJECTIVE, Reluctance(), {}).changed

    pinned = apply(slow, Order(node="edge-0", pin=True), 0.0)
    assert run_round(pinned, OBJECTIVE, Reluctance(), {}).changed == {}
    gone = apply(pinned, kit.birth("edge-0", Tier.EDGE, state="lost"), 1.0)
    assert run_round(gone, OBJECTIVE, Reluctance(), {}).changed


def test_requirements_are_folded_by_node_the_strictest_of_each_and_lapse(kit: Any) -> None:
    state = kit.deployment(kit.text.card, mobiles=2)
    for asked in (
        Requirement(client="a", deadline=2.0, valid=10.0),
        Requirement(client="b", node="mobile-1", deadline=0.3, accuracy=0.5, priority=3.0, valid=5.0),
        Requirement(client="c", node="mobile-1", accuracy=kit.text.card.accuracy - 0.1, valid=10.0),
    ):
        state = apply(state, asked, 0.0)

    jobs = jobs_of(state)
    assert (jobs["mobile-0"].deadline, jobs["mobile-0"].accuracy_drop) == (2.0, None)
    assert (jobs["mobile-1"].deadline, jobs["mobile-1"].priority) == (0.3, 3.0)
    assert jobs["mobile-1"].accuracy_drop == pytest.approx(0.1)
    assert next(node.name for node in by_priority(state.nodes.values(), jobs)) == "mobile-1"
    assert jobs_of(expire(state, 6.0, silence=60.0))["mobile-1"].deadline == 2.0
    assert jobs_of(expire(state, 10.0, silence=60.0)) == {}
    taken_back = apply(state, Requirement(client="b", valid=0.0), 1.0)
    assert jobs_of(taken_back)["mobile-1"].deadline == 2.0


def test_versions_go_on_from_what_the_mobile_node_follows(kit: Any) -> None:
    state = kit.deployment(kit.text.card, plan=41)

    assert run_round(state, OBJECTIVE, Reluctance(), {}).changed["mobile-0"].version == 42
