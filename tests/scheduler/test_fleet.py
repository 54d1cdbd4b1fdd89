"""The fleet's planner: against an independent solver, and what must hold whatever the fleet."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import Bounds, LinearConstraint, milp

from tests.scheduler.fleets import BALANCED, LEVEL, OBJECTIVE, Build, link, node
from tierline_broker import Tier
from tierline_scheduler import Objective
from tierline_scheduler.cost import predict
from tierline_scheduler.fleet import (
    LEVELS,
    SHED,
    Decision,
    Feature,
    Fleet,
    PlanTable,
    calibrated,
    device_features,
    improve,
    outlook,
    settle,
    solve,
    toll,
    waits_at,
)
from tierline_scheduler.fleet import rows as rows_module
from tierline_scheduler.fleet.predict import allowed, segments, unpack
from tierline_scheduler.fleet.round import open_round
from tierline_scheduler.fleet.rows import options
from tierline_scheduler.model import read_card
from tierline_scheduler.servers import Arrivals
from tierline_scheduler.table import tables


def optimum(fleet: Fleet, objective: Objective, level: float) -> float:
    """The cheapest choice of plans at one planned utilisation, by a solver of integer programs."""
    now = open_round(fleet, objective, np.full(len(fleet.edges), level))
    (rows,) = now.rows
    made = options(fleet, objective, rows, np.arange(len(rows)))
    device, plan = np.nonzero(np.isfinite(made.cost))
    weight = rows.weight[device]
    one_each = np.zeros((len(rows), len(device)))
    one_each[device, np.arange(len(device))] = 1
    use = np.zeros((len(fleet.edges), len(device)))
    use[now.edge[device], np.arange(len(device))] = weight * made.edge[device, plan]
    cloud = weight * made.cloud[device, plan]
    found = milp(
        weight * made.cost[device, plan],
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(use, -np.inf, now.capacity[:-1]),
            LinearConstraint(cloud, -np.inf, now.room[0]),
        ],
        integrality=np.ones(len(device)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 1e-9},
    )
    assert found.success
    return float(found.fun)


def used(fleet: Fleet, decision: Decision) -> tuple[np.ndarray, np.ndarray]:
    edge = np.bincount(fleet.edge, decision.toll.edge, len(fleet.edges) + 1)[:-1]
    return edge, np.bincount(fleet.cloud, decision.toll.cloud, len(fleet.clouds) + 1)[:-1]


def at(fleet: Fleet, level: float = LEVEL, objective: Objective = OBJECTIVE) -> Decision:
    return solve(fleet, objective, np.full(len(fleet.edges), level))


@given(
    seed=st.integers(0, 10_000),
    crowd=st.sampled_from([0.5, 2.0, 8.0]),
    objective=st.sampled_from([OBJECTIVE, BALANCED, replace(BALANCED, slow_after=0.15, slow_weight=0.05)]),
)
@settings(max_examples=25, deadline=None)
def test_the_bounds_enclose_the_optimum_and_the_core_reaches_it(
    build: Build, seed: int, crowd: float, objective: Objective
) -> None:
    fleet = build(seed=seed, crowd=crowd)
    best = optimum(fleet, objective, LEVEL)

    rough = at(fleet, objective=objective)
    exact = settle(fleet, objective, [LEVEL], exact=True)

    close = 1e-6 * best
    assert rough.lower - close <= best <= rough.upper + close
    assert exact.upper == pytest.approx(best, rel=1e-6)
    assert exact.lower == pytest.approx(best, rel=1e-6)


@given(seed=st.integers(0, 10_000), share=st.floats(0.05, 0.9))
@settings(max_examples=15, deadline=None)
def test_a_cloud_that_is_short_of_room_gets_a_price_and_is_never_overrun(
    build: Build, seed: int, share: float
) -> None:
    free = at(build(seed=seed))
    wanted = float(free.toll.cloud.sum()) / OBJECTIVE.max_utilisation
    fleet = build(seed=seed, cloud=max(wanted * share, 1e-3))

    found = at(fleet)

    assert used(fleet, found)[1][0] <= fleet.clouds.count[0] * OBJECTIVE.max_utilisation * (1 + 1e-9)
    assert found.lower <= optimum(fleet, OBJECTIVE, LEVEL) * (1 + 1e-6)
    assert found.upper >= optimum(fleet, OBJECTIVE, LEVEL) * (1 - 1e-6)


@given(seed=st.integers(0, 10_000), crowd=st.floats(0.1, 20), level=st.sampled_from(LEVELS))
@settings(max_examples=30, deadline=None)
def test_no_edge_is_ever_given_more_than_planned_and_promised_deadlines_hold(
    build: Build, seed: int, crowd: float, level: float
) -> None:
    fleet = build(devices=30, seed=seed, crowd=crowd)

    found = at(fleet, level)

    assert np.all(used(fleet, found)[0] <= fleet.edges.room(found.level) * (1 + 1e-9))
    seen = outlook(fleet, OBJECTIVE, waits_at(fleet, OBJECTIVE, found.level), found.plan)
    kept = found.plan >= 0
    assert np.all((seen.seconds + fleet.margin * seen.sd)[kept] <= fleet.deadline[kept] * (1 + 1e-5))
    depth = np.array([fleet.tables[0].depth[plan] for plan in found.plan[kept]])
    assert np.all(depth <= fleet.depth[kept])


@given(seed=st.integers(0, 10_000))
@settings(max_examples=15, deadline=None)
def test_more_time_or_bandwidth_never_costs_more(build: Build, seed: int) -> None:
    for more in ({"deadline": 1.5}, {"uplink": 2.0}):
        before = settle(build(seed=seed), OBJECTIVE, [LEVEL], exact=True)
        after = settle(build(seed=seed, **more), OBJECTIVE, [LEVEL], exact=True)

        assert after.upper <= before.upper * (1 + 1e-9)


@given(seed=st.integers(0, 10_000), shuffle=st.integers(0, 100))
@settings(max_examples=15, deadline=None)
def test_the_order_of_devices_changes_nothing_but_their_order(build: Build, seed: int, shuffle: int) -> None:
    one, other = at(build(seed=seed)), at(build(seed=seed, shuffle=shuffle))

    assert other.lower == pytest.approx(one.lower, rel=1e-9)
    assert other.price == pytest.approx(one.price, rel=1e-9)
    assert np.sort(other.toll.cost) == pytest.approx(np.sort(one.toll.cost), rel=1e-6)


@given(seed=st.integers(0, 10_000), crowd=st.floats(0.5, 10))
@settings(max_examples=15, deadline=None)
def test_keeping_any_plans_that_fit_is_never_cheaper(build: Build, seed: int, crowd: float) -> None:
    fleet = build(seed=seed, crowd=crowd)
    kept = at(fleet, objective=BALANCED).plan

    found = settle(fleet, OBJECTIVE, [LEVEL], exact=True)

    waits = waits_at(fleet, OBJECTIVE, np.full(2, LEVEL))
    assert found.upper <= toll(fleet, OBJECTIVE, waits, kept).cost.sum() * (1 + 1e-9)


def test_the_same_fleet_gets_the_same_plans(build: Build) -> None:
    assert np.array_equal(at(build(seed=3)).plan, at(build(seed=3)).plan)


@pytest.mark.parametrize("crowd", [0.5, 3.0, 10.0])
def test_devices_that_are_the_same_to_the_planner_may_share_a_row(
    build: Build, crowd: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = build(devices=400, edges=3, crowd=crowd)
    apart = at(fleet)

    monkeypatch.setattr(rows_module, "APART", 0)
    together = at(fleet)

    assert len(open_round(fleet, OBJECTIVE, np.full(3, LEVEL)).edge) < 400
    assert together.lower == pytest.approx(apart.lower, rel=1e-9)
    assert together.upper == pytest.approx(apart.upper, rel=2e-3)
    assert np.all(used(fleet, together)[0] <= fleet.edges.room(together.level) * (1 + 1e-9))


def test_a_large_fleet_loses_next_to_nothing(build: Build) -> None:
    found = at(build(devices=20_000, edges=5, crowd=400.0))

    assert found.gap < 1e-4


def test_the_best_level_of_each_edge_is_no_worse_than_any_for_all(build: Build) -> None:
    fleet = build(devices=60, edges=4, crowd=4.0)
    settled = settle(fleet, OBJECTIVE)

    assert all(settled.upper <= at(fleet, level).upper * (1 + 1e-9) for level in LEVELS)
    for step in (1, -1):
        assert improve(fleet, OBJECTIVE, settled, step).upper <= settled.upper * (1 + 1e-9)


def test_priority_decides_who_goes_without(build: Build) -> None:
    fleet = build(devices=200, edges=1, crowd=15.0)
    only_edge = replace(fleet, deadline=np.full(200, 0.4), depth=np.zeros(200, dtype=np.int64))
    slow = only_edge.features.copy()
    slow[:, Feature.RTT_CLOUD] = 10.0
    far = replace(fleet.sites, rtt=np.full(1, 10.0))
    priority = np.where(np.arange(200) % 2, 4.0, 1.0)
    found = at(replace(only_edge, features=slow, sites=far, priority=priority))

    missed = found.plan < 0
    assert missed[1::2].mean() < missed[::2].mean()
    assert found.price[0] > 0


def test_a_fleet_without_edge_or_cloud_is_left_to_itself(build: Build) -> None:
    fleet = build()
    alone = replace(
        fleet,
        sites=replace(
            fleet.sites,
            edge=np.full(2, -1),
            cloud=np.full(2, -1),
            edge_depth=np.zeros(2, dtype=np.int64),
            cloud_depth=np.zeros(2, dtype=np.int64),
        ),
    )

    found = at(alone)

    assert found.toll.edge.sum() == found.toll.cloud.sum() == 0
    assert set(np.unique(found.plan[found.plan < 0])) <= {SHED}


def test_an_empty_fleet_has_an_empty_answer(build: Build) -> None:
    fleet = build()
    nobody = replace(
        fleet,
        **{
            name: getattr(fleet, name)[:0]
            for name in (
                "table",
                "site",
                "rate",
                "deadline",
                "priority",
                "margin",
                "slow_weight",
                "depth",
                "features",
                "spread",
            )
        },
    )

    assert at(nobody).upper == at(nobody).lower == 0


def test_the_matrix_product_is_the_exact_prediction_where_nothing_waits(
    plan_table: PlanTable, kit: Any
) -> None:
    """Coefficients times features, against the planner's own arithmetic, plan by plan."""
    card = kit.text.card
    speeds = {Tier.MOBILE: 7.0, Tier.EDGE: 2.0, Tier.CLOUD: 1.5}
    links = {
        (Tier.MOBILE, Tier.EDGE): link(4e5, 0.02),
        (Tier.MOBILE, Tier.CLOUD): link(3e5, 0.05),
        (Tier.EDGE, Tier.CLOUD): link(2e6, 0.03),
    }
    features = np.zeros(len(Feature))
    features[: Feature.EDGE_WAIT] = device_features(
        np.zeros(1), np.array([7.0]), np.array([7.0]), np.array([[4e5, 0.02]]), np.array([[3e5, 0.05]])
    )
    features[[Feature.EDGE, Feature.CLOUD]] = 2.0, 1.5
    features[[Feature.BACKHAUL, Feature.RTT_BACK]] = 1 / 2e6, 0.03

    for chain, table in tables(read_card(card), card.accuracy - OBJECTIVE.accuracy_drop).items():
        devices = [node(speeds[tier], card) for tier in chain]
        hops = [links[pair] for pair in pairwise(chain)]
        exact = predict(table, devices, hops, Arrivals(rate=0.0, doubt=0.0), 1.645)
        for row, candidate in enumerate(table.candidates):
            if candidate in plan_table.candidates:
                ours = plan_table.candidates.index(candidate)
                assert plan_table.full[ours] @ features == pytest.approx(exact.seconds[row])
                assert plan_table.mean[ours] @ features == pytest.approx(exact.mean_seconds[row])
                cloud = exact.work[row, -1] if chain[-1] is Tier.CLOUD else 0.0
                assert plan_table.cloud_work[ours] * 1.5 == pytest.approx(cloud)


