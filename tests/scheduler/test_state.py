from typing import Any

import pytest

from tierline_broker import Plan, PointCard, Route, RouteCard, Stage, Tier
from tierline_scheduler import ClusterState, RefusedError, apply, expire
from tierline_scheduler import state as state_module
from tierline_scheduler.state import FORGET_SECONDS, MAX_PLAN_VERSION


def plan_record(version: int, node: str = "mobile-0") -> Plan:
    stage = Stage(tier=Tier.MOBILE, node=node, layer=6, codec="input")
    return Plan(node=node, model="m", version=version, route=Route(stages=(stage,)))


def test_a_node_counts_once_it_is_born_and_profiled_in_whatever_order(kit: Any) -> None:
    born, profiled = kit.birth("edge-1", Tier.EDGE), kit.profile("edge-1", Tier.EDGE, kit.text.card)

    for first, second in ((born, profiled), (profiled, born)):
        half = apply(ClusterState(), first, 0.0)
        whole = apply(half, second, 1.0)

        assert not half.nodes["edge-1"].usable
        assert whole.nodes["edge-1"].usable


def test_a_state_is_never_changed_in_place(kit: Any) -> None:
    before = kit.deployment(kit.text.card)
    nodes = dict(before.nodes)

    apply(before, kit.telemetry("edge-0", Tier.EDGE, speed=9.0), 1.0)

    assert before.nodes == nodes


def test_schedulers_and_clients_are_no_nodes(kit: Any) -> None:
    state = apply(ClusterState(), kit.birth("scheduler-1", None, role="scheduler"), 0.0)

    assert state.nodes == {}


@pytest.mark.parametrize("state_word", ["lost", "draining"])
def test_a_node_that_leaves_does_not_count(kit: Any, state_word: str) -> None:
    state = kit.deployment(kit.text.card)

    state = apply(state, kit.birth("edge-0", Tier.EDGE, state=state_word), 1.0)

    assert not state.nodes["edge-0"].usable


def test_the_will_of_an_earlier_life_does_not_end_this_one(kit: Any) -> None:
    state = kit.deployment(kit.text.card)

    state = apply(state, kit.birth("edge-0", Tier.EDGE, state="lost", incarnation=77), 1.0)

    assert state.nodes["edge-0"].usable


def test_a_new_life_starts_without_the_old_measurements_and_needs_its_own_profile(kit: Any) -> None:
    state = kit.deployment(kit.text.card)

    reborn = apply(state, kit.birth("mobile-0", Tier.MOBILE, incarnation=2), 1.0)
    profiled = apply(reborn, kit.profile("mobile-0", Tier.MOBILE, kit.text.card, incarnation=2), 1.0)

    assert reborn.nodes["mobile-0"].links == {}
    assert not reborn.nodes["mobile-0"].usable
    assert profiled.nodes["mobile-0"].usable


def test_a_lost_node_comes_back_with_what_was_known_of_it(kit: Any) -> None:
    state = kit.deployment(kit.text.card)

    state = apply(state, kit.birth("edge-0", Tier.EDGE, state="lost"), 1.0)
    state = apply(state, kit.birth("edge-0", Tier.EDGE), 2.0)

    assert state.nodes["edge-0"].usable
    assert state.nodes["edge-0"].speed is not None


def test_telemetry_of_another_life_or_of_an_unborn_node_is_left_out(kit: Any) -> None:
    state = kit.deployment(kit.text.card)

    other = apply(state, kit.telemetry("edge-0", Tier.EDGE, speed=9.0, incarnation=2), 1.0)
    unborn = apply(state, kit.telemetry("edge-9", Tier.EDGE), 1.0)

    assert other.nodes == state.nodes
    assert "edge-9" not in unborn.nodes


def test_telemetry_is_folded(kit: Any) -> None:
    state = kit.deployment(kit.text.card, rate=8.0)

    report = kit.telemetry(
        "mobile-0", Tier.MOBILE, kit.link("edge-0"), arrival_rate=8.0, battery=0.5, queue=3
    )
    node = apply(state, report, 1.0).nodes["mobile-0"]

    assert node.arrivals is not None
    assert node.arrivals.value == pytest.approx(8.0)
    assert node.battery == 0.5
    assert node.queue == pytest.approx(0.6)
    assert set(node.links) == {"edge-0"}


def test_a_link_report_without_a_new_observation_changes_nothing(kit: Any) -> None:
    state = kit.deployment(kit.text.card)

    again = kit.telemetry("mobile-0", Tier.MOBILE, kit.link("edge-0", rate=1.0, observations=1))
    news = kit.telemetry("mobile-0", Tier.MOBILE, kit.link("edge-0", rate=1.0, observations=2, age=0.5))

    before = state.nodes["mobile-0"].links["edge-0"]
    assert apply(state, again, 1.0).nodes["mobile-0"].links["edge-0"] == before
    after = apply(state, news, 1.0).nodes["mobile-0"].links["edge-0"]
    assert after.rate.value < before.rate.value
    assert after.observed == 0.5


