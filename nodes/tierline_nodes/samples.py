"""One sample's way through a node: receive, compute, then answer, send on, or fall back to the best exit."""

import asyncio
from dataclasses import dataclass, field
from functools import partial

import structlog

from tierline_broker import (
    RAW_INPUT,
    RESULT,
    Answer,
    CreditError,
    Plan,
    Presence,
    Price,
    Profile,
    PublishError,
    Receiver,
    Result,
    Route,
    Sender,
    Session,
    Work,
)
from tierline_models import Served
from tierline_nodes.alone import route_now
from tierline_nodes.coding import Coder
from tierline_nodes.compute import Compute, Ran
from tierline_nodes.config import NodeConfig
from tierline_nodes.errors import CalledBackError, SampleError
from tierline_nodes.meter import Meter
from tierline_nodes.outbox import Outbox
from tierline_nodes.routing import Answered, all_here, pinned_elsewhere
from tierline_nodes.stage import Passed, pass_stage
from tierline_nodes.visit import (
    Visit,
    answered,
    failed,
    onward_work,
    pinned_route,
    step_of,
    untouched,
    visit_of,
)

IN_HAND = 64  # samples that a node works on or waits with at a time; the rest stay with their senders
MOST_WAITING = 48  # of these may wait for credit, so that peers that hang never stop what is computed here
LONGEST_WAIT = 10.0  # seconds for credit, however far the deadline
RESERVE = 0.15  # share of the remaining deadline kept at least for answering here when sending on fails
MOST_RESERVE = 0.5  # ... and at most
SAFETY = 2.0  # times as long as it should take, which is kept where that is more

_log = structlog.get_logger()


@dataclass(slots=True, kw_only=True)
class Node:
    """What serving a sample needs, put together by `run_node`."""

    config: NodeConfig
    bundle: Served
    profile: Profile
    session: Session
    sender: Sender
    receiver: Receiver
    presence: Presence
    compute: Compute
    meter: Meter
    coder: Coder
    plan: Plan | None = None
    prices: dict[str, Price] = field(default_factory=dict)  # of shared nodes, the last of each
    outbox: Outbox = field(default_factory=Outbox)
    doubted: int | None = None  # version of the plan in force when a link of ours began to stall
    stalled_at: dict[str, float] = field(default_factory=dict)  # when links last began to, by peer; monotonic
    stalled: asyncio.Event = field(default_factory=asyncio.Event)  # one has, and nobody was told yet


async def serve(node: Node) -> None:
    """Serve samples as they arrive, several at once, until cancelled."""
    slots = asyncio.Semaphore(IN_HAND)
    async with asyncio.TaskGroup() as tasks:
        await slots.acquire()
        async for work in node.receiver:
            task = tasks.create_task(_serve_one(node, work), name=f"sample-{work.id.hex()[-8:]}")
            task.add_done_callback(lambda _: slots.release())
            await slots.acquire()


async def _serve_one(node: Node, work: Work) -> None:
    """Bring one sample to its end on this node: a result to its origin, or onward to its next stage."""
    visit = visit_of(node.config, work, _plan_now(node), len(node.bundle.model.blocks))
    try:
        result = await _outcome(node, visit)
    except SampleError as exc:
        node.meter.drops[exc.code] += 1
        result = failed(visit, exc.code, str(exc))
    if result is not None:
        await _answer(node, visit, result)


def _plan_now(node: Node) -> Plan | None:
    """Return the plan with the way that it takes now, which is another where it cannot be kept."""
    if node.plan is None:
        return None
    doubted, wait = _doubted(node), node.meter.wait(node.compute.depth)
    ways = partial(route_now, node.plan, node.presence, node.prices, node.sender.link, doubted=doubted)
    route = ways(wait=wait)
    if route is node.plan.route:
        return node.plan
    node.meter.notes["too-busy" if ways() is node.plan.route else "chose-alone"] += 1
    return node.plan.model_copy(update={"route": route})


def _doubted(node: Node) -> bool:
    """Return whether the plan counts on a link of ours that has stalled since it was made."""
    if node.plan is None or node.plan.version != node.doubted or len(node.plan.route.stages) < 2:
        return False
    return node.sender.stalled(node.plan.route.stages[1].node)


