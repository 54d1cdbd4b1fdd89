"""Slow samples at a price, and classes of devices that fare alike."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.scheduler.fleets import BALANCED, LEVEL, OBJECTIVE, Build
from tierline_scheduler.chance import slow_share
from tierline_scheduler.fleet import (
    SHED,
    Feature,
    Fleet,
    class_p95,
    outlook,
    settle,
    settle_alike,
    toll,
    waits_at,
)

PRICED = replace(BALANCED, slow_after=0.15, slow_weight=0.05)


def kinds(fleet: Fleet) -> np.ndarray:
    """The class of each device: the rank of its speed."""
    return np.unique(fleet.features[:, Feature.MOBILE], return_inverse=True)[1]


def test_the_share_of_slow_samples_is_that_of_drawn_ones() -> None:
    rng = np.random.default_rng(0)
    full, sd, deep, mean = 0.4, 0.15, 0.3, 0.25
    rest = (mean - deep * full) / (1 - deep)
    width = np.sqrt(np.log1p((sd / full) ** 2))
    middle = np.where(rng.random(400_000) < deep, full, rest)
    drawn = middle * rng.lognormal(-(width**2) / 2, width, 400_000)

    for after in (0.1, 0.2, 0.3, 0.5):
        found = slow_share(after, *(np.array([value]) for value in (full, sd**2, mean, deep)))

        assert found[0] == pytest.approx((drawn > after).mean(), abs=0.003)


def test_the_p95_of_a_class_is_that_of_its_drawn_samples(build: Build) -> None:
    fleet = build(devices=40, seed=2)
    found = settle(fleet, OBJECTIVE, [LEVEL])
    seen = outlook(fleet, OBJECTIVE, waits_at(fleet, OBJECTIVE, found.level), found.plan)
    rng, classes = np.random.default_rng(0), kinds(fleet)
    device = rng.choice(40, 400_000, p=fleet.rate / fleet.rate.sum())
    deep, full = seen.deep[device], seen.seconds[device]
    rest = (seen.mean_seconds[device] - deep * full) / np.maximum(1 - deep, 1e-9)
    width = np.sqrt(np.log1p((seen.sd[device] / full) ** 2))
    drawn = np.where(rng.random(400_000) < deep, full, rest) * rng.lognormal(-(width**2) / 2, width)

    for kind, seconds in enumerate(class_p95(fleet, seen, classes)):
        assert seconds == pytest.approx(np.quantile(drawn[classes[device] == kind], 0.95), rel=0.01)


@given(seed=st.integers(0, 10_000), crowd=st.floats(0.5, 8))
@settings(max_examples=15, deadline=None)
def test_slow_samples_are_bought_off_at_their_price_and_no_plans_kept_are_cheaper(
    build: Build, seed: int, crowd: float
) -> None:
    fleet = build(seed=seed, crowd=crowd)
    waits = waits_at(fleet, PRICED, np.full(2, LEVEL))
    kept = settle(fleet, BALANCED, [LEVEL], exact=True).plan

    found = settle(fleet, PRICED, [LEVEL], exact=True)

    assert found.lower <= found.upper * (1 + 1e-9)
    assert found.upper == pytest.approx(float(toll(fleet, PRICED, waits, found.plan).cost.sum()))
    assert found.upper <= float(toll(fleet, PRICED, waits, kept).cost.sum()) * (1 + 1e-9)
    assert _slow_share(fleet, found.plan) <= _slow_share(fleet, kept) + 1e-9


def _slow_share(fleet: Fleet, plan: np.ndarray) -> float:
    """The weighted share of slow samples among those of devices that are served in time."""
    seen = outlook(fleet, PRICED, waits_at(fleet, PRICED, np.full(2, LEVEL)), plan)
    late = slow_share(PRICED.slow_after, seen.seconds, seen.sd**2, seen.mean_seconds, seen.deep)
    return float(fleet.rate @ late)


@pytest.mark.parametrize("crowd", [0.5, 3.0])
def test_classes_fare_more_alike_at_a_cost_and_within_the_ratio_where_they_can(
    build: Build, crowd: float
) -> None:
    fleet = build(devices=120, edges=3, crowd=crowd, uplink=4.0)
    plain = settle_alike(fleet, OBJECTIVE, kinds(fleet), 1e9)

    found = settle_alike(fleet, OBJECTIVE, kinds(fleet), 1.5)

    assert plain.ratio > 1.6
    assert not plain.price.any()
    assert found.ratio <= 1.5
    assert found.price.any()
    assert found.price[int(np.argmin(found.seconds))] == 0
    dear, cheap = (float(one.decision.toll.cloud.sum()) for one in (found, plain))
    assert dear > cheap
    edge = np.bincount(fleet.edge, found.decision.toll.edge, 4)[:-1]
    assert np.all(edge <= fleet.edges.room(found.decision.level) * (1 + 1e-9))


def test_classes_that_cannot_be_brought_together_come_as_near_as_they_can(build: Build) -> None:
    fleet = build(devices=60, edges=2, uplink=0.02)
    plain = settle_alike(fleet, OBJECTIVE, kinds(fleet), 1e9)

    found = settle_alike(fleet, OBJECTIVE, kinds(fleet), 1.01)

    assert found.ratio > 1.01
    assert found.ratio <= plain.ratio


def test_faring_alike_hangs_neither_on_the_order_of_devices_nor_on_chance(build: Build) -> None:
    one, again, other = (build(devices=60, crowd=2.0, shuffle=shuffle) for shuffle in (None, None, 5))
    first, second, third = (settle_alike(made, OBJECTIVE, kinds(made), 1.5) for made in (one, again, other))

    assert np.array_equal(first.decision.plan, second.decision.plan)
    assert third.price == pytest.approx(first.price)
    assert third.seconds == pytest.approx(first.seconds, rel=1e-6)


def test_nobody_goes_unserved_while_there_is_room_however_little_a_miss_costs(build: Build) -> None:
    fleet = build(devices=60, crowd=20.0, deadline=0.3)

    found = settle(fleet, replace(OBJECTIVE, miss_cost=0.02), [LEVEL])

    assert (found.plan < 0).any()
    assert not (found.plan == SHED).any()


def test_an_empty_fleet_fares_alike(build: Build) -> None:
    fleet = build()
    nobody = replace(fleet, **{name: getattr(fleet, name)[:0] for name in PER_DEVICE})

    assert settle_alike(nobody, OBJECTIVE, np.zeros(0, dtype=np.int64), 1.5).decision.upper == 0


PER_DEVICE = (
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