def test_absurd_figures_are_brought_to_where_arithmetic_is_safe(kit: Any) -> None:
    state = kit.deployment(kit.text.card)

    report = kit.telemetry(
        "mobile-0", Tier.MOBILE, kit.link("x", rate=1e-12, rtt=0.0), speed=1e15, queue=2**60
    )
    node = apply(state, report, 1.0).nodes["mobile-0"]

    assert node.links["x"].rate.value == pytest.approx(1.0)
    assert node.links["x"].rtt.value > 0
    assert node.queue is not None
    assert node.queue <= 1e6


def test_a_silent_node_does_not_count_until_it_speaks_again(kit: Any) -> None:
    state = kit.deployment(kit.text.card)
    state = apply(state, kit.telemetry("mobile-0", Tier.MOBILE), 5.0)

    silent = expire(state, 7.0, silence=6.0)
    spoken = apply(silent, kit.telemetry("edge-0", Tier.EDGE), 8.0)

    assert not silent.nodes["edge-0"].usable
    assert silent.nodes["mobile-0"].usable
    assert spoken.nodes["edge-0"].usable
    assert expire(state, 5.5, silence=6.0).nodes == state.nodes


def test_only_nodes_that_said_goodbye_are_forgotten_in_the_end(kit: Any) -> None:
    state = kit.deployment(kit.text.card)
    state = apply(state, kit.birth("edge-0", Tier.EDGE, state="lost"), 1.0)

    later = expire(state, FORGET_SECONDS + 2.0, silence=6.0)

    assert "edge-0" not in later.nodes
    assert "cloud-0" in later.nodes


def test_the_newest_version_of_a_plan_is_the_one_in_force(kit: Any) -> None:
    state = apply(kit.deployment(kit.text.card), plan_record(7), 1.0)

    assert apply(state, plan_record(6), 2.0).plans["mobile-0"].version == 7
    assert apply(state, plan_record(8), 2.0).plans["mobile-0"].version == 8


def test_a_plan_whose_version_leaves_none_to_go_on_from_is_refused(kit: Any) -> None:
    state = apply(kit.deployment(kit.text.card), plan_record(7), 1.0)

    for before in (state, kit.deployment(kit.text.card)):
        for version in (MAX_PLAN_VERSION + 1, 2**63 - 1):
            with pytest.raises(RefusedError, match=f"mobile-0: plan refused: version {version} is over"):
                apply(before, plan_record(version), 2.0)


def test_the_highest_version_taken_can_still_be_followed_by_another(kit: Any) -> None:
    state = apply(kit.deployment(kit.text.card), plan_record(MAX_PLAN_VERSION), 1.0)

    for version in (MAX_PLAN_VERSION + 1, MAX_PLAN_VERSION + 2):
        state = apply(state, plan_record(version), 2.0)

    assert state.plans["mobile-0"].version == MAX_PLAN_VERSION + 2


