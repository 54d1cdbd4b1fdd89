"""Follows a deployment's births, telemetry and plans into the live picture of a run."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager

from tierline_broker import (
    NODE,
    PLAN,
    PROFILE,
    TELEMETRY,
    Birth,
    Plan,
    Profile,
    Subscription,
    Telemetry,
    connect,
    running,
)
from tierline_replay.live import Live, PlanSeen


@asynccontextmanager
async def watching(
    url: str, *, site: str, mobiles: Collection[str], live: Live
) -> AsyncGenerator[asyncio.Event]:
    """Keep `live` up to date for as long as the block lasts; yields what is set once all have plans.

    Args:
        url: of the broker.
        site: the deployment on it.
        mobiles: the nodes whose plans count.
        live: what is written to.
    """
    planned = asyncio.Event()
    async with (
        connect(url, name=f"watch-{secrets.token_hex(2)}", site=site) as session,
        session.subscribe(NODE) as births,
        session.subscribe(PROFILE) as profiles,
        session.subscribe(TELEMETRY) as telemetry,
        session.subscribe(PLAN) as plans,
        running(
            _births(births, live),
            _profiles(profiles, live),
            _telemetry(telemetry, live),
            _plans(plans, live, mobiles, planned),
            name="watch",
        ),
    ):
        yield planned


def route_in_words(plan: Plan) -> str:
    """Return a plan's route in one line: `mobile blocks 1-2, int8-lz4 to edge blocks 3-4`."""
    words: list[str] = []
    done = 0
    for stage in plan.route.stages:
        done = 0 if stage.codec == "input" else done
        blocks = f"blocks {done + 1}-{stage.layer}" if stage.layer > done else "passes on"
        words.append(f"{stage.tier} {blocks}" if not words else f"{stage.codec} to {stage.tier} {blocks}")
        done = max(done, stage.layer)
    return ", ".join(words)


async def _births(births: Subscription[Birth], live: Live) -> None:
    async for birth in births:
        before = live.births.get(birth.node)
        live.births[birth.node] = birth
        if before is None or before.state != birth.state:
            live.tell(f"{birth.node} is {birth.state}")


async def _profiles(profiles: Subscription[Profile], live: Live) -> None:
    async for profile in profiles:
        live.profiles[profile.node] = profile


async def _telemetry(telemetry: Subscription[Telemetry], live: Live) -> None:
    async for report in telemetry:
        live.telemetry[report.node] = report


async def _plans(
    plans: Subscription[Plan], live: Live, mobiles: Collection[str], planned: asyncio.Event
) -> None:
    loop = asyncio.get_running_loop()
    waiting = set(mobiles)
    async for plan in plans:
        if plan.node not in mobiles:
            continue
        at = loop.time() - live.started if live.started is not None else -1.0
        live.plans.append(PlanSeen(at=at, plan=plan))
        whose = f" of {plan.node}" if len(mobiles) > 1 else ""
        live.tell(f"plan {plan.version}{whose}: {route_in_words(plan)} ({plan.reason})")
        waiting.discard(plan.node)
        if not waiting:
            planned.set()
