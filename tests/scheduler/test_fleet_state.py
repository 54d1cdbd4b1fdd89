"""Mobile nodes that share edges and the cloud, from the records of a deployment to the plans."""

from dataclasses import replace
from typing import Any

import pytest

from tierline_broker import Plan, Tier
from tierline_scheduler import (
    ClusterState,
    Job,
    Objective,
    ObjectiveError,
    Reluctance,
    apply,
    plan,
    run_round,
)
from tierline_scheduler.fleet import guide
from tierline_scheduler.fleet.attach import attach
from tierline_scheduler.fleet.snapshot import snapshot
from tierline_scheduler.planner import assess, choose, ledger_of, mobiles
from tierline_scheduler.view import Traffic

OBJECTIVE = Objective(deadline=0.3, accuracy_drop=0.05)


def crowd(kit: Any, count: int = 8, rate: float = 6.0, **fields: Any) -> ClusterState:
    """Mobile nodes of different speeds that ask more of one edge than it has."""
    state = kit.deployment(kit.text.card, mobiles=count, rate=rate, **fields)
    for k in range(count):
        slow = kit.profile(f"mobile-{k}", Tier.MOBILE, kit.text.card, 10.0 + 5 * k)
        state = apply(state, slow, 0.0)
    return state


def busy(state: ClusterState, plans: dict[str, Plan], node: str) -> float:
    found = [assess(state, one, OBJECTIVE, Traffic()) for one in plans.values()]
    return sum(one.loads[node].utilisation for one in found if one is not None and node in one.loads)


def cloud_work(plans: dict[str, Plan]) -> float:
    return sum(one.predicted_cloud_seconds for one in plans.values())


def greedy(state: ClusterState) -> dict[str, Plan]:
    """What comes of it when each takes the best of what those before it left."""
    ledger, plans = ledger_of(state, OBJECTIVE), {}
    for mobile in mobiles(state):
        choice = choose(state, mobile, OBJECTIVE, ledger.traffic(mobile.name))
        assert choice is not None
        ledger = ledger.replaced(mobile.name, choice.best.loads)
        plans[mobile.name] = choice.best
    return plans


@pytest.mark.parametrize("rate", [2.0, 6.0, 12.0])
def test_a_shared_edge_is_never_given_more_than_it_may_be_busy(kit: Any, rate: float) -> None:
    state = crowd(kit, rate=rate)

    plans = plan(state, OBJECTIVE)

    assert set(plans) == {f"mobile-{k}" for k in range(8)}
    assert busy(state, plans, "edge-0") <= OBJECTIVE.max_utilisation
    assert busy(state, plans, "cloud-0") <= OBJECTIVE.max_utilisation


@pytest.mark.parametrize("rate", [2.0, 4.0, 6.0])
def test_prices_take_no_more_cloud_work_than_first_come_first_served(kit: Any, rate: float) -> None:
    state = crowd(kit, rate=rate)

    priced, served = plan(state, OBJECTIVE), greedy(state)
    late = [one for one in priced.values() if "nothing meets" in one.reason]

    assert len(late) <= sum(not one.feasible for one in served.values())
    assert cloud_work(priced) <= sum(one.cloud_seconds for one in served.values()) * 1.001


def test_a_short_edge_has_a_price_and_a_bound(kit: Any) -> None:
    state = crowd(kit)
    ledger = ledger_of(state, OBJECTIVE)

    found = guide(state, mobiles(state), OBJECTIVE, {}, ledger)

    assert found.prices["edge-0"] > 0
    assert 0 < found.lower <= found.upper
    assert found.waits["edge-0"] > 0
    idle = crowd(kit, rate=0.01)
    assert guide(idle, mobiles(idle), OBJECTIVE, {}, ledger_of(idle, OBJECTIVE)).prices == {}


def test_a_mobile_node_alone_needs_no_price(kit: Any) -> None:
    state = crowd(kit, count=1)

    assert guide(state, mobiles(state), OBJECTIVE, {}, ledger_of(state, OBJECTIVE)).prices == {}


