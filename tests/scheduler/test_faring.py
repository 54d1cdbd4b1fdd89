"""Classes of devices that fare alike in the rounds of the service, by the prices of the slow loop."""

import asyncio
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tests.scheduler import test_service as service
from tierline_broker import Tier, running
from tierline_scheduler import (
    ClusterState,
    Objective,
    ObjectiveError,
    Reluctance,
    SchedulerConfig,
    SlowPrices,
    apply,
    explain,
    run_round,
    run_scheduler,
    slow_prices,
    slowloop,
)
from tierline_scheduler.chance import slow_share
from tierline_scheduler.faring import device_classes
from tierline_scheduler.planner import assess, ledger_of, mobiles
from tierline_scheduler.slowloop import SlowLoop

BALANCED = Objective.balanced(0.5, deadline=1.0, accuracy_drop=0.05)
SLOWDOWNS = (4.0, 10.0, 25.0)


def unequal(kit: Any, count: int = 9, rate: float = 1.0) -> ClusterState:
    """Laptops, phones and small boards that share an edge and a cloud."""
    state = kit.deployment(kit.text.card, mobiles=count, rate=rate, uplink=5e6)
    for k in range(count):
        slow = kit.profile(f"mobile-{k}", Tier.MOBILE, kit.text.card, SLOWDOWNS[k % 3])
        state = apply(state, slow, 0.0)
    return state


def run(state: ClusterState, seconds: int, slow: SlowPrices | None = None) -> ClusterState:
    """Return the state after so many rounds."""
    standings = {}
    for _ in range(seconds):
        state = replace(state, now=state.now + 1.0)
        decided = run_round(state, BALANCED, Reluctance(), standings, slow=slow)
        standings = decided.standings
        for plan in decided.changed.values():
            state = apply(state, plan, state.now)
    return state


def p95(state: ClusterState) -> dict[str, float]:
    """The seconds that all but 5 % of each class's samples keep, by the exact prediction of plans."""
    ledger, classes = ledger_of(state, BALANCED), device_classes(state)
    by_class: dict[str, list[Any]] = {}
    for mobile in mobiles(state):
        found = assess(state, state.plans[mobile.name], BALANCED, ledger.traffic(mobile.name))
        assert found is not None
        by_class.setdefault(classes[mobile.name], []).append(found)
    return {kind: _quantile(found) for kind, found in by_class.items()}


def _quantile(found: list[Any]) -> float:
    full, variance, mean, deep = (
        np.array(column)
        for column in zip(
            *((one.seconds, one.sd**2, one.mean_seconds, one.candidate.reach[-1]) for one in found),
            strict=True,
        )
    )
    grid = np.linspace(0.001, 2.0, 2000)
    late = slow_share(grid[:, None], full, variance, mean, deep).mean(axis=1)
    return float(grid[np.argmax(late <= 0.05)])


def ratio(state: ClusterState) -> float:
    seconds = p95(state).values()
    return max(seconds) / min(seconds)


def cloud_work(state: ClusterState) -> float:
    return sum(plan.predicted_cloud_seconds for plan in state.plans.values())


def test_rounds_at_the_prices_keep_classes_alike_that_fared_apart_and_so_do_plans_in_force(kit: Any) -> None:
    start = unequal(kit, 6, rate=4.0)
    found = slow_prices(start, BALANCED, 1.5)

    apart = run(start, 2)
    alike = run(start, 2, found)
    held = run_round(apart, BALANCED, Reluctance(horizon=60.0), {}, slow=found)
    moved = apart
    for plan in held.changed.values():
        moved = apply(moved, plan, moved.now)

    assert ratio(apart) > 2
    assert found.ratio <= 1.5
    assert ratio(alike) <= 1.5
    assert ratio(moved) <= 1.5
    assert cloud_work(alike) > cloud_work(apart)  # which is what it costs
    busy = run_round(alike, BALANCED, Reluctance(), {}, slow=found).prices
    assert max(price.busy for price in busy.values()) <= BALANCED.max_utilisation + 1e-6


def test_a_device_is_explained_at_the_prices_that_its_class_pays(kit: Any) -> None:
    state = unequal(kit, 6, rate=4.0)
    found = slow_prices(state, BALANCED, 1.5)
    decided = run_round(state, BALANCED, Reluctance(), {}, slow=found).changed

    best = next(explain(state, BALANCED, "mobile-1", slow=found))
    apart = next(explain(state, BALANCED, "mobile-1"))

    assert best.route == decided["mobile-1"].route
    assert best.estimate.safe_seconds < apart.estimate.safe_seconds


