import time
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tierline_broker import Plan, PointCard, RouteCard, Tier
from tierline_scheduler import ClusterState, Objective, apply, expire, plan
from tierline_scheduler.ledger import open_ledger
from tierline_scheduler.planner import assess, choose, ledger_of, model_of
from tierline_scheduler.view import Traffic, device, peers, server_name

LOOSE = Objective(deadline=60.0, max_utilisation=1.0)


def stages(found: Plan) -> list[tuple[str, int, str]]:
    return [(stage.tier.value, stage.layer, stage.codec) for stage in found.route.stages]


def only(state: ClusterState, objective: Objective) -> Plan:
    (found,) = plan(state, objective).values()
    return found


def test_with_all_the_time_in_the_world_nothing_is_computed_in_the_cloud(kit: Any) -> None:
    found = only(kit.deployment(kit.text.card, rate=0.5), LOOSE)

    assert found.predicted_cloud_seconds == 0
    assert "least work within 60 s" in found.reason


def test_a_mobile_node_alone_does_not_split(kit: Any) -> None:
    found = only(kit.deployment(kit.text.card, edges=0, clouds=0, rate=0.5), LOOSE)

    assert [stage.node for stage in found.route.stages] == ["mobile-0"]
    assert found.predicted_shares == {Tier.MOBILE: 1.0}


def test_a_mobile_node_too_slow_for_anything_sends_the_raw_input_on(kit: Any) -> None:
    state = kit.deployment(kit.text.card)
    slow = kit.profile("mobile-0", Tier.MOBILE, kit.text.card, 1000.0)

    found = only(apply(state, slow, 0.0), Objective(deadline=0.2))

    assert stages(found)[0] == ("mobile", 0, "input")
    assert found.route.stages[1].codec == "input"


def test_edge_work_counts_where_the_objective_says_so(kit: Any) -> None:
    state = kit.deployment(kit.text.card, rate=0.5)

    free = only(state, LOOSE)
    weighed = only(state, replace(LOOSE, edge_weight=0.1))

    assert stages(free)[-1][0] == "edge"
    assert stages(weighed) == [("mobile", stages(weighed)[0][1], "input")]


def test_an_impossible_deadline_gives_the_fastest_plan_and_says_so(kit: Any) -> None:
    state = kit.deployment(kit.text.card)

    hopeless = only(state, Objective(deadline=0.001))

    assert hopeless.reason.startswith("nothing meets the deadline of 0.001 s within limits")
    assert hopeless.predicted_seconds > 0.001
    for deadline in (0.05, 0.1, 0.5, 5):
        assert (
            hopeless.predicted_seconds <= only(state, Objective(deadline=deadline)).predicted_seconds + 1e-9
        )


@pytest.mark.parametrize("rate", [1.0, 10.0])
def test_more_time_never_costs_more_cloud_work(kit: Any, rate: float) -> None:
    state = kit.deployment(kit.text.card, rate=rate)

    feasible = [only(state, Objective(deadline=0.02 * 1.2**k, accuracy_drop=0.0)) for k in range(20)]

    work = [found.predicted_cloud_seconds for found in feasible if "nothing meets" not in found.reason]
    assert len(work) > 5
    assert work == sorted(work, reverse=True)
    assert work[0] > work[-1]


def test_more_bandwidth_never_costs_more_cloud_work(kit: Any) -> None:
    objective = Objective(deadline=0.45)

    found = [
        only(kit.deployment(kit.image_card(), uplink=2e5 * 1.5**k, rate=1.0), objective) for k in range(14)
    ]

    work = [one.predicted_cloud_seconds for one in found if "nothing meets" not in one.reason]
    assert len(work) > 5
    assert work == sorted(work, reverse=True)
    assert work[0] > work[-1]


def test_the_less_accuracy_may_drop_the_deeper_samples_go(kit: Any) -> None:
    state = kit.deployment(kit.text.card)
    best = kit.text.card.accuracy

    for drop in (0.0, 0.01, 0.03, 0.1):
        found = only(state, Objective(accuracy_drop=drop))
        assert (
            found.predicted_accuracy
            >= min(best - drop, model_of(state.nodes["mobile-0"]).best_accuracy) - 1e-9
        )