def test_mobile_nodes_spread_over_edges_that_are_equally_near(kit: Any) -> None:
    state = crowd(kit, edges=4)

    members = attach(state, mobiles(state), OBJECTIVE, {})

    assert sorted(member.edge for member in members) == [f"edge-{k // 2}" for k in range(8)]


def test_the_edge_of_a_plan_in_force_is_kept(kit: Any) -> None:
    state = crowd(kit, edges=4)
    for found in plan(state, OBJECTIVE).values():
        state = apply(state, found, 0.0)

    used = {
        found.node: stage.node
        for found in state.plans.values()
        for stage in found.route.stages
        if stage.tier is Tier.EDGE
    }
    members = attach(state, mobiles(state), OBJECTIVE, {})

    assert used
    assert {member.node.name: member.edge for member in members}.items() >= used.items()


def test_a_job_has_its_own_deadline_and_floor(kit: Any) -> None:
    state = crowd(kit, count=3, rate=1.0)

    jobs = {"mobile-1": Job(deadline=0.09), "mobile-2": Job(accuracy_drop=0.0)}
    plans, usual = plan(state, OBJECTIVE, jobs), plan(state, OBJECTIVE)

    assert plans["mobile-1"].predicted_seconds < usual["mobile-1"].predicted_seconds
    assert "within 0.09 s" in plans["mobile-1"].reason
    assert plans["mobile-2"].predicted_accuracy >= kit.text.card.accuracy - 1e-9
    assert plans["mobile-0"].route == usual["mobile-0"].route


def test_a_job_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ObjectiveError, match="job priority is 0"):
        Job(priority=0)


def test_a_snapshot_names_what_its_columns_are(kit: Any) -> None:
    state = crowd(kit, count=4, edges=2)

    taken = snapshot(state, mobiles(state), OBJECTIVE, {}, ledger_of(state, OBJECTIVE))

    assert taken is not None
    assert sorted(taken.mobiles) == [f"mobile-{k}" for k in range(4)]
    assert taken.edges == ("edge-0", "edge-1")
    assert taken.clouds == ("cloud-0",)
    slowness = dict(zip(taken.mobiles, taken.fleet.features[:, 0].tolist(), strict=True))
    assert slowness["mobile-2"] / slowness["mobile-0"] == pytest.approx(2.0)
    assert (
        snapshot(
            crowd(kit, edges=0, clouds=0),
            mobiles(crowd(kit, edges=0, clouds=0)),
            OBJECTIVE,
            {},
            ledger_of(state, OBJECTIVE),
        )
        is None
    )


@pytest.mark.parametrize(
    ("fields", "report", "most"),
    [({"max_layer": 2}, {}, 2), ({}, {"battery": 0.05}, 0), ({}, {"battery": 0.5}, 6)],
    ids=["memory", "flat battery", "charged battery"],
)
def test_memory_and_battery_bound_how_much_of_the_model_a_mobile_node_of_a_fleet_holds(
    kit: Any, fields: dict[str, Any], report: dict[str, Any], most: int
) -> None:
    state = crowd(kit, count=3, uplink=2e4, **report)
    for k in range(3):
        slow = kit.profile(f"mobile-{k}", Tier.MOBILE, kit.text.card, 4.0, **fields)
        state = apply(state, slow, 0.0)

    taken = snapshot(state, mobiles(state), OBJECTIVE, {}, ledger_of(state, OBJECTIVE))
    found = guide(state, mobiles(state), OBJECTIVE, {}, ledger_of(state, OBJECTIVE))

    assert taken is not None
    assert taken.fleet.depth.tolist() == [most] * 3
    assert len(found.starts) == 3
    assert max(candidate.legs[0].layer for _, candidate in found.starts.values()) <= most


def test_the_largest_message_bounds_what_a_fleet_hands_off(kit: Any) -> None:
    state, sent = crowd(kit), []
    for most in (2**26, 1000):
        limited = replace(OBJECTIVE, max_frame_bytes=most)
        taken = snapshot(state, mobiles(state), limited, {}, ledger_of(state, limited))
        assert taken is not None
        plans = [one for table in taken.fleet.tables for one in table.candidates]
        sent.append(max(leg.received_bytes for one in plans for leg in one.legs))

    assert sent[0] > 1000 >= sent[1]


