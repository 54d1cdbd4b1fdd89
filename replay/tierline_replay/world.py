"""The conditions that a run pretends, when they change, and what nodes are told of them: pure values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from tierline_broker import Tier
from tierline_replay.network import WINDOW_SECONDS, LinkTrace

BACKHAUL = 12.5e6
"""Bytes per second from edge to cloud: 100 Mbit/s."""

Lines = dict[Tier, dict[str, Any]]
"""What the node of each tier is told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """How slow each tier's device is, and what the mobile node's radio and the way from it are like.

    Attributes:
        name: in words.
        slowdown: times that each tier's device is slower than this machine.
        uplink: bytes per second from the mobile node.
        rtt: seconds there and back, from the mobile node to a tier.
        pause: seconds until the uplink gives anything at all.
    """

    name: str
    slowdown: Mapping[Tier, float]
    uplink: float
    rtt: Mapping[Tier, float]
    pause: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """The world becomes another, `at` seconds after the start of the run."""

    at: float
    world: World


GOOD = World(
    name="good links, edge free",
    slowdown={Tier.MOBILE: 10.0, Tier.EDGE: 3.0, Tier.CLOUD: 1.0},
    uplink=2.5e6,
    rtt={Tier.EDGE: 0.01, Tier.CLOUD: 0.03},
)
UPLINK_FACTOR, EDGE_FACTOR = 20, 30
"""How many times slower uplink and edge become, if the uplink bears it."""
WORSE_AT, BETTER_AT = 0.35, 0.62
"""Shares of the run after which the world becomes worse, and better again."""


def worse(bytes_per_second: float) -> World:
    """Return the bad conditions.

    Args:
        bytes_per_second: that the uplink must carry at least, or all would drown in its queue.
    """
    factor = max(2, min(UPLINK_FACTOR, int(GOOD.uplink / max(bytes_per_second, 1.0))))
    return replace(
        GOOD,
        name=f"uplink {factor} times slower, edge {EDGE_FACTOR} times slower",
        slowdown={**GOOD.slowdown, Tier.EDGE: EDGE_FACTOR * GOOD.slowdown[Tier.EDGE]},
        uplink=GOOD.uplink / factor,
    )


def phases(seconds: float, bad: World) -> tuple[Change, ...]:
    """Return the demo's changes over a run of so many seconds: good, bad in the middle, good again."""
    again = replace(GOOD, name=f"{GOOD.name} again")
    shares = ((0.0, GOOD), (WORSE_AT, bad), (BETTER_AT, again))
    return tuple(Change(at=share * seconds, world=world) for share, world in shares)


def replayed(trace: LinkTrace, seconds: float) -> tuple[Change, ...]:
    """Return the changes that a trace makes to the uplink over a run; the devices stay as they are."""
    named = replace(GOOD, name=f"uplink as in {trace.name}")
    return tuple(_changes(trace, named, seconds))


def _changes(trace: LinkTrace, world: World, seconds: float) -> Iterator[Change]:
    last = None
    for index in range(max(1, round(seconds / WINDOW_SECONDS))):
        window = trace.at(index * WINDOW_SECONDS)
        if window != last:
            shaped = replace(world, uplink=window.bytes_per_second, pause=window.pause)
            yield Change(at=index * WINDOW_SECONDS, world=shaped)
        last = window


def lines(world: World) -> Lines:
    """Return what each node is told of the world; each charges the links that it sends on."""
    beyond = max(0.0, world.rtt[Tier.CLOUD] - world.rtt[Tier.EDGE])
    return {
        Tier.MOBILE: {
            "slowdown": world.slowdown[Tier.MOBILE],
            "uplink_bytes_per_second": world.uplink,
            "rtt_seconds": {tier.value: rtt + world.pause for tier, rtt in world.rtt.items()},
        },
        Tier.EDGE: {
            "slowdown": world.slowdown[Tier.EDGE],
            "uplink_bytes_per_second": BACKHAUL,
            "rtt_seconds": {Tier.CLOUD.value: beyond},
        },
        Tier.CLOUD: {"slowdown": world.slowdown[Tier.CLOUD]},
    }


def differences(before: Lines, after: Lines) -> Lines:
    """Return only what has changed, so that a node is told nothing twice."""
    changed = {
        tier: {key: value for key, value in line.items() if before.get(tier, {}).get(key) != value}
        for tier, line in after.items()
    }
    return {tier: line for tier, line in changed.items() if line}
