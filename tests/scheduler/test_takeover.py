"""Several schedulers on a real Mosquitto, one of them a process that is killed or hangs."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from tierline_broker import (
    LEADER,
    LEADER_NAME,
    NODE,
    PLAN,
    PROFILE,
    TELEMETRY,
    Leader,
    Plan,
    Session,
    Subscription,
    Tier,
    connect,
    running,
)
from tierline_scheduler import Objective, SchedulerConfig, run_scheduler

SECONDS = 30
TIERS = ((Tier.CLOUD, 1.0), (Tier.EDGE, 3.0), (Tier.MOBILE, 10.0))


def spare(url: str, site: str) -> SchedulerConfig:
    return SchedulerConfig(
        name="spare", broker=url, site=site, objective=Objective(deadline=0.2), silence=60.0
    )


@asynccontextmanager
async def process(url: str, site: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    """The scheduler as people run it."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tierline", "scheduler", "--name", "first", "--broker", url, "--site", site,
        "--deadline", "0.2", stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        yield child
    finally:
        if child.returncode is None:
            child.send_signal(signal.SIGKILL)
        await child.wait()


async def leader(claims: Subscription[Leader], name: str) -> Leader:
    """Wait until somebody leads."""
    async for found in claims:
        if found.node == name:
            return found
    raise AssertionError("a subscription never ends")


async def join(session: Session, kit: Any, *, tiers: Any = TIERS) -> None:
    for tier, slowdown in tiers:
        name = f"{tier}-0"
        await session.retain(PROFILE, name, kit.profile(name, tier, kit.text.card, slowdown))
        await session.retain(NODE, name, kit.birth(name, tier))


async def speak(session: Session, kit: Any, kept: "Kept") -> None:
    """Report as nodes do, for ever."""
    while True:
        for tier, _ in TIERS:
            name, rate = f"{tier}-0", 5.0 if tier is Tier.MOBILE else 0.0
            report = kit.telemetry(name, tier, arrival_rate=rate, plan=kept.version)
            await session.publish(TELEMETRY, name, report)
        await asyncio.sleep(0.2)


@dataclass
class Kept:
    """All plans that were published, in order."""

    seen: list[Plan] = field(default_factory=list)
    told: asyncio.Event = field(default_factory=asyncio.Event)

    async def keep(self, plans: Subscription[Plan]) -> None:
        async for plan in plans:
            self.seen.append(plan)
            self.told.set()

    async def until(self, holds: Callable[[], Any]) -> None:
        while not holds():
            self.told.clear()
            await self.told.wait()

    @property
    def version(self) -> int:
        return self.seen[-1].version if self.seen else 0

    @property
    def uses_edge(self) -> bool:
        return any(stage.tier is Tier.EDGE for stage in self.seen[-1].route.stages)


@asynccontextmanager
async def nodes(kit: Any, url: str, site: str) -> AsyncGenerator[tuple[Session, Subscription[Leader], Kept]]:
    """Nodes that report, who leads, and all plans that are published."""
    kept = Kept()
    async with (
        connect(url, name="fakes", site=site) as session,
        session.subscribe(PLAN) as plans,
        session.subscribe(LEADER, LEADER_NAME) as claims,
        running(speak(session, kit, kept), kept.keep(plans), name="nodes"),
    ):
        await join(session, kit)
        yield session, claims, kept


def is_sound(seen: list[Plan]) -> bool:
    """Versions only rise, and none is used for two plans."""
    versions = [plan.version for plan in seen]
    return versions == sorted(versions) and len({p.version for p in seen}) == len(
        {p.model_dump_json() for p in seen}
    )


async def test_another_takes_over_from_a_scheduler_that_is_killed_and_goes_on_from_its_plan(
    kit: Any, broker_url: str, site: str
) -> None:
    async with (
        asyncio.timeout(SECONDS),
        nodes(kit, broker_url, site) as (session, claims, kept),
        process(broker_url, site) as first,
    ):
        before = await leader(claims, "first")
        await kept.until(lambda: kept.seen)
        async with running(run_scheduler(spare(broker_url, site)), name="spare"):
            os.kill(first.pid, signal.SIGKILL)
            after = await leader(claims, "spare")
            await session.retain(NODE, "edge-0", kit.birth("edge-0", Tier.EDGE, state="lost"))
            await kept.until(lambda: not kept.uses_edge)

    assert after.term == before.term + 1
    assert is_sound(kept.seen)


async def test_a_scheduler_that_hung_finds_another_in_its_place_and_does_not_fight(
    kit: Any, broker_url: str, site: str
) -> None:
    async with (
        asyncio.timeout(SECONDS),
        nodes(kit, broker_url, site) as (session, claims, kept),
        process(broker_url, site) as first,
    ):
        await leader(claims, "first")
        await kept.until(lambda: kept.seen)
        async with running(run_scheduler(spare(broker_url, site)), name="spare"):
            os.kill(first.pid, signal.SIGSTOP)
            await leader(claims, "spare")
            await session.retain(NODE, "edge-0", kit.birth("edge-0", Tier.EDGE, state="lost"))
            await kept.until(lambda: not kept.uses_edge)
            os.kill(first.pid, signal.SIGCONT)
            for _ in range(3):  # a beat of the one that hung may be among them
                await anext(claims)
            await session.retain(NODE, "edge-0", kit.birth("edge-0", Tier.EDGE))
            await kept.until(lambda: kept.uses_edge)
            last = await anext(claims)

    assert last.node == "spare"
    assert is_sound(kept.seen)


async def test_a_scheduler_that_starts_again_keeps_the_plan_until_nodes_have_said_how_they_are(
    kit: Any, broker_url: str, site: str
) -> None:
    kept = Kept()
    async with (
        asyncio.timeout(SECONDS),
        connect(broker_url, name="fakes", site=site) as session,
        session.subscribe(PLAN) as plans,
        session.subscribe(LEADER, LEADER_NAME) as claims,
        running(kept.keep(plans), name="keep"),
    ):
        await join(session, kit)
        async with (
            running(speak(session, kit, kept), name="speak"),
            running(run_scheduler(spare(broker_url, site)), name="one"),
        ):
            await kept.until(lambda: kept.seen)
            while kept.uses_edge:
                # So slow that no plan uses it.
                await session.publish(TELEMETRY, "edge-0", kit.telemetry("edge-0", Tier.EDGE, speed=100.0))
                await asyncio.sleep(0.01)
            before = await anext(claims)
        count = len(kept.seen)
        async with running(run_scheduler(spare(broker_url, site)), name="two"):
            while (found := await anext(claims)).term == before.term:
                pass
            for _ in range(2):  # as many rounds
                assert await anext(claims) == found

    # Profiles alone would say that the edge is fast.
    assert len(kept.seen) == count