def test_an_image_crosses_a_slow_link_where_the_model_is_narrow(kit: Any) -> None:
    card = kit.image_card()

    fast = only(kit.deployment(card, edges=0, uplink=1e7, rate=0.1), Objective(deadline=0.25))
    state = kit.deployment(card, edges=0, uplink=3e4, rate=0.1)
    slower = apply(state, kit.profile("mobile-0", Tier.MOBILE, card, 30.0), 0.0)
    slow = only(slower, Objective(deadline=3.2))

    assert stages(fast)[0][1] < 5
    narrow = slow.route.stages[0].layer
    assert narrow >= 12
    assert slow.route.stages[1].codec == "int8"
    sizes = {point.layer: min(point.frame_bytes.values()) for point in card.points}
    assert sizes[narrow] == min(sizes.values()) < card.input_bytes


def test_the_same_state_gives_the_same_plan_in_whatever_order_it_was_learnt(kit: Any) -> None:
    records = [
        record
        for tier, name in [(t, f"{t.value}-{k}") for t in Tier for k in range(3)]
        for record in (
            kit.birth(name, tier),
            kit.profile(name, tier, kit.text.card, 1.0 + len(name) + int(name[-1])),
            kit.telemetry(name, tier, arrival_rate=3.0 if tier is Tier.MOBILE else 0.0),
        )
    ]
    plans = []
    for seed in range(4):
        order = list(range(9))
        Random(seed).shuffle(order)
        state = ClusterState()
        for k in order:
            for record in records[3 * k : 3 * k + 3]:
                state = apply(state, record, 0.0)
        plans.append(plan(state, Objective(deadline=0.3)))
        assert plan(state, Objective(deadline=0.3)) == plans[-1]

    assert list(plans[0]) == ["mobile-0", "mobile-1", "mobile-2"]
    assert all(found == plans[0] for found in plans)


def test_identical_nodes_are_chosen_in_the_order_of_their_names(kit: Any) -> None:
    found = only(kit.deployment(kit.text.card, edges=3, rate=0.1), Objective(deadline=0.2))

    assert found.route.stages[1].node == "edge-0"


def test_a_node_that_is_gone_silent_or_of_another_model_is_in_no_plan(kit: Any) -> None:
    state = kit.deployment(kit.text.card)
    objective = Objective(deadline=0.2)
    assert "edge" in [stage[0] for stage in stages(only(state, objective))]

    other = kit.text.card.model_copy(update={"digest": "another"})
    without = [
        apply(state, kit.birth("edge-0", Tier.EDGE, state="lost"), 1.0),
        apply(state, kit.profile("edge-0", Tier.EDGE, other), 1.0),
        expire(
            apply(
                apply(state, kit.telemetry("mobile-0", Tier.MOBILE), 9.0),
                kit.telemetry("cloud-0", Tier.CLOUD),
                9.0,
            ),
            10.0,
            silence=6.0,
        ),
    ]

    for less in without:
        assert all(stage[0] != "edge" for stage in stages(only(less, objective)))


def test_a_node_only_gets_blocks_that_it_has_the_memory_for(kit: Any) -> None:
    state = kit.deployment(kit.text.card)
    small = kit.profile("edge-0", Tier.EDGE, kit.text.card, 3.0, max_layer=3)
    none = kit.profile("mobile-0", Tier.MOBILE, kit.text.card, 10.0, max_layer=0)

    found = only(apply(apply(state, small, 0.0), none, 0.0), Objective(accuracy_drop=0.0))

    ends = {tier: layer for tier, layer, _ in stages(found)}
    assert ends["mobile"] == 0
    assert ends.get("edge", 0) <= 3


@pytest.mark.parametrize("deadline", [0.05, 0.15, 0.3, 1.0])
def test_nodes_that_hold_some_blocks_only_and_timed_no_others_are_planned_with(
    kit: Any, deadline: float
) -> None:
    held = {"mobile": 2, "edge": 4, "cloud": 6}
    short = long = kit.deployment(kit.text.card)
    for tier, slowdown in ((Tier.MOBILE, 10.0), (Tier.EDGE, 3.0), (Tier.CLOUD, 1.0)):
        name, layers = f"{tier}-0", held[tier]
        one = kit.profile(name, tier, kit.text.card, slowdown, max_layer=layers)
        long = apply(long, one, 0.0)
        timed = one.model_copy(update={"block_seconds": one.block_seconds[:layers]})
        short = apply(short, timed, 0.0)
    objective = Objective(deadline=deadline, accuracy_drop=0.0)

    found = only(short, objective)

    assert all(layer <= held[tier] for tier, layer, _ in stages(found))
    assert stages(found)[-1][:2] == ("cloud", 6)
    # A time for a block that is not held never mattered.
    assert found == only(long, objective)