def test_variances_are_the_second_product_and_what_is_admitted_keeps_the_deadline_with_its_margin(
    build: Build,
) -> None:
    """Mean + margin * sd against the sum, feature by feature, of squares."""
    fleet = build(devices=30)
    waits = waits_at(fleet, OBJECTIVE, np.full(2, LEVEL))
    (table,) = fleet.tables
    words = {}
    for segment in segments(fleet, waits):
        bits = unpack(allowed(fleet, segment, 1e9), len(table))
        words |= {segment.rows.start + k: row for k, row in enumerate(bits)}
    admitted = 0
    for device, bits in words.items():
        edge = int(fleet.site[device])
        of_site = [waits.edge[0][edge], 3.0, 1 / 12.5e6, 0.02, waits.cloud[0][0], 1.0]
        wide = [waits.edge[1][edge], 0.3, 0.1 / 12.5e6, 0.002, waits.cloud[1][0], 0.1]
        mean = np.array([*fleet.features[device], *of_site], dtype=float)
        sd = np.array([*(fleet.features[device] * fleet.spread[device]), *wide], dtype=float)
        for plan, coefficients in enumerate(table.full):
            variance = sum((one * wideness) ** 2 for one, wideness in zip(coefficients, sd, strict=True))
            safe = float(coefficients @ mean) + 1.645 * float(np.sqrt(variance))
            if table.depth[plan] <= fleet.depth[device] and abs(safe / fleet.deadline[device] - 1) > 1e-5:
                assert bool(bits[plan]) == (safe <= fleet.deadline[device])
                admitted += bool(bits[plan])
    assert 0 < admitted < len(fleet) * len(table)