async def _outcome(node: Node, visit: Visit) -> Result | None:
    """Return the sample's result, or None where it has travelled on."""
    _check_model(node, visit.work)
    if pinned_elsewhere(visit.work, node.config.tier):
        return await _send_pinned(node, visit)
    node.meter.arrived += 1
    if _only_forwards(visit):
        return await _travel(node, visit, _rest(visit.route), None)
    ran = await _compute(node, visit, visit.route)
    found = ran.value.decision
    if isinstance(found, Answered):
        return answered(visit, step_of(visit, ran), found)
    return await _travel(node, visit, _rest(visit.route), ran)


def _check_model(node: Node, work: Work) -> None:
    if work.model not in ("", node.bundle.digest):
        raise SampleError(
            "unknown-model",
            f"{node.config.name} runs {node.bundle.name} {node.bundle.digest[:12]}, not {work.model[:12]};"
            " start the nodes of a deployment with the same bundle",
        )


def _only_forwards(visit: Visit) -> bool:
    """Return whether this node's stage computes nothing and passes on the raw input that it got."""
    stages, work = visit.route.stages, visit.work
    return len(stages) > 1 and stages[0].layer <= work.layer and stages[1].codec == work.codec == RAW_INPUT


def _rest(route: Route) -> Route:
    return route.model_copy(update={"stages": route.stages[1:]})


async def _compute(node: Node, visit: Visit, route: Route) -> Ran[Passed]:
    """Run the stage in the worker thread, unless its turn comes after the deadline."""
    rate = _rate(node, route)

    def stage() -> Passed:
        if visit.remaining <= 0:
            raise SampleError("deadline", f"the deadline passed in the queue of {node.config.name}")
        try:
            return pass_stage(node.bundle, node.coder, visit.work, route, node.config.tier, rate)
        except SampleError:
            raise
        except Exception as exc:
            # Whatever a sample from the network makes of the model ends that sample, not the node.
            _log.exception("stage_failed", layer=visit.work.layer)
            raise SampleError("compute-failed", f"{node.config.name} could not compute: {exc}") from exc

    ran = await node.compute.run(stage)
    seconds = ran.value.compute.slowed(ran.slowdown)
    profiled = sum(node.profile.block_seconds[visit.work.layer : ran.value.layer])
    coding = sum(one.slowed(ran.slowdown) for one in (ran.value.decode, ran.value.encode))
    node.meter.visited(seconds, coding)
    _count_coding(node, visit, ran)
    if ran.value.sight is not None:
        node.meter.saw(ran.value.sight)
    node.meter.observe_speed(seconds, profiled, asyncio.get_running_loop().time())
    return ran


def _rate(node: Node, route: Route) -> float | None:
    """Return the bytes a second of the link to the next stage's node; None where that is not known."""
    report = node.sender.link(route.stages[1].node) if len(route.stages) > 1 else None
    return None if report is None else report.bytes_per_second


def _count_coding(node: Node, visit: Visit, ran: Ran[Passed]) -> None:
    passed, factor = ran.value, ran.slowdown
    if visit.work.codec != RAW_INPUT:
        node.meter.decoded(visit.work.codec, passed.decode.slowed(factor))
    if passed.array_bytes:
        sizes = (len(passed.payload), passed.array_bytes)
        node.meter.encoded(passed.codec, *sizes, passed.encode.slowed(factor))
    node.meter.notes.update(passed.noted)


async def _travel(node: Node, visit: Visit, route: Route, ran: Ran[Passed] | None) -> Result | None:
    """Send the sample to the next stage; where that fails in time, answer here, marked degraded."""
    passed = untouched(visit.work) if ran is None else ran.value
    step = step_of(visit, ran)
    onto = onward_work(visit, route, passed, node.bundle.digest, step)
    try:
        await _send(node, visit, onto, route.stages[0].node, patience=_patience(node, visit, passed.best))
    except (CreditError, PublishError, CalledBackError) as exc:
        node.meter.drops["called-back" if isinstance(exc, CalledBackError) else "send-failed"] += 1
        _log.debug("send_failed", peer=route.stages[0].node, reason=str(exc))
        return await _degraded(node, visit, ran, str(exc))
    return None