def test_what_was_found_before_is_found_again_sooner(kit: Any) -> None:
    state = unequal(kit, rate=4.0)
    first = slow_prices(state, BALANCED, 1.5)
    asked: list[int] = []

    again = slow_prices(state, BALANCED, 1.5, known=first, stop=lambda: bool(asked.append(0)))

    cold: list[int] = []
    slow_prices(state, BALANCED, 1.5, stop=lambda: bool(cold.append(0)))
    assert again.ratio <= 1.5
    assert len(asked) < len(cold)
    for kind, price in first.by_class.items():
        assert again.by_class[kind] == pytest.approx(price, rel=0.1)


def test_a_search_that_is_told_to_stop_says_what_it_has_found(kit: Any) -> None:
    assert slow_prices(unequal(kit, rate=4.0), BALANCED, 1.5, stop=lambda: True).ratio > 1.5


def test_classes_are_told_by_profiles_and_one_alone_pays_nothing(kit: Any) -> None:
    state = unequal(kit)
    state = apply(state, kit.telemetry("mobile-0", Tier.MOBILE, speed=9.0, arrival_rate=1.0), 0.0)

    assert sorted(set(device_classes(state).values())) == [
        "32 times slower",
        "4 times slower",
        "8 times slower",
    ]
    assert device_classes(state)["mobile-0"] == "4 times slower"
    assert slow_prices(kit.deployment(kit.text.card, mobiles=4), BALANCED, 1.5).after == 0
    assert slow_prices(ClusterState(), BALANCED, 1.5).ratio == 1


def config(**fields: Any) -> SchedulerConfig:
    return SchedulerConfig(name="planner", broker="mqtt://x", objective=BALANCED, **fields)


def test_a_ratio_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(ObjectiveError, match=r"alike is 0\.5"):
        config(alike=0.5)


async def test_prices_are_held_until_others_are_there_or_a_while_has_passed(
    kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []

    def counted(state: ClusterState, *args: Any, **more: Any) -> SlowPrices:
        searched.append(len(state.nodes))
        return slow_prices(state, *args, **more)

    monkeypatch.setattr(slowloop, "slow_prices", counted)
    loop, state = SlowLoop(config(alike=1.5)), unequal(kit, 6, rate=4.0)
    for _ in range(3):
        await loop.before_round(state, {})
    assert (searched, loop.take_fresh(), loop.take_fresh()) == ([8], True, False)
    assert loop.prices.by_class["8 times slower"] > 0

    await loop.before_round(unequal(kit, 9, rate=4.0), {})
    assert searched == [8, 11]
    never = SlowLoop(config())
    await never.before_round(state, {})
    assert searched == [8, 11]
    assert never.prices == SlowPrices()


async def test_a_search_cut_short_before_it_found_anything_leaves_the_prices_as_they_are(
    kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, state = SlowLoop(config(alike=1.5, alike_seconds=0.001)), unequal(kit, 6, rate=4.0)
    await loop.before_round(state, {})
    before = loop.prices

    def cut_short(*_: Any, stop: Any, **__: Any) -> SlowPrices:
        while not stop():
            time.sleep(0.005)
        return SlowPrices(seconds={"fast": 0.1, "slow": 0.3})

    monkeypatch.setattr(slowloop, "slow_prices", cut_short)
    monkeypatch.setattr(slowloop, "AT_ONCE", 0.2)
    await asyncio.sleep(0.01)
    await loop.before_round(state, {})

    assert loop.prices == before
    assert before.after > 0
    assert loop.failed == 0


async def test_a_search_that_fails_leaves_the_prices_as_they_are(
    kit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, state = SlowLoop(config(alike=1.5, alike_seconds=0.001)), unequal(kit, 6, rate=4.0)
    await loop.before_round(state, {})
    before = loop.prices

    def failing(*_: Any, **__: Any) -> SlowPrices:
        raise ZeroDivisionError("forged")

    monkeypatch.setattr(slowloop, "slow_prices", failing)
    await asyncio.sleep(0.01)
    await loop.before_round(state, {})

    assert loop.prices == before
    assert loop.failed == 1


async def test_rounds_of_a_large_fleet_go_on_while_prices_are_searched_for(
    kit: Any, broker_url: str, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slowloop, "SMALL", 0)
    begun, release, here = asyncio.Event(), threading.Event(), asyncio.get_running_loop()

    def slowly(*_: Any, stop: Any, **__: Any) -> SlowPrices:
        here.call_soon_threadsafe(begun.set)
        release.wait(10)
        return SlowPrices()

    monkeypatch.setattr(slowloop, "slow_prices", slowly)
    settings = replace(service.config(broker_url, site), alike=1.5)
    async with (
        asyncio.timeout(20),
        service.fakes(kit, broker_url, site) as nodes,
        running(run_scheduler(settings), name="scheduler"),
    ):
        await nodes.join_all(kit.text.card)
        await nodes.plan(edge=True)
        await begun.wait()
        start = time.monotonic()
        await nodes.leave(Tier.EDGE)
        await nodes.plan(edge=False)
        waited = time.monotonic() - start
        release.set()

    assert waited < 3
