"""The scheduler as a program: fold what arrives, decide every second, publish the plans that changed."""

import asyncio
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

import structlog

from tierline_broker import (
    LEADER,
    LEADER_NAME,
    LEARNT,
    NODE,
    ORDER,
    PLAN,
    PRICE,
    PROFILE,
    REQUIREMENT,
    TELEMETRY,
    Birth,
    Leader,
    Learnt,
    Order,
    Plan,
    Price,
    Profile,
    Requirement,
    Route,
    Session,
    Subscription,
    Telemetry,
    connect,
)
from tierline_scheduler.config import SchedulerConfig
from tierline_scheduler.errors import RefusedError
from tierline_scheduler.followed import followed
from tierline_scheduler.leadership import Office, claim, hear, meet
from tierline_scheduler.margins import Margins
from tierline_scheduler.margins import hear as hear_outcomes
from tierline_scheduler.memory import Memory, prices_told
from tierline_scheduler.objective import Objective
from tierline_scheduler.rounds import Round, Standings, run_round
from tierline_scheduler.slowloop import SlowLoop
from tierline_scheduler.state import ClusterState, FoldedRecord, apply, expire

_BREATH = 0.05  # seconds between rounds however often nodes come and go

_log = structlog.get_logger()


class _Desk:
    """What the scheduler knows, and the wish for a round; touched by the event loop only."""

    def __init__(self, office: Office, objective: Objective, slow: SlowLoop) -> None:
        self.slow = slow
        self.objective = objective
        self.state = ClusterState()
        self.office = office
        self.leading = False
        self.standings: Standings = {}
        self.prices: dict[str, Price] = {}
        self.outdated: set[str] = set()
        self.impossible: frozenset[str] = frozenset()
        self.failed: frozenset[tuple[str, str]] = frozenset()
        self.counters: Counter[str] = Counter()
        self.wake = asyncio.Event()
        self.margins = Margins()
        self.memory = Memory()
        self.promises: Mapping[str, bool] = {}

    def fold(self, record: FoldedRecord | Leader | Learnt) -> None:
        """Take in one record; one that cannot be planned with is counted, logged and left out."""
        now = asyncio.get_running_loop().time()
        if isinstance(record, Leader):
            self.office = hear(self.office, record, now)
            return
        if isinstance(record, Learnt):
            self.margins = self.memory.hear(record, self.margins, leading=self.leading)
            if self.memory.known is record and not self.leading:
                self.slow.resume(prices_told(record))
            return
        if isinstance(record, Birth) and record.role == "scheduler":
            self.office = meet(self.office, record)
            self.wake.set()
            return
        if isinstance(record, Plan) and self._is_outdated(record):
            self.outdated.add(record.node)
        try:
            known, self.state = self.state, apply(self.state, record, now)
        except RefusedError as error:
            self.counters["refused"] += 1
            _log.warning("record_refused", node=error.node, reason=str(error))
            return
        if isinstance(record, Requirement):
            self.margins = hear_outcomes(self.margins, record, self.state, self.objective, self.promises)
        if isinstance(record, Birth | Profile | Order) or _is_urgent(record) or _is_news(record, known):
            self.wake.set()
        if self.state.crowds > known.crowds:
            _log.info("crowd_seen", times=round(known.crowd.factor, 2))
            self.wake.set()

    def _is_outdated(self, plan: Plan) -> bool:
        """Whether somebody put an old plan, or another of the same version, in the place of ours."""
        known = self.state.plans.get(plan.node)
        return known is not None and plan.version <= known.version and plan != known


def _is_news(record: FoldedRecord, known: ClusterState) -> bool:
    """Whether a requirement asks for something else than before; it is repeated as long as it is wanted."""
    if not isinstance(record, Requirement):
        return False
    before = known.requirements.get(record.client)
    return before is None or before[0].model_copy(update={"outcomes": record.outcomes}) != record


def _is_urgent(record: FoldedRecord) -> bool:
    return isinstance(record, Telemetry) and record.early


_FOLLOWED = (PLAN, LEARNT, NODE, LEADER, ORDER, REQUIREMENT, PROFILE, TELEMETRY)
"""What the scheduler reads: plans first, so that their versions are known before anybody is planned for."""


async def run_scheduler(config: SchedulerConfig) -> None:
    """Plan for one site until cancelled, or stand by while another scheduler does.

    Raises:
        AddressError: the broker's URL cannot be used.
        ConnectError: no broker answers at first; later losses are healed.
    """
    birth = Birth(node=config.name, role="scheduler", state="ready", incarnation=time.time_ns())
    office = Office(name=config.name, incarnation=birth.incarnation)
    desk = _Desk(office, config.objective, SlowLoop(config))
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
        followed = [await stack.enter_async_context(session.subscribe(topic)) for topic in _FOLLOWED]
        await session.retain(NODE, config.name, birth)
        _log.info("scheduler_ready", name=config.name, site=config.site, objective=str(config.objective))
        async with asyncio.TaskGroup() as group:
            for subscription in followed:
                group.create_task(_follow(desk, subscription), name="scheduler-follow")
            group.create_task(_decide(desk, session, config), name="scheduler-rounds")
            group.create_task(_keep_alike(desk, config), name="scheduler-slow-loop")


