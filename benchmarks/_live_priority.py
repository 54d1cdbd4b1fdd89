"""Who is answered in time where an edge has room for one of two: two clients, real nodes, and no cloud."""

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack

from _live_scenes import NOTHING, requests_at

from tierline_broker import Requirement, Tier, requiring
from tierline_replay import (
    Deployment,
    Live,
    Outcome,
    Sample,
    World,
    deployment,
    drive,
    read_samples,
    start_scheduler,
)

BUNDLE, PHONES, USUAL_RATE, DEADLINE = "text", 2, 4.0, 2.0
FULL = 1.0  # share of its time that the edge takes for all blocks of one phone's samples, about
ONE = 0.62  # the same of the blocks that plans take of it, four of six, by which the rate is set
SLOW = 2.0  # the phone's own blocks, by the deadline
IMPORTANT, OTHER = 10.0, 1.0
PATIENCE = 5.0
WARM = 9  # samples by which the edge is measured


def scarce(sample_seconds: float) -> World:
    """Return a world in which both need the edge, given what a sample takes on this machine."""
    return World(
        name="an edge with room for one of two phones",
        slowdown={
            Tier.MOBILE: min(1000.0, SLOW * DEADLINE / (sample_seconds / 3)),  # it has two of six blocks
            Tier.EDGE: FULL / (USUAL_RATE * sample_seconds),
            Tier.CLOUD: 1.0,
        },
        uplink=2.5e6,
        rtt={Tier.EDGE: 0.01, Tier.CLOUD: 0.03},
    )


async def in_time(sample_seconds: float, tell: Callable[[str], None]) -> list[tuple[float, float]]:
    """Return the shares in time of the important client and of the other, each phone's being it once."""
    samples = await read_samples(BUNDLE, count=40, seed=0)
    found = []
    for important in range(PHONES):
        shares = await one_run(important, scarce(sample_seconds), samples, tell)
        found.append((shares[important], shares[1 - important]))
        mine, others = (f"{one:.0%}" for one in found[-1])
        tell(f"in time: {mine} of the important client, {others} of the other")
    return found


async def one_run(
    important: int, world: World, samples: Sequence[Sample], tell: Callable[[str], None]
) -> list[float]:
    """Return the share in time of each phone's client."""
    async with (
        deployment(BUNDLE, world, Live(tell=tell), phones=PHONES) as deployed,
        AsyncExitStack() as stack,
    ):
        deployed.supervisor.unwatch()
        os.kill(deployed.nodes[Tier.CLOUD].pid, signal.SIGKILL)
        for number, phone in enumerate(deployed.phones):
            priority = IMPORTANT if number == important else OTHER
            wanted = Requirement(client=f"of-{phone}", node=phone, deadline=DEADLINE, priority=priority)
            await stack.enter_async_context(requiring(deployed.client.session, wanted))
        rate = await rate_for_one(deployed, samples)
        tell(f"{rate:.2f} requests a second at each phone")
        await start_scheduler(deployed, deadline=DEADLINE, rate=rate)
        asking = (asked(deployed, samples, number, rate) for number in range(PHONES))
        return [share_in_time(outcomes) for outcomes in await asyncio.gather(*asking)]


async def rate_for_one(deployed: Deployment, samples: Sequence[Sample]) -> float:
    """Return the requests a second of one phone that fill the edge as wanted, by what some take now."""
    taken = []
    for sample in samples[:WARM]:
        found = await deployed.client.infer(
            sample.data, deadline=30.0, tier=Tier.EDGE, node=deployed.phones[0]
        )
        taken.append(sum(step.compute for step in found.steps if step.tier is Tier.EDGE))
    return ONE / (sorted(taken)[len(taken) // 2] * 4 / 6)


async def asked(deployed: Deployment, samples: Sequence[Sample], number: int, rate: float) -> list[Outcome]:
    """Send one phone's requests, and return what became of each."""
    live = Live(tell=lambda _: None)
    requests = requests_at(NOTHING, samples, rate, 100 * number)
    await drive(deployed.client, requests, live, entry=deployed.phones[number], patience=PATIENCE)
    return live.outcomes


def share_in_time(outcomes: Sequence[Outcome]) -> float:
    """Return how many of all requests were answered within the deadline."""
    return sum(one.answered and one.seconds <= DEADLINE for one in outcomes) / len(outcomes)