async def _send(node: Node, visit: Visit, work: Work, peer: str, *, patience: float) -> None:
    """Send work to a peer, unless too many samples are at that already."""
    if node.outbox.size >= MOST_WAITING:
        raise CreditError(f"{node.outbox.size} samples wait to leave {node.config.name} already")
    recall = not pinned_elsewhere(visit.work, node.config.tier) and (
        work.best is not None or _exits_ahead(node, visit.work)
    )
    if recall and node.sender.stalled(peer) and visit.arrived <= node.stalled_at.get(peer, 0.0):
        raise CalledBackError(f"the link to {peer} lets nothing through")
    async with node.outbox.leaving(peer, recall=recall):
        sent = await node.sender.send(work, peer, deadline=patience)
    node.meter.sent_bytes += sent.sent_bytes


def _patience(node: Node, visit: Visit, best: Answer | None) -> float:
    """Return the seconds for which sending is tried, such that there is time left to answer here instead."""
    here = 0.0
    if best is None and _exits_ahead(node, visit.work):
        seconds = sum(node.profile.block_seconds[visit.work.layer :]) * node.meter.speed
        here = SAFETY * seconds * (1 + node.compute.depth)
    reserve = max(RESERVE * visit.remaining, min(MOST_RESERVE * visit.remaining, here))
    return min(LONGEST_WAIT, visit.remaining - reserve)


def _exits_ahead(node: Node, work: Work) -> bool:
    """Return whether this node could answer a sample by itself."""
    return any(work.layer < layer <= len(node.bundle.model.blocks) for layer in node.bundle.model.exits)


async def _degraded(node: Node, visit: Visit, ran: Ran[Passed] | None, reason: str) -> Result:
    """Return the best answer that can still be had here: an exit already reached, or the next one."""
    if pinned_elsewhere(visit.work, node.config.tier):
        raise SampleError("no-route", f"{reason}; and the sample is pinned to {visit.work.tier}")
    best = visit.work.best if ran is None else ran.value.best
    if best is None:
        here = all_here(node.config.name, node.config.tier, len(node.bundle.model.blocks))
        try:
            ran = await _compute(node, visit, here)
        except SampleError as exc:
            raise SampleError("no-route", f"{reason}; nor can it be answered here: {exc}") from exc
        best = ran.value.best
    if best is None:
        raise SampleError("no-route", f"{reason}; and no exit was reached here")
    found = Answered(answer=best, pool=visit.work.pool, why=f"degraded: {reason}")
    return answered(visit, step_of(visit, ran), found, degraded=True)


async def _send_pinned(node: Node, visit: Visit) -> Result | None:
    """Pass a sample that is pinned to another tier on to a node there, untouched."""
    tier = visit.work.tier
    candidates = [birth for birth in node.presence.ready(tier) if node.bundle.digest in birth.models]
    if tier is None or not candidates:
        raise SampleError(
            "no-node",
            f"no {tier} node with this model is ready; start one with"
            f" `tierline node --tier {tier} --bundle {node.bundle.name}`",
        )
    peer = max(candidates, key=lambda birth: node.sender.credit(birth.node)).node
    route = pinned_route(tier, peer, node.bundle.card.blocks, visit.work.codec)
    return await _travel(node, visit, route, None)


async def _answer(node: Node, visit: Visit, result: Result) -> None:
    """Send a result to its origin, again after a lost connection for as long as somebody waits for it."""
    node.meter.answered += result.answer is not None
    if result.answer is not None and node.bundle.cartography is not None:
        node.meter.at_exit(result.answer.layer).answered += 1
    if result.pool is not None:
        node.meter.pools[result.pool] += 1
    expiry = max(1.0, visit.remaining)
    try:
        async with asyncio.timeout(expiry):
            await _publish(node, visit.work.origin, result, expiry)
    except (PublishError, TimeoutError) as exc:
        node.meter.drops["result-undelivered"] += 1
        _log.warning("result_undelivered", origin=visit.work.origin, reason=str(exc) or "the deadline passed")


async def _publish(node: Node, origin: str, result: Result, expiry: float) -> None:
    """Publish a result, again where a lost connection was the reason that it failed."""
    while True:
        try:
            return await node.session.publish(RESULT, origin, result, expiry=expiry)
        except PublishError as exc:
            if not exc.lost:
                raise
        await node.session.connected()
