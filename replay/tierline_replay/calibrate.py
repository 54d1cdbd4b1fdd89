"""How fast this machine is right now, and the load and deadline that make the choice of a plan a real one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tierline_broker import Client, ModelCard, Profile, Tier
from tierline_replay.errors import StartError
from tierline_replay.outcome import Sample
from tierline_replay.world import World

ROUNDS = 10  # samples that each tier computes once
BUSY = 0.65
"""Share of its time for which the phone would be busy if it answered everything itself."""
SLOWEST, FASTEST = 6.0, 18.0
"""Requests per second; all-cloud sends as many again."""
HOST = 0.3
"""Share of one core that the cloud's real work for both may take: the other programs need room too."""
HOST_AT_MOST = 0.4
"""... and may take where the run would get too long."""
ACCURACY_DROP = 0.01  # as the scheduler has it
_PATIENCE = 20.0
_MARGIN = 1.645  # standard deviations, as the scheduler keeps
_NOISE = 0.15  # relative, of what was measured
_LEAST = 0.03


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """Seconds of work for a sample, on the devices as slow as they are emulated.

    Attributes:
        first: on the phone, up to its first exit; 0 where that is its only one.
        phone: on the phone, up to the first exit that is accurate enough to answer everything; infinite
            where it has no room for that.
        cloud: of the whole model in the cloud.
        input_bytes: mean raw input.
    """

    first: float
    phone: float
    cloud: float
    input_bytes: float


async def measure_pace(client: Client, samples: Sequence[Sample], profile: Profile, *, entry: str) -> Pace:
    """Run a few samples on every tier, which also warms everything up, and return what they took.

    Raises:
        StartError: one came back without an answer; says why.
    """
    taken: dict[Tier, list[float]] = {tier: [] for tier in Tier}
    for sample in samples[:ROUNDS]:
        for tier in Tier:
            result = await client.infer(sample.data, deadline=_PATIENCE, tier=tier, node=entry)
            if result.error is not None:
                raise StartError(f"a first sample on {tier} failed: {result.error.message}")
            taken[tier].append(sum(step.compute for step in result.steps))
    # The lower quartile: what else runs here at the moment only ever adds to it.
    held = {tier: float(np.quantile(seconds, 0.25)) for tier, seconds in taken.items()}
    first, enough = profile.model.exits[0], sufficient_exit(profile.model)
    return Pace(
        first=held[Tier.MOBILE] * _share(profile, first) if first < profile.model.blocks else 0.0,
        phone=held[Tier.MOBILE] * _share(profile, enough) if enough <= profile.max_layer else math.inf,
        cloud=held[Tier.CLOUD],
        input_bytes=profile.model.input_bytes,
    )


def sufficient_exit(card: ModelCard) -> int:
    """Return the first exit at which everything could be answered, within the accuracy that may be lost."""
    single = [row for row in card.routes if len(row.exits) == 1]
    floor = card.accuracy - ACCURACY_DROP
    return min((row.exits[0] for row in single if row.accuracy >= floor), default=card.blocks)


def rate_for(pace: Pace, least: float) -> float:
    """Return requests per second that keep the phone busy, and this machine not too busy.

    Args:
        pace: of this machine.
        least: that are wanted, if this machine can bear them at all.
    """
    wanted = min(FASTEST, max(SLOWEST, BUSY / pace.phone), HOST / (2 * pace.cloud))
    return max(wanted, min(least, HOST_AT_MOST / (2 * pace.cloud)))


def least_uplink(pace: Pace, rate: float) -> float:
    """Return bytes per second that carry the raw inputs of both, and again as much to spare."""
    return 2 * 2 * rate * pace.input_bytes


def deadline_for(pace: Pace, best: World, worst: World, rate: float) -> float:
    """Return the seconds within which answers are to be wanted: pure.

    Long enough for a hard sample to pass the phone's first exit and go on to the cloud at the worst of times,
    waits and more included, yet shorter than what the phone alone can promise for everything: so it must have
    help, and what help is best depends on how things stand. Never too short for the edge alone at the best of
    times, nor for the cloud alone at the worst.

    Args:
        pace: of this machine.
        best: the conditions at their best.
        worst: the conditions at their worst.
        rate: requests per second.
    """
    cloud = _answered(pace, worst, Tier.CLOUD, rate)
    shared = _with_margin(pace.first, rate) + cloud
    alone = _with_margin(pace.phone, rate)
    least = 1.05 * max(cloud, _answered(pace, best, Tier.EDGE, rate))
    return round(max(_LEAST, least, min(1.5 * shared, 0.7 * alone)), 3)


def _answered(pace: Pace, world: World, tier: Tier, rate: float) -> float:
    """Return the seconds, with margin, until a raw input is answered by the whole model of a tier."""
    compute = pace.cloud * world.slowdown[tier] / world.slowdown[Tier.CLOUD]
    travel = world.rtt[tier] + pace.input_bytes / world.uplink
    return _with_margin(compute, rate, longest_wait=compute) + (1 + _MARGIN * _NOISE) * travel


def _with_margin(seconds: float, rate: float, longest_wait: float = math.inf) -> float:
    """Return what work of so many seconds takes with its wait and a margin for both.

    Args:
        seconds: each time.
        rate: how often a second it comes, at random (M/M/1).
        longest_wait: a server that lets one wait longer is no place for everything.
    """
    busy = rate * seconds
    waiting = min(longest_wait, math.inf if busy >= 1 else busy * seconds / (1 - busy))
    return seconds + waiting + _MARGIN * math.hypot(waiting, _NOISE * seconds)


def _share(profile: Profile, layer: int) -> float:
    return sum(profile.block_seconds[:layer]) / max(sum(profile.block_seconds), 1e-9)
