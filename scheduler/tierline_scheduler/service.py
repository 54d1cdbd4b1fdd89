"""The scheduler as a program: fold what arrives, decide every second, publish the plans that changed."""

import asyncio
import time
from collections import Counter
from contextlib import AsyncExitStack

import structlog

from tierline_broker import (
    NODE,
    PLAN,
    PROFILE,
    TELEMETRY,
    Birth,
    Plan,
    Profile,
    Route,
    Session,
    Subscription,
    Telemetry,
    connect,
)
from tierline_scheduler.config import SchedulerConfig
from tierline_scheduler.errors import RefusedError
from tierline_scheduler.rounds import Round, Standings, run_round
from tierline_scheduler.state import ClusterState, FoldedRecord, apply, expire

_BREATH = 0.05  # seconds between rounds however often nodes come and go

_log = structlog.get_logger()


class _Desk:
    """What the scheduler knows, and the wish for a round; touched by the event loop only."""

    def __init__(self) -> None:
        self.state = ClusterState()
        self.standings: Standings = {}
        self.impossible: frozenset[str] = frozenset()
        self.failed: frozenset[tuple[str, str]] = frozenset()
        self.counters: Counter[str] = Counter()
        self.wake = asyncio.Event()

    def fold(self, record: FoldedRecord) -> None:
        """Take in one record; one that cannot be planned with is counted, logged and left out."""
        try:
            self.state = apply(self.state, record, asyncio.get_running_loop().time())
        except RefusedError as error:
            self.counters["refused"] += 1
            _log.warning("record_refused", node=error.node, reason=str(error))
            return
        if isinstance(record, Birth | Profile):
            self.wake.set()


async def run_scheduler(config: SchedulerConfig) -> None:
    """Plan for one site until cancelled.

    Raises:
        AddressError: the broker's URL cannot be used.
        ConnectError: no broker answers at first; later losses are healed.
    """
    birth = Birth(node=config.name, role="scheduler", state="ready", incarnation=time.time_ns())
    desk = _Desk()
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            connect(
                config.broker,
                name=config.name,
                site=config.site,
                will=birth.model_copy(update={"state": "lost"}),
                username=config.username,
                password=config.password,
            )
        )
        # Plans first, so that the versions in force are known before there is anybody to plan for.
        plans = await stack.enter_async_context(session.subscribe(PLAN))
        nodes = await stack.enter_async_context(session.subscribe(NODE))
        profiles = await stack.enter_async_context(session.subscribe(PROFILE))
        telemetry = await stack.enter_async_context(session.subscribe(TELEMETRY))
        await session.retain(NODE, config.name, birth)
        _log.info("scheduler_ready", name=config.name, site=config.site, objective=str(config.objective))
        async with asyncio.TaskGroup() as group:
            for subscription in (plans, nodes, profiles, telemetry):
                group.create_task(_follow(desk, subscription), name="scheduler-follow")
            group.create_task(_decide(desk, session, config), name="scheduler-rounds")


async def _follow(
    desk: _Desk,
    subscription: Subscription[Plan] | Subscription[Birth] | Subscription[Profile] | Subscription[Telemetry],
) -> None:
    async for record in subscription:
        desk.fold(record)


async def _decide(desk: _Desk, session: Session, config: SchedulerConfig) -> None:
    """Round after round while connected; without a connection everybody only seems silent."""
    generation = 0
    while True:
        if await session.connected() != generation:
            generation = session.generation
            await asyncio.sleep(config.settle_seconds)
        desk.wake.clear()
        await _round(desk, session, config)
        await asyncio.sleep(_BREATH)
        try:
            async with asyncio.timeout(max(0.0, config.round_seconds - _BREATH)):
                await desk.wake.wait()
        except TimeoutError:
            pass  # the regular round


async def _round(desk: _Desk, session: Session, config: SchedulerConfig) -> None:
    now = asyncio.get_running_loop().time()
    state = desk.state = expire(desk.state, now, silence=config.silence)
    # In a thread, so that a large site never keeps the connection waiting.
    decided = await asyncio.to_thread(run_round, state, config.objective, config.reluctance, desk.standings)
    desk.standings = decided.standings
    _report(desk, decided)
    for name, plan in decided.changed.items():
        desk.fold(plan)
        await session.retain(PLAN, name, plan)
        desk.counters["plans"] += 1
        _log.info(
            "plan_changed", node=name, version=plan.version, route=route_text(plan.route), reason=plan.reason
        )


def _report(desk: _Desk, decided: Round) -> None:
    """Say once, not every second, for which nodes there is no plan, or no deciding."""
    now = frozenset(decided.impossible)
    for name in sorted(now - desk.impossible):
        _log.warning("plan_impossible", node=name, reason="no reachable node has the memory for the model")
    desk.impossible = now
    # Every failure counts, yet the same one is told only once: it may come back every second.
    desk.counters["failed"] += len(decided.failed)
    failed = frozenset((name, repr(error)) for name, error in decided.failed.items())
    for name, what in sorted(failed - desk.failed):
        _log.error("decision_failed", node=name, reason=what[:1000], exc_info=decided.failed[name])
    desk.failed = failed


def route_text(route: Route) -> str:
    """Return a route in one line: `input to phone until 2, int8 to edge-1 until 6`."""
    return ", ".join(f"{stage.codec} to {stage.node} until {stage.layer}" for stage in route.stages)