def test_rounds_settle_at_the_prices_and_then_change_nothing(kit: Any) -> None:
    state, standings, changes = crowd(kit), {}, []
    for second in range(8):
        decided = run_round(replace(state, now=float(second)), OBJECTIVE, Reluctance(), standings)
        standings = decided.standings
        for found in decided.changed.values():
            state = apply(state, found, float(second))
        changes.append(len(decided.changed))

    assert changes[0] == 8
    assert changes[-3:] == [0, 0, 0]
    assert busy(state, dict(state.plans), "edge-0") <= OBJECTIVE.max_utilisation


def test_waiting_counts_where_the_objective_says_so(kit: Any) -> None:
    state = crowd(kit, count=2, rate=1.0)

    least_work, least_wait = (plan(state, Objective.balanced(knob, deadline=1.0)) for knob in (0.0, 1.0))

    assert cloud_work(least_work) < cloud_work(least_wait)
    for name in least_work:
        assert least_wait[name].predicted_mean_seconds <= least_work[name].predicted_mean_seconds


def test_slow_samples_count_where_the_objective_says_so(kit: Any) -> None:
    state = crowd(kit, count=3, rate=1.0)
    indifferent = Objective(deadline=1.0, accuracy_drop=0.05)
    careful = replace(indifferent, slow_after=0.09, slow_weight=0.5)

    cheap, prompt = (plan(state, one) for one in (indifferent, careful))

    assert cloud_work(cheap) < cloud_work(prompt)
    for name in cheap:
        assert prompt[name].predicted_seconds < cheap[name].predicted_seconds


def test_energy_counts_where_the_objective_says_so(kit: Any) -> None:
    state = crowd(kit, count=2, rate=1.0)
    loose = Objective(deadline=5.0, edge_weight=0.1)

    usual, frugal = plan(state, loose), plan(state, replace(loose, energy_weight=1.0))

    assert usual["mobile-0"].route.stages[0].layer > 0
    assert frugal["mobile-0"].route.stages[0].layer < usual["mobile-0"].route.stages[0].layer


def test_a_knob_out_of_range_is_refused() -> None:
    with pytest.raises(ObjectiveError, match="knob is 2"):
        Objective.balanced(2)


def test_mobile_nodes_move_to_an_edge_that_has_room_where_theirs_has_none(kit: Any) -> None:
    state = crowd(kit)
    for found in plan(state, OBJECTIVE).values():
        state = apply(state, found, 0.0)
    joined = kit.deployment(kit.text.card, mobiles=8, edges=2, rate=6.0)
    state = replace(state, nodes={**joined.nodes, **state.nodes})
    links = [kit.link(name) for name in ("edge-0", "edge-1", "cloud-0")]
    for k in range(8):
        report = kit.telemetry(f"mobile-{k}", Tier.MOBILE, *links, arrival_rate=6.0)
        state = apply(state, report, 0.0)

    before = guide(
        replace(state, nodes=crowd(kit).nodes), mobiles(state), OBJECTIVE, {}, ledger_of(state, OBJECTIVE)
    )
    after = guide(state, mobiles(state), OBJECTIVE, {}, ledger_of(state, OBJECTIVE))

    used = {name for names, _ in after.starts.values() for name in names}
    assert {"edge-0", "edge-1"} <= used
    assert after.upper < before.upper


def test_an_edge_is_as_slow_to_one_kind_of_mobile_node_as_to_another(kit: Any) -> None:
    state = crowd(kit, count=4, edges=2)
    state = apply(state, kit.profile("edge-1", Tier.EDGE, kit.text.card, 6.0), 0.0)
    jobs = {"mobile-1": Job(accuracy_drop=0.0), "mobile-3": Job(accuracy_drop=0.0)}

    taken = snapshot(state, mobiles(state), OBJECTIVE, jobs, ledger_of(state, OBJECTIVE))

    assert taken is not None
    assert len(taken.fleet.tables) == 2
    assert taken.fleet.tables[0].seconds[Tier.EDGE] == taken.fleet.tables[1].seconds[Tier.EDGE]
    assert taken.fleet.edges.slowness.tolist() == pytest.approx([1.0, 2.0])
