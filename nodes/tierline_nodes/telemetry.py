"""What a node reports every second, and the small measurements that keep the report fresh when it is idle."""

import asyncio
from collections.abc import AsyncGenerator

import psutil
import structlog

from tierline_broker import TELEMETRY, BrokerError, PublishError, Telemetry, Tier
from tierline_nodes.errors import SampleError
from tierline_nodes.meter import Interval
from tierline_nodes.samples import Node
from tierline_nodes.selftest import time_first_block

REPORT_SECONDS = 1.0
IDLE_SECONDS = 2.0  # without traffic for so long, a node measures its speed and its links itself

_log = structlog.get_logger()


async def every(seconds: float) -> AsyncGenerator[None]:
    """Yield on the loop's clock, now and every so many seconds; a late turn is not made up for."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        yield
        due = max(due + seconds, loop.time())
        await asyncio.sleep(due - loop.time())


async def report(node: Node) -> None:
    """Publish telemetry once a second, for ever."""
    loop = asyncio.get_running_loop()
    interval = Interval(at=loop.time())
    async for _ in every(REPORT_SECONDS):
        rate, busy = interval.rates(loop.time(), node.meter.arrived, node.compute.busy)
        await _publish(node, _telemetry(node, rate, busy))


async def report_stalls(node: Node) -> None:
    """Publish telemetry whenever a link begins to stall, without waiting for the second, for ever."""
    while True:
        await node.stalled.wait()
        node.stalled.clear()
        await _publish(node, _telemetry(node, 0.0, 0.0, early=True))


async def _publish(node: Node, report: Telemetry) -> None:
    try:
        await node.session.publish(TELEMETRY, node.config.name, report)
    except PublishError as exc:
        _log.debug("telemetry_unsent", reason=str(exc))


def _telemetry(node: Node, rate: float, busy: float, *, early: bool = False) -> Telemetry:
    meter = node.meter
    return Telemetry(
        early=early,
        node=node.config.name,
        tier=node.config.tier,
        incarnation=node.profile.incarnation,
        queue=node.compute.depth,
        speed=min(max(meter.speed, 1e-3), 1e6),
        busy=busy,
        arrival_rate=rate,
        links=node.sender.links(),
        served=meter.served,
        answered=meter.answered,
        work_seconds=meter.work_seconds,
        sent_bytes=meter.sent_bytes,
        memory_free_bytes=psutil.virtual_memory().available,
        battery=read_battery(),
        plan=0 if node.plan is None else node.plan.version,
        pools=dict(meter.pools),
        codecs=dict(meter.codecs),
        notes=dict(meter.notes),
        exits=tuple(counts.report(layer) for layer, counts in sorted(meter.exits.items())),
        drops={**meter.drops, **{f"receive-{k}": v for k, v in node.receiver.counters.items()}},
    )


def read_battery() -> float | None:
    """Return the battery's charge as a share; None where there is no battery, or no way to ask for it."""
    try:
        battery = psutil.sensors_battery()
    except (AttributeError, OSError):  # by system; a kernel without power supplies lacks even their folder
        return None
    return None if battery is None else min(max(battery.percent / 100, 0.0), 1.0)


async def check_idle_speed(node: Node) -> None:
    """Time the first block whenever no sample has shown the node's speed lately, for ever."""
    loop = asyncio.get_running_loop()
    async for _ in every(IDLE_SECONDS):
        if loop.time() - node.meter.last_work < IDLE_SECONDS or node.compute.depth:
            continue
        try:
            ran = await node.compute.run(lambda: time_first_block(node.bundle))
        except SampleError:
            continue  # the queue filled up meanwhile, so there is traffic after all
        node.meter.observe_speed(ran.value.slowed(ran.slowdown), node.profile.block_seconds[0], loop.time())


async def probe_links(node: Node) -> None:
    """Measure each link further out that no traffic has measured lately, for ever."""
    if node.config.tier is Tier.CLOUD:
        return
    async for _ in every(IDLE_SECONDS):
        fresh = {link.peer for link in node.sender.links() if link.age < IDLE_SECONDS}
        for birth in node.presence.ready():
            further = birth.tier is not None and birth.tier.rank > node.config.tier.rank
            if not further or birth.node in fresh:
                continue
            try:
                await node.sender.probe(birth.node)
            except BrokerError as exc:
                _log.debug("probe_failed", peer=birth.node, reason=str(exc))
