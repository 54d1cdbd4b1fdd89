"""When inputs become easier or harder, telemetry says so and the plan wants another gain: real programs."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tierline import Answered, Client, connect
from tierline_broker import PLAN, TELEMETRY, Plan, Pool, Subscription, Telemetry, Tier
from tierline_broker import connect as session_for
from tierline_models import load_bundle

pytestmark = pytest.mark.timeout(300)

IN_FLIGHT = 4
SAMPLES = 250  # to find easy and hard ones among


async def answers(client: Client, texts: Sequence[bytes]) -> list[Answered]:
    """Send texts, few at a time, and return what comes back in their order."""
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def one(text: bytes) -> Answered:
        async with gate:
            return await client.infer(text, deadline=60.0, node="phone")

    return list(await asyncio.gather(*(one(text) for text in texts)))


async def until(told: Subscription[Any], wanted: Callable[[Any], bool], seconds: float = 90.0) -> Any:
    async with asyncio.timeout(seconds):
        async for record in told:
            if wanted(record):
                return record
    raise AssertionError("the subscription ended")


def pool_shares(now: Telemetry, before: Telemetry | None = None) -> dict[Pool, float]:
    counts = {pool: sum(one.pools.get(pool, 0) for one in now.exits) for pool in Pool}
    if before is not None:
        counts = {p: n - sum(one.pools.get(p, 0) for one in before.exits) for p, n in counts.items()}
    return {pool: count / max(1, sum(counts.values())) for pool, count in counts.items()}


def seen(report: Telemetry) -> int:
    return sum(sum(one.pools.values()) for one in report.exits)


async def test_the_gain_that_is_wanted_follows_the_mix(programs: Any, broker_url: str) -> None:
    flags = ("--broker", broker_url, "--site", "mix")
    programs.start("scheduler", *flags)
    programs.start("node", "--tier", "mobile", "--max-layer", "2", "--name", "phone", *flags)
    programs.start("node", "--tier", "cloud", "--name", "cloud", *flags)
    bundle = load_bundle("text")
    texts = [sample.data for sample in bundle.samples("test", 1)[:SAMPLES]]
    async with (
        session_for(broker_url, name="watcher", site="mix") as session,
        session.subscribe(PLAN, "phone") as plans,
        session.subscribe(TELEMETRY, "phone") as reports,
        connect(broker_url, site="mix") as client,
    ):
        first: Plan = await until(plans, lambda plan: plan.route.gains)
        found = await answers(client, texts)
        middle = await until(reports, lambda report: seen(report) >= 0.95 * SAMPLES)
        assert first.route.router == bundle.card.router
        check_reasons(found)
        check_table(first, found, [sample.label for sample in bundle.samples("test", 1)[:SAMPLES]])

        hard = [text for text, one in zip(texts, found, strict=True) if one.pool is Pool.HARD]
        again = await answers(client, (hard * 10)[:SAMPLES])
        moved: Plan = await until(plans, lambda plan: plan.mix.get(Pool.HARD, 0) > 0.25)
        after = await until(reports, lambda report: seen(report) >= 1.95 * SAMPLES)
        assert pool_shares(after, middle)[Pool.HARD] > 0.9
        assert pool_shares(middle) == pytest.approx(dict(bundle.card.pools), abs=0.12)
        assert moved.route.gains < first.route.gains
        assert "hard" in moved.reason
        assert again[-1].steps[0].plan > first.version

        easy = [text for text, one in zip(texts, found, strict=True) if one.pool is Pool.EASY]
        await answers(client, (easy * 4)[:SAMPLES])
        eased: Plan = await until(plans, lambda plan: plan.mix.get(Pool.HARD, 0) < moved.mix[Pool.HARD])
        assert eased.route.gains > moved.route.gains


def check_reasons(found: Sequence[Answered]) -> None:
    """Every result says why it was answered where it was."""
    here = [one for one in found if one.tier is Tier.MOBILE]
    there = [one for one in found if one.tier is Tier.CLOUD]
    assert here
    assert there
    assert all(one.pool is not None for one in found)
    assert all("going on would mend" in one.why and "answered on mobile" in one.why for one in here)
    assert all(one.gain is not None and one.margin is not None and one.margin > 0 for one in here)
    assert all(one.why.startswith("mobile hoped to mend") and one.gain is None for one in there)
    assert all(one.steps[0].gain is not None for one in there)


def check_table(plan: Plan, found: Sequence[Answered], labels: Sequence[str | None]) -> None:
    """Shares and accuracy are what the plan said, but for chance: three deviations of so many samples."""
    mobile = sum(one.tier is Tier.MOBILE for one in found) / len(found)
    right = sum(one.label == label for one, label in zip(found, labels, strict=True)) / len(found)
    assert mobile == pytest.approx(plan.predicted_shares[Tier.MOBILE], abs=0.1)
    assert right == pytest.approx(plan.predicted_accuracy, abs=0.09)
