"""Devices of large fleets that move between sites."""

import numpy as np
import pytest

from tests.scheduler.fleets import OBJECTIVE, Build
from tierline_scheduler.fleet import Feature, Fleet, Reach, reattach, settle
from tierline_scheduler.fleet.reattach import placed


def near_all(fleet: Fleet, seed: int = 0) -> Reach:
    """Every device can be at every edge, at links of its own to the others."""
    rng, edges, n = np.random.default_rng(seed), len(fleet.edges), len(fleet)
    site = (fleet.site[:, None] + np.arange(edges)) % edges
    features = np.repeat(fleet.features[:, None, :], edges, axis=1)
    features[:, 1:, Feature.UP_EDGE] *= rng.uniform(0.8, 1.6, (n, edges - 1))
    return Reach(site=site, features=features, spread=np.repeat(fleet.spread[:, None, :], edges, axis=1))


def crowded(build: Build, share: float, **fields: float) -> Fleet:
    """A fleet of which this share is at the first of its edges."""
    fleet = build(devices=400, edges=4, crowd=1.0, uplink=4.0, **fields)
    reach = near_all(fleet)
    first = np.random.default_rng(1).random(len(fleet)) < share
    place = np.where(first, (-fleet.site) % 4, 0)
    return placed(fleet, reach, place)


def test_devices_leave_a_crowded_edge_and_no_edge_is_overrun(build: Build) -> None:
    fleet = crowded(build, 0.8)
    before = settle(fleet, OBJECTIVE)

    found = reattach(fleet, OBJECTIVE, near_all(fleet))

    assert before.price.max() > 0
    assert found.decision.upper < 0.9 * before.upper
    assert (found.place > 0).sum() > 20
    used = np.bincount(found.fleet.edge, found.decision.toll.edge, 5)[:-1]
    assert np.all(used <= found.fleet.edges.room(found.decision.level) * (1 + 1e-9))
    assert found.decision.upper < 1.3 * settle(crowded(build, 0.0), OBJECTIVE).upper


@pytest.mark.parametrize("crowd", [0.01, 30.0])
def test_where_moving_saves_little_everybody_stays_and_it_never_costs_more(
    build: Build, crowd: float
) -> None:
    fleet = build(devices=120, edges=3, crowd=crowd)

    found = reattach(fleet, OBJECTIVE, near_all(fleet))

    before = settle(fleet, OBJECTIVE).upper
    assert found.decision.upper <= before * (1 + 1e-9)
    if crowd < 1:
        assert not found.place.any()
        assert found.decision.upper == pytest.approx(before)


def test_the_same_fleet_moves_the_same_way_and_stops_when_told(build: Build) -> None:
    fleet = crowded(build, 0.8)
    reach = near_all(fleet)

    first, second = (reattach(fleet, OBJECTIVE, reach) for _ in range(2))

    assert np.array_equal(first.place, second.place)
    assert not reattach(fleet, OBJECTIVE, reach, stop=lambda: True).place.any()