def test_where_memory_rules_the_floor_out_the_most_accurate_possible_is_chosen(kit: Any) -> None:
    state = kit.deployment(kit.text.card, edges=0, clouds=0)
    small = kit.profile("mobile-0", Tier.MOBILE, kit.text.card, 10.0, max_layer=4)

    found = only(apply(state, small, 0.0), Objective(accuracy_drop=0.0))

    assert stages(found) == [("mobile", 4, "input")]
    assert "no node has the memory for the accuracy floor" in found.reason


def test_where_nothing_can_be_carried_out_there_is_no_plan(kit: Any) -> None:
    state = kit.deployment(kit.text.card, edges=0, clouds=0)
    none = kit.profile("mobile-0", Tier.MOBILE, kit.text.card, 10.0, max_layer=1)

    assert plan(apply(state, none, 0.0), Objective()) == {}


def test_a_hand_off_larger_than_receivers_take_is_not_planned(kit: Any) -> None:
    state = kit.deployment(kit.image_card(), uplink=1e8, rate=0.1)
    roomy, tight = Objective(deadline=0.3), Objective(deadline=0.3, max_frame_bytes=20_000)

    def largest(found: Plan) -> int:
        sizes = {point.layer: point.frame_bytes for point in kit.image_card().points}
        hops = zip(found.route.stages, found.route.stages[1:], strict=False)
        return max((45_000 if b.codec == "input" else sizes[a.layer][b.codec] for a, b in hops), default=0)

    assert largest(only(state, roomy)) > 20_000
    assert largest(only(state, tight)) <= 20_000


def test_a_nearly_empty_battery_computes_nothing_if_others_can(kit: Any) -> None:
    objective = Objective(deadline=5.0, edge_weight=0.1)

    full = only(kit.deployment(kit.text.card, rate=0.1, battery=0.9), objective)
    flat = only(kit.deployment(kit.text.card, rate=0.1, battery=0.05), objective)
    alone = only(kit.deployment(kit.text.card, edges=0, clouds=0, rate=0.1, battery=0.05), objective)

    assert stages(full)[0][1] > 0
    assert stages(flat)[0][1] == 0
    assert stages(alone)[0][1] > 0


def test_a_busy_mobile_node_gives_work_away(kit: Any) -> None:
    objective = Objective(deadline=5.0, edge_weight=0.1)

    idle = only(kit.deployment(kit.text.card, rate=0.1), objective)
    busy = only(kit.deployment(kit.text.card, rate=30.0), objective)

    assert idle.predicted_shares[Tier.MOBILE] == 1
    assert busy.predicted_shares[Tier.MOBILE] < 1
    expecting = replace(objective, expected_rate=30.0)
    assert stages(only(kit.deployment(kit.text.card, rate=0.1), expecting)) == stages(
        only(kit.deployment(kit.text.card, rate=0.1), replace(expecting, expected_rate=30.1))
    )
    assert only(kit.deployment(kit.text.card, rate=0.1), expecting).predicted_shares[Tier.MOBILE] < 1


def test_mobile_nodes_reckon_with_each_other_and_do_not_herd(kit: Any) -> None:
    state = kit.deployment(kit.text.card, mobiles=12, edges=3, rate=4.0)

    plans = plan(state, Objective(deadline=0.3))

    edges = [
        stage.node for found in plans.values() for stage in found.route.stages if stage.tier is Tier.EDGE
    ]
    assert set(edges) == {"edge-0", "edge-1", "edge-2"}
    for found in plans.values():
        state = apply(state, found, 0.0)
    ledger = ledger_of(state, Objective(deadline=0.3))
    for name in set(edges):
        assert ledger.total[name].utilisation <= 0.8


