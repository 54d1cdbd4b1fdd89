"""One mobile node on a moving link: what it is told there, and what the scheduler makes of it each second."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass

from _fleets import RTT as CELLS
from _fleets import profile, slower
from _plan_costs import Floats, key

from tierline_broker import Birth, LinkReport, Telemetry, Tier
from tierline_replay import GOOD
from tierline_scheduler import ClusterState, Objective, Reluctance, apply, expire, run_round

NOISE = 0.25
RATE = 1.0  # samples per second
RTT = {
    "edge": CELLS[1],
    "cloud": CELLS[1] + 0.0275,
}  # of the fleets' devices on LTE, the cloud's in the middle
BACKHAUL = 12.5e6
SILENCE = 6.0
SILENT = 2000.0  # bytes per second where a trace lets nothing through


@dataclass(frozen=True)
class Job:
    """What a mobile node runs, on how slow a device, and what is wanted of it."""

    bundle: str
    slowness: float  # times the measured core
    objective: Objective


@dataclass(frozen=True)
class Device:
    """One mobile node on its way along a trace."""

    job: Job
    rates: Floats  # bytes per second, of each second
    seed: int


def born(job: Job) -> ClusterState:
    """Return the state when the mobile node, its edge and its cloud are there, with measured profiles.

    Not what nodes measure of themselves as the benchmark runs: which plans hang on the link depends on how
    fast devices are, so that on a busy machine another question would be answered.
    """
    state = ClusterState()
    for tier in Tier:
        factor = job.slowness if tier is Tier.MOBILE else GOOD.slowdown[tier]
        own = slower(profile(job.bundle), tier, factor)
        birth = Birth(node=tier.value, tier=tier, state="ready", incarnation=own.incarnation)
        state = apply(apply(state, birth, 0.0), own, 0.0)
    return state


def told(state: ClusterState, now: float, rate: float, count: int, rng: random.Random) -> ClusterState:
    """Return the state after everybody's telemetry, the uplink being `rate` bytes per second."""
    links = {
        Tier.MOBILE: [("edge", rate), ("cloud", rate)],
        Tier.EDGE: [("cloud", BACKHAUL)],
        Tier.CLOUD: [],
    }
    for tier in Tier:
        birth = state.nodes[tier.value].birth
        assert birth is not None
        reports = tuple(
            LinkReport(
                peer=peer,
                bytes_per_second=bytes_per_second,
                rtt=RTT[peer] * math.exp(0.1 * rng.gauss(0, 1)),
                age=0.0,
                observations=count,
            )
            for peer, bytes_per_second in links[tier]
        )
        report = Telemetry(
            node=tier.value,
            tier=tier,
            incarnation=birth.incarnation,
            queue=0,
            speed=math.exp(0.03 * rng.gauss(0, 1)),
            busy=0.0,
            arrival_rate=RATE if tier is Tier.MOBILE else 0.0,
            links=reports,
        )
        state = apply(state, report, now)
    return state


def known(job: Job, rate: float) -> ClusterState:
    """Return the state once the uplink's rate is known: it was reported often, and hardly varies."""
    state = born(job)
    for count in range(60):
        state = told(state, 0.0, rate * (1 + 1e-3 * (-1) ** count), count + 1, random.Random(count))
    return expire(state, 0.0, silence=1e9)


def decisions(device: Device, reluctance: Reluctance) -> Iterator[str]:
    """Yield the plan in force in each second but the first, by what was measured before it."""
    rng = random.Random(device.seed)
    state, standings = born(device.job), {}
    for second, rate in enumerate(device.rates[:-1], start=1):
        state = told(state, float(second), rate * math.exp(NOISE * rng.gauss(0, 1)), second, rng)
        state = expire(state, float(second), silence=SILENCE)
        found = run_round(state, device.job.objective, reluctance, standings)
        assert not found.failed, found.failed
        standings = found.standings
        for plan in found.changed.values():
            state = apply(state, plan, float(second))
        yield key(state.plans["mobile"].route)
