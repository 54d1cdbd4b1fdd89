"""Crowds told from chance by what comes to several mobile nodes together."""

from random import Random
from statistics import median
from typing import Any

import pytest

from tierline_broker import Tier
from tierline_scheduler import ClusterState, Objective, Reluctance, apply, run_round
from tierline_scheduler.counting import count
from tierline_scheduler.crowds import Crowd, raised, watch


def poisson(rng: Random, rate: float) -> float:
    return float(sum(rng.random() < rate / 200 for _ in range(200)))


def settled(rate: float) -> Any:
    level = None
    for _ in range(40):
        level = count(level, rate)
    return level


def alarms(phones: int, usual: float, rate: float, reports: int, seed: int) -> list[int]:
    """After how many reports of all phones, one after the other, a crowd is seen."""
    rng, level, crowd, found = Random(seed), settled(usual), Crowd(), []
    for k in range(reports):
        crowd = watch(crowd, f"mobile-{k % phones}", level, poisson(rng, rate))
        if crowd.here:
            found.append(k + 1)
            crowd = Crowd()
    return found


@pytest.mark.parametrize(("phones", "rate", "seconds"), [(4, 5.0, 1.75), (4, 3.0, 2.5), (8, 1.5, 2.5)])
def test_a_crowd_is_seen_within_two_rounds_or_so_where_many_requests_are_usual(
    phones: int, rate: float, seconds: float
) -> None:
    found = [alarms(phones, rate, 2 * rate, 20 * phones, seed)[0] / phones for seed in range(40)]

    assert median(found) <= seconds


@pytest.mark.parametrize(("phones", "rate"), [(4, 5.0), (8, 1.5)])
def test_chance_is_rarely_taken_for_a_crowd(phones: int, rate: float) -> None:
    found = [len(alarms(phones, rate, rate, 300 * phones, seed)) for seed in range(6)]

    assert sum(found) <= 2 * 6 * 300 / 600


def test_one_mobile_node_s_burst_is_no_crowd() -> None:
    crowd = Crowd()
    for second in range(5):
        for phone in range(3):
            crowd = watch(crowd, f"mobile-{phone}", settled(3.0), 30.0 if phone == 0 else 3.0)
            assert not crowd.here, second


def test_streams_that_always_scatter_widely_need_more_evidence() -> None:
    even, level = settled(3.0), None
    for value in [0.0, 9.0, 0.0, 3.0] * 30:
        level = count(level, value)
    assert level is not None

    assert watch(Crowd(), "a", level, 9.0).score < watch(Crowd(), "a", even, 9.0).score


def test_all_levels_rise_by_what_has_come_and_each_soon_knows_better() -> None:
    crowd = Crowd(score=9.0, told={"a": (12.0, 6.0, 2), "b": (8.0, 4.0, 2)})
    level = raised(settled(3.0), crowd)

    assert level.value == pytest.approx(6.0)
    for _ in range(6):
        level = count(level, 3.0)
    assert level.value < 4.5


def test_a_crowd_at_several_mobile_nodes_raises_what_all_are_planned_for(kit: Any) -> None:
    state, names = ClusterState(), [f"mobile-{k}" for k in range(4)]
    for name in (*names, "mobile-new"):
        state = apply(state, kit.birth(name, Tier.MOBILE), 0.0)

    def second(state: ClusterState, at: float, rate: float, *but: str) -> ClusterState:
        for name in (one for one in names if one not in but):
            state = apply(state, kit.telemetry(name, Tier.MOBILE, arrival_rate=rate), at)
        return state

    for at in range(20):
        state = second(state, at, 5.0)
    state = apply(state, kit.telemetry("mobile-new", Tier.MOBILE, arrival_rate=1.0), 20.0)
    state = second(second(state, 20.0, 10.0), 21.0, 10.0, "mobile-3")

    assert state.crowds == 1
    assert all(state.nodes[name].arrivals.value > 8 for name in names)  # the one not heard of, too
    assert state.nodes["mobile-new"].arrivals.value == 1.0


def test_in_a_crowd_the_round_after_leaves_the_edge_within_its_room_and_everybody_in_time(kit: Any) -> None:
    names, objective = [f"mobile-{k}" for k in range(4)], Objective.balanced(0.5, deadline=0.5)
    state = kit.deployment(kit.text.card, mobiles=4, rate=5.0)

    def second(state: ClusterState, at: float, rate: float, busy: float) -> ClusterState:
        for name in names:
            links = [kit.link("edge-0", observations=int(at) + 2), kit.link("cloud-0", rtt=0.04)]
            report = kit.telemetry(name, Tier.MOBILE, *links, arrival_rate=rate)
            state = apply(state, report, at)
        for tier, share in ((Tier.EDGE, busy), (Tier.CLOUD, 0.0)):
            state = apply(state, kit.telemetry(f"{tier}-0", tier, busy=share), at)
        return state

    def decided(state: ClusterState, standings: Any) -> Any:
        found = run_round(state, objective, Reluctance(), standings)
        for one in found.changed.values():
            state = apply(state, one, state.now)
        return found, state

    found, state = decided(state, {})
    planned = run_round(state, objective, Reluctance(), found.standings).prices["edge-0"].busy
    for at in range(1, 20):
        state = second(state, at, 5.0, planned)
        found, state = decided(state, found.standings)
    state = second(second(state, 20.0, 10.0, planned), 21.0, 10.0, planned)
    after, state = decided(state, found.standings)
    busy = run_round(state, objective, Reluctance(), after.standings).prices["edge-0"].busy

    assert state.crowds == 1
    assert planned > 0.5 * objective.max_utilisation
    assert after.changed
    assert busy <= objective.max_utilisation
    assert not any("nothing meets" in one.reason for one in after.changed.values())