def test_load_that_no_plan_explains_is_reckoned_with(kit: Any) -> None:
    state = kit.deployment(kit.text.card)
    objective = Objective(deadline=0.2)
    assert stages(only(state, objective))[1][0] == "edge"

    crowded = apply(state, kit.telemetry("edge-0", Tier.EDGE, kit.link("cloud-0"), busy=1.0), 1.0)
    for second in range(2, 40):
        crowded = apply(crowded, kit.telemetry("edge-0", Tier.EDGE, kit.link("cloud-0"), busy=1.0), second)

    assert all(stage[0] != "edge" for stage in stages(only(crowded, objective)))


def test_load_that_plans_explain_is_not_counted_twice(kit: Any) -> None:
    state = kit.deployment(kit.text.card)
    found = only(state, Objective(deadline=0.2))
    state = apply(state, found, 0.0)
    asked = ledger_of(state, Objective(deadline=0.2)).explained["edge-0"].utilisation

    for second in range(40):
        state = apply(
            state, kit.telemetry("edge-0", Tier.EDGE, kit.link("cloud-0"), busy=asked), float(second)
        )
    ledger = ledger_of(state, Objective(deadline=0.2))

    assert ledger.total["edge-0"].utilisation == pytest.approx(asked, rel=1e-3)
    assert ledger.traffic("mobile-0").others["edge-0"].utilisation == pytest.approx(0, abs=1e-3)
    assert ledger.traffic("nobody").others["edge-0"].utilisation == pytest.approx(asked, rel=1e-3)


def test_a_queue_beyond_chance_makes_a_node_look_slower(kit: Any) -> None:
    state = kit.deployment(kit.text.card)
    queued = state
    for second in range(30):
        queued = apply(queued, kit.telemetry("edge-0", Tier.EDGE, queue=50), float(second))

    assert device(state.nodes["edge-0"], Traffic()).backlog == 0
    assert device(queued.nodes["edge-0"], Traffic()).backlog > 30


def test_links_nobody_measured_are_given_stated_defaults_and_old_ones_less_trust(kit: Any) -> None:
    never = apply(
        kit.deployment(kit.image_card(), edges=0, rate=0.1),
        kit.telemetry("mobile-0", Tier.MOBILE, arrival_rate=0.1),
        0.0,
    )
    fresh = kit.deployment(kit.image_card(), edges=0, rate=0.1)
    old = replace(fresh, now=500.0)
    objective = Objective(deadline=0.33)

    found = {
        name: choose(s, s.nodes["mobile-0"], objective, Traffic())
        for name, s in {"never": never, "fresh": fresh, "old": old}.items()
    }

    assert all(choice is not None for choice in found.values())
    assert found["old"].best.cost > found["fresh"].best.cost  # type: ignore[union-attr]
    assert found["never"].best.cost >= found["fresh"].best.cost  # type: ignore[union-attr]


@pytest.mark.parametrize(("measured", "used"), [(True, "edge-1"), (False, "edge-0")])
def test_a_link_nobody_measured_is_used_only_where_nothing_else_is_in_time(
    kit: Any, measured: bool, used: str
) -> None:
    card, objective = kit.image_card(), Objective(deadline=0.5)
    state = kit.deployment(card, edges=2 if measured else 1, clouds=0, rate=0.1, uplink=5e5)
    state = kit.apply(state, kit.profile("mobile-0", Tier.MOBILE, card, slowdown=25.0))
    links = [kit.link("edge-1", 5e5)] if measured else []
    nodes = {**state.nodes, "mobile-0": replace(state.nodes["mobile-0"], links={})}
    state = kit.apply(
        replace(state, nodes=nodes), kit.telemetry("mobile-0", Tier.MOBILE, *links, arrival_rate=0.1)
    )

    assert [stage.node for stage in only(state, objective).route.stages][-1] == used


def test_a_plan_in_force_is_judged_as_it_would_do_now(kit: Any) -> None:
    state = kit.deployment(kit.text.card)
    objective = Objective(deadline=0.2)
    found = only(state, objective)

    now = assess(state, found, objective, Traffic())
    slower = apply(state, kit.profile("edge-0", Tier.EDGE, kit.text.card, 30.0), 0.0)
    later = assess(slower, found, objective, Traffic())

    assert now is not None
    assert now.seconds == pytest.approx(found.predicted_seconds)
    assert now.feasible
    assert later is not None
    assert "deadline" in later.broken


