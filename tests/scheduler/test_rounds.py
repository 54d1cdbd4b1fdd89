"""One node that cannot be decided for never keeps the others waiting."""

from dataclasses import replace
from typing import Any

import pytest

from tierline_broker import Tier
from tierline_scheduler import ClusterState, Objective, Reluctance, apply, plan, rounds, run_round

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