def test_more_nodes_or_plans_than_we_keep_are_refused(kit: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(state_module, "MAX_NODES", 3)
    state = apply(kit.deployment(kit.text.card), plan_record(1), 0.0)

    with pytest.raises(RefusedError, match="edge-9: left out, for 3 nodes are known"):
        apply(state, kit.birth("edge-9", Tier.EDGE), 1.0)
    monkeypatch.setattr(state_module, "MAX_NODES", 1)
    with pytest.raises(RefusedError, match="clear old ones"):
        apply(state, plan_record(1, node="mobile-9"), 1.0)


ROUTE = RouteCard(exits=(6,), thresholds=(), shares=(1.0,), accuracy=0.9)


def test_what_a_stalled_link_can_carry_at_most_is_believed_at_once(kit: Any) -> None:
    state = kit.deployment(kit.text.card)

    def told(rate: float, **fields: Any) -> Any:
        link = kit.link("edge-0", rate, observations=9, stalled="stalled" in fields)
        early = "stalled" in fields
        report = kit.telemetry("mobile-0", Tier.MOBILE, link, early=early, arrival_rate=0.0, busy=0.9)
        return apply(state, report, 50.0).nodes["mobile-0"]

    before, usual, down = state.nodes["mobile-0"], told(5e4), told(5e4, stalled=True)

    assert usual.links["edge-0"].rate.value > 5e5
    assert down.links["edge-0"].rate.value == pytest.approx(5e4)
    assert (down.heard, down.arrivals, down.busy) == (50.0, before.arrivals, before.busy)
    assert told(1e7, stalled=True).links["edge-0"].rate.value < 5e6


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"exits": (2, 6, 4)}, "exits must rise"),
        ({"exits": (2, 4)}, "exits must rise from 1 or later to 6"),
        ({"exits": (0, 6)}, "exits must rise"),
        ({"points": (PointCard(layer=1, frame_bytes={}),) * 2}, "split points must be different"),
        ({"points": (PointCard(layer=9, frame_bytes={}),)}, "layers from 1 to 6"),
        ({"routes": ()}, "no usable route"),
        ({"routes": (ROUTE.model_copy(update={"exits": (5,)}),)}, "which are no rising choice"),
        ({"routes": (ROUTE.model_copy(update={"exits": (6, 2)}),)}, "which are no rising choice"),
        ({"routes": (ROUTE.model_copy(update={"thresholds": (0.5,)}),)}, "one threshold fewer"),
        ({"routes": (ROUTE.model_copy(update={"shares": (0.5,)}),)}, r"sum to 0.5000, not 1"),
    ],
)
def test_a_card_that_contradicts_itself_is_refused(kit: Any, fields: dict[str, Any], complaint: str) -> None:
    card = kit.text.card.model_copy(update=fields)
    state = kit.deployment(kit.text.card)

    with pytest.raises(RefusedError, match=f"edge-0: profile refused: .*{complaint}"):
        apply(state, kit.profile("edge-0", Tier.EDGE, card), 1.0)


def test_a_profile_without_a_time_for_each_block_is_refused(kit: Any) -> None:
    with pytest.raises(RefusedError, match="2 block times for 6 blocks"):
        apply(ClusterState(), kit.profile("e", Tier.EDGE, kit.text.card, block_seconds=(0.1, 0.1)), 0.0)


@pytest.mark.parametrize(("measured", "held"), [(3, 4), (5, 4), (7, 7), (0, 6)])
def test_block_times_are_those_of_all_blocks_or_of_the_blocks_held(
    kit: Any, measured: int, held: int
) -> None:
    seconds = (0.1,) * measured
    profile = kit.profile("e", Tier.EDGE, kit.text.card, block_seconds=seconds, max_layer=held)

    with pytest.raises(RefusedError, match=f"{measured} block times for 6 blocks"):
        apply(ClusterState(), profile, 0.0)


@pytest.mark.parametrize("held", [0, 1, 4])
def test_a_profile_of_the_blocks_that_a_node_holds_is_taken(kit: Any, held: int) -> None:
    for measured in (held, 6):
        seconds = (0.1,) * measured
        profile = kit.profile("e", Tier.EDGE, kit.text.card, block_seconds=seconds, max_layer=held)

        assert apply(ClusterState(), profile, 0.0).nodes["e"].profile == profile


def test_codecs_that_we_do_not_know_are_left_out_of_a_card(kit: Any) -> None:
    strange = {"x" * 2000: 1, "input": 1, "probe": 1}
    points = (
        PointCard(layer=1, frame_bytes={**strange, "int8": 9, "raw": 30}),
        PointCard(layer=2, frame_bytes=strange),
    )
    card = kit.text.card.model_copy(update={"points": points})

    state = apply(ClusterState(), kit.profile("e", Tier.EDGE, card), 0.0)

    model = state.nodes["e"].model
    assert model is not None
    assert model.frames == {1: {"int8": 9, "raw": 30}}


def test_a_card_too_large_to_enumerate_is_refused_before_any_work(kit: Any) -> None:
    points = tuple(PointCard(layer=k, frame_bytes={"raw": 1}) for k in range(1, 4096))
    card = kit.image_card().model_copy(
        update={
            "blocks": 4096,
            "exits": (4096,),
            "points": points,
            "routes": (ROUTE.model_copy(update={"exits": (4096,)}),),
        }
    )

    with pytest.raises(RefusedError, match="publish fewer split points"):
        apply(ClusterState(), kit.profile("e", Tier.EDGE, card), 0.0)


def test_routes_whose_thresholds_rise_cannot_be_expressed_and_are_left_out(kit: Any) -> None:
    rising = RouteCard(exits=(2, 4, 6), thresholds=(0.5, 0.9), shares=(0.4, 0.2, 0.4), accuracy=0.9)
    card = kit.text.card.model_copy(update={"routes": (*kit.text.card.routes, rising)})

    state = apply(ClusterState(), kit.profile("e", Tier.EDGE, card), 0.0)

    model = state.nodes["e"].model
    assert model is not None
    assert all(rising not in routes for routes in model.routes.values())