@pytest.mark.parametrize(
    "change",
    [
        {"node": "nobody"},
        {"model": "another"},
        {"stages": ()},
        {"stage_node": "edge-9"},
        {"first_node": "edge-0"},
        {"layer": 5, "easy": 0.123},
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_judged_as_nothing(kit: Any, change: dict[str, Any]) -> None:
    state = kit.deployment(kit.text.card)
    objective = Objective(deadline=0.2)
    found = only(state, objective)
    stages = list(found.route.stages)
    if "stage_node" in change:
        stages[1] = stages[1].model_copy(update={"node": change["stage_node"]})
    if "first_node" in change:
        stages[0] = stages[0].model_copy(update={"node": change["first_node"]})
    route = found.route.model_copy(
        update={"stages": change.get("stages", tuple(stages)), "easy": change.get("easy", found.route.easy)}
    )
    broken = found.model_copy(
        update={
            "node": change.get("node", found.node),
            "model": change.get("model", found.model),
            "route": route,
        }
    )

    assert assess(state, broken, objective, Traffic()) is None


def test_a_plan_beyond_a_nodes_memory_is_judged_as_nothing(kit: Any) -> None:
    state = kit.deployment(kit.text.card)
    found = only(state, Objective(deadline=0.2))

    shrunk = apply(state, kit.profile("edge-0", Tier.EDGE, kit.text.card, max_layer=1), 0.0)

    assert assess(shrunk, found, Objective(deadline=0.2), Traffic()) is None


def test_versions_go_on_from_the_plan_in_force(kit: Any) -> None:
    state = kit.deployment(kit.text.card)
    state = apply(state, only(state, Objective()).model_copy(update={"version": 41}), 0.0)

    assert only(state, Objective()).version == 42


def test_only_usable_nodes_can_be_planned_with(kit: Any) -> None:
    born = apply(ClusterState(), kit.birth("edge-0", Tier.EDGE), 0.0).nodes["edge-0"]

    assert peers(ClusterState(), born, Tier.EDGE) == []
    with pytest.raises(ValueError, match="has no profile"):
        device(born, Traffic())
    with pytest.raises(ValueError, match="has no model"):
        model_of(born)
    assert open_ledger(ClusterState(), {}).total == {}


def test_servers_are_named_as_people_say_them() -> None:
    assert server_name("edge-0") == "edge-0"
    assert server_name(("mobile-0", "edge-0")) == "the link from mobile-0 to edge-0"


def test_a_prediction_longer_than_a_record_can_say_is_cut_short(kit: Any) -> None:
    state = kit.deployment(kit.text.card, edges=0, clouds=0, rate=1e6)

    assert only(state, Objective()).predicted_seconds == 86_400


def fastest(state: ClusterState, rounds: int = 7) -> float:
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        plan(state, Objective(deadline=0.25))
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def test_planning_one_mobile_node_takes_milliseconds(kit: Any) -> None:
    rich = kit.population(
        blocks=6,
        exits=(2, 4, 6),
        grid=tuple(0.5 + 0.02 * k for k in range(24)),
        size=40,
        frames={"raw": 75_000, "fp16": 37_000, "int8": 19_000, "int8-lz4": 19_000},
    ).card
    assert len(rich.routes) > 350

    assert fastest(kit.deployment(rich, edges=4, clouds=2)) < 0.05
    assert fastest(kit.deployment(kit.image_card(), edges=4, clouds=2)) < 0.1


def test_an_unused_codec_or_route_never_changes_the_plan(kit: Any) -> None:
    card = kit.text.card
    worse = RouteCard(exits=(2, 6), thresholds=(0.99,), shares=(0.0, 1.0), accuracy=card.accuracy)
    points = tuple(
        PointCard(layer=p.layer, frame_bytes={**p.frame_bytes, "int8-lz4": 10**9}) for p in card.points
    )
    more = card.model_copy(update={"routes": (*card.routes, worse), "points": points})

    for deadline in (0.1, 0.2, 0.4):
        objective = Objective(deadline=deadline)
        assert only(kit.deployment(more), objective).route == only(kit.deployment(card), objective).route
