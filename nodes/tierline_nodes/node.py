"""Run one node: enter its lifetimes, follow its plan, serve its samples."""

import asyncio
import gc
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import Literal

import structlog

from tierline_broker import (
    NODE,
    ORDER,
    PLAN,
    PRICE,
    PROFILE,
    Birth,
    Link,
    Presence,
    Profile,
    Session,
    connect,
    follow,
    open_receiver,
    open_sender,
    running,
)
from tierline_models import Served, load_served
from tierline_nodes.coding import make_coder
from tierline_nodes.compute import Compute, compute_thread
from tierline_nodes.config import NodeConfig
from tierline_nodes.emulation import Conditions
from tierline_nodes.errors import EmulationError, ParentGoneError
from tierline_nodes.meter import Meter
from tierline_nodes.refusals import Refusals
from tierline_nodes.samples import Node, serve
from tierline_nodes.selftest import measure_profile
from tierline_nodes.steering import follow_orders, follow_plans, follow_prices, link_stalls
from tierline_nodes.telemetry import check_idle_speed, probe_links, report, report_stalls

_log = structlog.get_logger()


async def run_node(config: NodeConfig) -> None:
    """Run one node until cancelled, or until standard input ends where that feeds it conditions.

    Raises:
        ModelError: the bundle cannot be loaded.
        ConnectError: the broker does not answer.
    """
    conditions = Conditions(slowdown=config.slowdown)
    incarnation = time.time_ns()
    try:
        async with (
            # First of all, so that a parent's end is noticed while the model still loads.
            running(_follow_conditions(config, conditions), name="conditions"),
            compute_thread(conditions) as compute,
            # Before the model, so that a broker that is not there is told before anything is fetched.
            _connected(config, incarnation) as session,
        ):
            bundle, profile = await _prepare(config, compute, incarnation)
            async with _joined(config, bundle, profile, conditions, compute, session) as node:
                await serve(node)
    except ParentGoneError:
        _log.info("parent_gone", node=config.name)


def _connected(config: NodeConfig, incarnation: int) -> AbstractAsyncContextManager[Session]:
    return connect(
        config.broker,
        name=config.name,
        site=config.site,
        will=_birth(config, "lost", incarnation),
        username=config.username,
        password=config.password,
        mirror_headers=config.mirror_headers,
    )


def _birth(config: NodeConfig, state: Literal["ready", "lost"], incarnation: int, *models: str) -> Birth:
    return Birth(
        node=config.name,
        tier=config.tier,
        state=state,
        incarnation=incarnation,
        window=config.window,
        models=models,
        version=config.version,
    )


async def _prepare(config: NodeConfig, compute: Compute, incarnation: int) -> tuple[Served, Profile]:
    _log.info("bundle_loading", bundle=str(config.bundle))

    def load() -> tuple[Served, Profile]:
        bundle = load_served(config.bundle, runtime=config.runtime, max_layer=config.max_layer)
        return bundle, measure_profile(bundle, config, incarnation, config.slowdown)

    bundle, profile = (await compute.run(load, emulate=False)).value
    compute.busy = 0.0
    # It stays until we end: no collection need look at it again, least of all the one at the end, which takes
    # seconds on a small device and would make us late.
    gc.freeze()
    _log.info(
        "bundle_ready",
        bundle=bundle.name,
        digest=bundle.digest[:12],
        block_seconds=round(sum(profile.block_seconds), 5),
    )
    return bundle, profile


@asynccontextmanager
async def _joined(
    config: NodeConfig,
    bundle: Served,
    profile: Profile,
    conditions: Conditions,
    compute: Compute,
    session: Session,
) -> AsyncGenerator[Node]:
    """Join the deployment: everything subscribed before the birth says that we are ready."""
    meter = Meter()
    refusals = Refusals(session, config, meter)
    async with (
        follow(session) as presence,
        open_sender(session, profile.incarnation, presence, link=_link(presence, conditions)) as sender,
        open_receiver(
            session, profile.incarnation, window=config.window, on_malformed=refusals.add
        ) as receiver,
        session.subscribe(PLAN, config.name) as plans,
        session.subscribe(PRICE) as prices,
        session.subscribe(ORDER, config.name) as orders,
    ):
        node = Node(
            config=config, bundle=bundle, profile=profile, session=session, sender=sender,
            receiver=receiver, presence=presence, compute=compute, meter=meter,
            coder=make_coder(bundle.codings, profile.codecs),
        )  # fmt: skip
        sender.stalls.listeners.append(partial(link_stalls, node))
        birth = _birth(config, "ready", profile.incarnation, bundle.digest)
        async with running(
            follow_plans(plans, node), follow_prices(prices, node), refusals.answer(), report(node),
            report_stalls(node), check_idle_speed(node), probe_links(node), name=f"node-{config.name}",
        ):  # fmt: skip
            await session.retain(PROFILE, config.name, profile)
            await session.retain(NODE, config.name, birth)
            _log.info("node_ready", node=config.name, tier=config.tier.value, broker=config.broker_shown)
            async with running(follow_orders(orders, node, birth), name="orders"):
                yield node


def _link(presence: Presence, conditions: Conditions) -> Link:
    async def link(peer: str, size: int) -> None:
        found = presence.get(peer)
        await conditions.cross(size, found.tier if found is not None else None)

    return link


async def _follow_conditions(config: NodeConfig, conditions: Conditions) -> None:
    """Apply lines of emulated conditions until standard input ends, which ends the node."""
    if not config.emulate:
        return
    async for line in _stdin_lines():
        try:
            conditions.change(line)
            _log.debug("conditions_changed", line=line.strip())
        except EmulationError as exc:
            _log.warning("conditions_refused", reason=str(exc))
    raise ParentGoneError("standard input, which feeds the emulated conditions, has ended")


async def _stdin_lines() -> AsyncGenerator[str]:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        while line := await reader.readline():
            yield line.decode(errors="replace")
    finally:
        transport.close()
