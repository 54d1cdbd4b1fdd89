"""A whole deployment on this machine: broker, a node for each tier, scheduler, and us as the client."""

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tierline_broker import Broker, Client, Tier, connect_client, running, serve
from tierline_replay.children import Child, Supervisor, supervise
from tierline_replay.errors import ReplayError, StartError
from tierline_replay.live import Live
from tierline_replay.watch import watching
from tierline_replay.world import World, lines

EDGE_WEIGHT = 0.005
"""What a second of edge work counts beside one of cloud work: of plans that spare the cloud alike, the one in
which the phone does most of what it well can."""
PHONE_HOLDS = {"text": 2}
"""Blocks that the phone has room for, up to the first exit; of a bundle that is not named here, all."""
_READY_SECONDS = 120.0
_PLAN_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """What is running; nodes are called like their tier, and further phones `mobile-2` and so on.

    Attributes:
        broker: the broker.
        supervisor: of its programs.
        site: the deployment's name on it, which nobody else uses.
        client: connected to it.
        nodes: by tier, to be told of changed conditions.
        planned: set once every mobile node has a plan.
        phones: the names of all mobile nodes.
    """

    broker: Broker
    supervisor: Supervisor
    site: str
    client: Client
    nodes: Mapping[Tier, Child]
    planned: asyncio.Event
    phones: tuple[str, ...] = (Tier.MOBILE.value,)


@asynccontextmanager
async def deployment(
    bundle: str,
    world: World,
    live: Live,
    *,
    url: str | None = None,
    bench_clock: bool = False,
    phones: int = 1,
) -> AsyncGenerator[Deployment]:
    """Run everything but the scheduler for as long as the block lasts; entered when all nodes are ready.

    Args:
        bundle: which model.
        world: the conditions to begin with.
        live: is kept up to date.
        url: of a broker that is there; None: one of our own.
        bench_clock: stamp messages with the clock of this machine.
        phones: how many mobile nodes share edge and cloud; all under the same conditions.

    Raises:
        ChildError: a node ended by itself.
        StartError: one was not ready in time.
        BrokerError: no broker can be had.
    """
    site = f"demo-{secrets.token_hex(3)}"
    flags = ["--bench-clock"] if bench_clock else []
    async with (
        serve(url=url) as broker,
        running(_watch(broker), name="broker"),
        supervise({"TIERLINE_BROKER": broker.url}) as supervisor,
    ):
        live.tell(f"{broker.kind} broker is up; one node for each tier is loading {bundle}")
        nodes = {
            tier: await supervisor.start(tier.value, _node(tier, tier.value, site, bundle, world) + flags)
            for tier in Tier
        }
        names = (Tier.MOBILE.value, *(f"{Tier.MOBILE}-{k}" for k in range(2, phones + 1)))
        more = [
            await supervisor.start(name, _node(Tier.MOBILE, name, site, bundle, world) + flags)
            for name in names[1:]
        ]
        told = lines(world)
        for child, tier in (*((nodes[tier], tier) for tier in Tier), *((one, Tier.MOBILE) for one in more)):
            child.say(told[tier])
        async with (
            connect_client(broker.url, site=site, bench_clock=bench_clock) as client,
            watching(broker.url, site=site, mobiles=names, live=live) as planned,
        ):
            await _until_ready(client, names)
            yield Deployment(
                broker=broker, supervisor=supervisor, site=site, client=client, nodes=nodes, planned=planned,
                phones=names,
            )  # fmt: skip


async def start_scheduler(
    deployed: Deployment, *, deadline: float, rate: float, balance: float = 0.0
) -> None:
    """Start the scheduler and return when every mobile node has a plan.

    Args:
        deployed: what it plans for.
        deadline: seconds that plans must keep.
        rate: requests per second that will come.
        balance: what plans are to save, from 0 (cloud work) to 1 (waiting).

    Raises:
        StartError: no plan came in time.
    """
    command = [
        "tierline_replay.tether", "tierline", "scheduler", "--name", "scheduler", "--site", deployed.site,
        "--deadline", str(deadline), "--edge-weight", str(EDGE_WEIGHT), "--expected-rate", str(rate),
        "--balance", str(balance),
    ]  # fmt: skip
    await deployed.supervisor.start("scheduler", command)
    try:
        async with asyncio.timeout(_PLAN_SECONDS):
            await deployed.planned.wait()
    except TimeoutError:
        raise StartError(f"the scheduler made no plan within {_PLAN_SECONDS:g} s; try again") from None


def _node(tier: Tier, name: str, site: str, bundle: str, world: World) -> list[str]:
    room = ["--max-layer", str(PHONE_HOLDS[bundle])] if tier is Tier.MOBILE and bundle in PHONE_HOLDS else []
    return [
        "tierline", "node", "--tier", tier.value, "--name", name, "--site", site, "--bundle", bundle,
        "--slowdown", str(world.slowdown[tier]), "--emulate", "-", *room,
    ]  # fmt: skip


async def _watch(broker: Broker) -> None:
    if broker.kind != "external":
        code = await broker.wait()
        raise ReplayError(f"the {broker.kind} broker ended by itself with code {code}; try again")


async def _until_ready(client: Client, phones: Sequence[str]) -> None:
    wanted = {*phones, *(tier.value for tier in Tier)}
    told = asyncio.Event()
    client.presence.listeners.append(lambda *_: told.set())
    try:
        async with asyncio.timeout(_READY_SECONDS):
            while not wanted <= _there(client):
                told.clear()
                await told.wait()
    except TimeoutError:
        missing = ", ".join(sorted(wanted - _there(client)))
        raise StartError(
            f"not ready within {_READY_SECONDS:g} s: {missing}; is this machine very busy? Try again"
        ) from None


def _there(client: Client) -> set[str]:
    return {birth.node for birth in client.presence.ready()}