async def _follow(desk: _Desk, subscription: Subscription[Any]) -> None:
    async for record in subscription:
        desk.fold(record)


async def _keep_alike(desk: _Desk, config: SchedulerConfig) -> None:
    """Search for prices of slow samples beside the rounds, which go on with the last ones meanwhile."""
    while True:
        await asyncio.sleep(config.round_seconds)
        if desk.leading and await desk.slow.beside_rounds(desk.state, desk.margins.by_class):
            desk.wake.set()


async def _decide(desk: _Desk, session: Session, config: SchedulerConfig) -> None:
    """Round after round while connected; without a connection everybody only seems silent."""
    generation = 0
    while True:
        fresh = await session.connected() != generation
        if fresh:
            generation = session.generation
            await asyncio.sleep(config.settle_seconds)
        desk.wake.clear()
        if await _leads(desk, session, config):
            await _renew(desk, session, everything=fresh)
            await _round(desk, session, config)
            await desk.memory.keep(session, config.name, desk.margins, desk.slow.prices, again=fresh)
        await asyncio.sleep(_BREATH)
        try:
            async with asyncio.timeout(max(0.0, config.round_seconds - _BREATH)):
                await desk.wake.wait()
        except TimeoutError:
            pass  # the regular round


async def _leads(desk: _Desk, session: Session, config: SchedulerConfig) -> bool:
    """Say that we lead, or would, and return whether we do."""
    now = asyncio.get_running_loop().time()
    sure = desk.leading and desk.office.leads(now, config.patience_seconds)
    ours = claim(desk.office, now, config.patience_seconds)
    if ours is not None:
        await session.retain(LEADER, LEADER_NAME, ours, again=False)
        if not sure:
            # Until others had time to claim the same, and we to hear of it.
            await asyncio.sleep(config.settle_seconds)
    leading = desk.office.leads(asyncio.get_running_loop().time(), config.patience_seconds)
    if leading != desk.leading:
        desk.leading, desk.standings, desk.prices = leading, {}, {}
        best = desk.office.best
        _log.info("leader_changed", leads=leading, leader=None if best is None else best.node)
    return leading


async def _renew(desk: _Desk, session: Session, *, everything: bool) -> None:
    """Put the plans that we know back where the broker forgot them, or somebody else put older ones."""
    names = set(desk.state.plans) if everything else desk.outdated & set(desk.state.plans)
    desk.outdated = set()
    for name in sorted(names):
        await session.retain(PLAN, name, desk.state.plans[name], again=False)


async def _round(desk: _Desk, session: Session, config: SchedulerConfig) -> None:
    now = asyncio.get_running_loop().time()
    state = followed(expire(desk.state, now, silence=config.silence))
    _tell_mixes(desk.state, state)
    desk.state = state
    # In a thread, so that a large site never keeps the connection waiting.
    margins = desk.margins.by_class
    await desk.slow.before_round(state, margins)
    reluctance = config.reluctance
    if desk.slow.take_fresh():
        # What new prices make worth while stays so for as long as they are held.
        reluctance = replace(reluctance, horizon=max(reluctance.horizon, config.alike_seconds))
    decided = await asyncio.to_thread(
        run_round, state, config.objective, reluctance, desk.standings, margins, desk.slow.prices
    )
    if not desk.office.leads(asyncio.get_running_loop().time(), config.patience_seconds):
        return  # another scheduler has taken over meanwhile, and these plans are not ours to publish
    desk.standings, desk.promises = decided.standings, decided.promises
    _report(desk, decided)
    for name, plan in decided.changed.items():
        desk.fold(plan)
        await session.retain(PLAN, name, plan, again=False)
        desk.counters["plans"] += 1
        _log.info(
            "plan_changed", node=name, version=plan.version, route=route_text(plan.route), reason=plan.reason
        )
    await _publish_prices(desk, session, decided)


def _tell_mixes(before: ClusterState, now: ClusterState) -> None:
    for name, node in now.nodes.items():
        if (old := before.nodes.get(name)) is not None and old.mix != node.mix:
            _log.info("mix_changed", node=name, mix=node.mix.words or "as it was measured")


async def _publish_prices(desk: _Desk, session: Session, decided: Round) -> None:
    """Publish the prices that have really changed."""
    for name, price in decided.prices.items():
        if _moved(desk.prices.get(name), price):
            desk.prices[name] = price
            await session.retain(PRICE, name, price, again=False)


def _moved(told: Price | None, now: Price) -> bool:
    if told is None:
        return True
    pairs = ((told.wait, now.wait, 1e-3), (told.price, now.price, 1e-3), (told.busy, now.busy, 0.02))
    return any(abs(a - b) > max(least, 0.2 * a) for a, b, least in pairs)


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