def test_what_is_left_out_of_a_table_is_beaten_on_every_device(plan_table: PlanTable, kit: Any) -> None:
    card = kit.text.card
    every = tables(read_card(card), card.accuracy - OBJECTIVE.accuracy_drop)

    assert 10 < len(plan_table) < sum(len(table.candidates) for table in every.values())


def test_the_knob_never_gives_what_is_worse_in_both(build: Build) -> None:
    fleet, points = build(devices=80, edges=2, crowd=2.0), []
    for knob in (0.0, 0.25, 0.5, 0.75, 1.0):
        objective = Objective.balanced(knob, accuracy_drop=0.02)
        found = settle(fleet, objective, [LEVEL], exact=True)
        seen = outlook(fleet, objective, waits_at(fleet, objective, found.level), found.plan)
        points.append((float(found.toll.cloud.sum()), float((fleet.rate * seen.mean_seconds).sum())))

    cloud, wait = zip(*points, strict=True)
    assert list(cloud) == sorted(cloud)
    assert list(wait) == sorted(wait, reverse=True)
    assert cloud[0] < cloud[-1]
    assert wait[0] > wait[-1]


def test_least_latency_waits_no_longer_than_any_other_objective(build: Build) -> None:
    fleet = build(devices=80, edges=2, crowd=0.2)
    waits, waited = waits_at(fleet, OBJECTIVE, np.full(2, LEVEL)), []
    fastest = replace(OBJECTIVE, cloud_weight=0.0, latency_weight=1.0)
    for objective in (fastest, OBJECTIVE, replace(OBJECTIVE, energy_weight=1.0)):
        plan = settle(fleet, objective, [LEVEL], exact=True).plan
        waited.append(float(fleet.rate @ outlook(fleet, objective, waits, plan).mean_seconds))

    assert waited[0] < min(waited[1:])


