"""One run: the scenario's conditions and requests on a deployment of our own, and what it came to."""

import asyncio
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tierline_broker import Requirement, Tally, Tier, requiring, running
from tierline_replay.arrivals import poisson, stretched
from tierline_replay.calibrate import Pace, deadline_for, least_uplink, measure_pace, rate_for
from tierline_replay.children import Child
from tierline_replay.deployment import Deployment, deployment, start_scheduler
from tierline_replay.driver import drive
from tierline_replay.errors import StartError
from tierline_replay.live import Live
from tierline_replay.network import LinkTrace
from tierline_replay.outcome import Outcome, Request, Sample, schedule
from tierline_replay.report import describe
from tierline_replay.samples import read_samples
from tierline_replay.summary import document, summarise
from tierline_replay.world import GOOD, Change, World, differences, lines, phases, replayed, worse

LEAST_REQUESTS = 400
SECONDS, MOST_SECONDS = 66.0, 90.0
"""How long a run lasts that was not told how many requests to send: long enough to see the plan move."""
MOST_GAP = 2.0  # seconds between requests, where they are so few that a run is shorter
_MOST_SAMPLES = 1200
_PATIENCE = 10.0  # deadlines after which a request is given up; what comes in between is late, not lost
_LEAST_PATIENCE = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is to be run.

    Attributes:
        bundle: which model.
        requests: how many inputs, each sent once more to be answered in the cloud; None: as many as this
            machine answers in about a minute, and 400 if it can in one and a half.
        seed: of inputs and times.
        broker: URL of one that is there; None: one of our own.
        network: shapes the uplink; None: good, worse in the middle, good again.
        times: when requests come; None: drawn by the seed.
    """

    bundle: str = "text"
    requests: int | None = None
    seed: int = 0
    broker: str | None = None
    network: LinkTrace | None = None
    times: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a run came to: the summary document, how every request ended, and under which conditions."""

    document: Mapping[str, Any]
    outcomes: Sequence[Outcome]
    changes: Sequence[Change]


async def run(scenario: Scenario, live: Live) -> Finished:
    """Run a scenario; `live` shows how it goes.

    Raises:
        ReplayError: it could not be started, or one of its processes ended by itself.
        BrokerError: no broker can be had.
    """
    live.world = world_changes(scenario, SECONDS, GOOD)[0].world
    live.tell(
        f"reading the inputs of bundle {scenario.bundle}; the first time, they and the model are fetched"
    )
    samples = await read_samples(
        scenario.bundle, count=scenario.requests or _MOST_SAMPLES, seed=scenario.seed
    )
    async with deployment(scenario.bundle, live.world, live, url=scenario.broker) as deployed:
        pace = await _measure(deployed, samples, live)
        times = arrival_times(scenario, rate_for(pace, LEAST_REQUESTS / MOST_SECONDS))
        live.requests = len(times)
        rate = len(times) / max(times[-1], 1.0)
        changes = world_changes(scenario, times[-1], worse(least_uplink(pace, rate)))
        live.deadline = deadline_for(pace, changes[0].world, usual_worst(scenario, changes), rate)
        live.tell(f"answers are wanted within {1000 * live.deadline:.0f} ms, {times[-1]:.0f} s to go")
        await start_scheduler(deployed, deadline=live.deadline, rate=rate)
        duplicates = await _drive(deployed, changes, schedule(samples, times, all_cloud=True), live)
    return _finished(scenario, live, changes, duplicates)


def arrival_times(scenario: Scenario, rate: float) -> tuple[float, ...]:
    """Return when requests come, in seconds after the first.

    Args:
        scenario: may say.
        rate: requests per second, where it does not.
    """
    if scenario.times is not None:
        return scenario.times
    count = scenario.requests or max(
        round(rate * SECONDS), min(LEAST_REQUESTS, math.ceil(rate * MOST_SECONDS))
    )
    seconds = max(count / rate, min(SECONDS, count * MOST_GAP))
    return stretched(poisson(count, rate, scenario.seed), seconds)


def world_changes(scenario: Scenario, seconds: float, bad: World) -> tuple[Change, ...]:
    """Return the conditions of a run of so many seconds; `bad` are those in the middle, without a trace."""
    return phases(seconds, bad) if scenario.network is None else replayed(scenario.network, seconds)


def usual_worst(scenario: Scenario, changes: Sequence[Change]) -> World:
    """Return the conditions that the deadline is chosen for; of a trace the mean, as it may stop at times."""
    if scenario.network is None:
        return min((change.world for change in changes), key=lambda world: world.uplink)
    return replace(GOOD, uplink=scenario.network.bytes_per_second)


async def _measure(deployed: Deployment, samples: Sequence[Sample], live: Live) -> Pace:
    live.tell("measuring how fast this machine is")
    profile = live.profiles.get(Tier.MOBILE.value)
    if profile is None:
        raise StartError("the mobile node said nothing of its speed; try again")
    pace = await measure_pace(deployed.client, samples, profile, entry=Tier.MOBILE.value)
    live.tell(f"the whole model takes the cloud {1000 * pace.cloud:.0f} ms")
    return pace


async def _drive(
    deployed: Deployment, changes: Sequence[Change], requests: Sequence[Request], live: Live
) -> int:
    """Send all requests while the conditions change; return how many results came a second time."""
    before = deployed.client.counters["duplicates"]
    live.tell("the first request goes out: from now on, seconds count from here")
    live.started = asyncio.get_running_loop().time()
    patience = max(_LEAST_PATIENCE, _PATIENCE * live.deadline)
    session, entry, tally = deployed.client.session, Tier.MOBILE.value, Tally(live.deadline)
    wanted = Requirement(client=session.name, node=entry, deadline=live.deadline)
    async with (
        # So that plans learn how much time to keep free from how many answers are late, as with any client.
        requiring(session, wanted, tally),
        running(_change(deployed.nodes, changes, live), name="world"),
    ):
        await drive(deployed.client, requests, live, entry=entry, patience=patience, tally=tally)
    return deployed.client.counters["duplicates"] - before


async def _change(nodes: Mapping[Tier, Child], changes: Sequence[Change], live: Live) -> None:
    """Tell the nodes of each change when it is due; the first is in force already."""
    loop = asyncio.get_running_loop()
    start = live.started or loop.time()
    told = lines(changes[0].world)
    for change in changes[1:]:
        await asyncio.sleep(max(0.0, start + change.at - loop.time()))
        wanted = lines(change.world)
        for tier, line in differences(told, wanted).items():
            nodes[tier].say(line)
        if live.world is None or change.world.name != live.world.name:
            live.tell(f"now: {change.world.name}")
        told, live.world = wanted, change.world


def _finished(scenario: Scenario, live: Live, changes: Sequence[Change], duplicates: int) -> Finished:
    summary = summarise(
        live.outcomes,
        requests=live.requests,
        deadline=live.deadline,
        duplicates=duplicates,
        plans=len(live.plans),
        seed=scenario.seed,
    )
    more = describe(live, changes, bundle=scenario.bundle)
    return Finished(
        document=document(summary, live.outcomes, **more), outcomes=tuple(live.outcomes), changes=changes
    )