def test_less_energy_is_spent_where_energy_counts(build: Build) -> None:
    fleet = build(devices=80, edges=2, crowd=2.0)
    spent = []
    for weight in (0.0, 1.0):
        objective = replace(OBJECTIVE, energy_weight=weight)
        found = at(fleet, objective=objective)
        waits = waits_at(fleet, objective, found.level)
        spent.append(float((fleet.rate * outlook(fleet, objective, waits, found.plan).joules).sum()))
        assert toll(fleet, objective, waits, found.plan).cost == pytest.approx(found.toll.cost)

    assert spent[1] < spent[0]


def test_the_margin_learns_what_share_is_late_whatever_the_noise() -> None:
    rng = np.random.default_rng(0)
    margin, late = 1.0, []
    for _ in range(400):
        share = rng.standard_t(4, 400) > margin
        margin = calibrated(margin, int(share.sum()), 400, 0.02)
        late.append(share.mean())

    assert np.mean(late[100:]) == pytest.approx(0.02, abs=0.003)
    assert calibrated(1.0, 0, 0, 0.02) == 1.0
    assert 1.0 < calibrated(1.0, 1, 4, 0.02) < calibrated(1.0, 100, 400, 0.02)
    assert calibrated(7.9, 400, 400, 0.02) == 8.0
