"""What an answer costs in seconds, bytes and joules, from a measured profile and a stated link."""

from dataclasses import dataclass, fields

import numpy as np

from tierline_cartography.analysis.cost import Transport
from tierline_cartography.analysis.said import Float, Places
from tierline_cartography.errors import RecordError

TIERS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A model as it was measured on one machine, and the machines and links that it is reckoned for.

    The defaults are medians of public measurements: LTE uplink 31 Mb/s, its round trip 22 ms to a server near
    by and 62 ms to one far off (SIGCOMM 2021 5G artifact, speed tests), and 0.61 mJ for each kB that a phone
    sends over LTE (the same, a power monitor). 3 W are what a phone's cores draw more while they compute.
    """

    block_seconds: tuple[float, ...]  # of one sample
    exit_seconds: float
    codec_seconds: float  # to encode, and as long to decode
    frame_bytes: int  # an activation, coded
    input_bytes: int
    slowness: tuple[float, float, float] = (1.0, 1.0, 1.0)  # of mobile, edge, cloud beside that machine
    bytes_per_second: tuple[float, float] = (31e6 / 8, 1e9 / 8)  # mobile to edge, edge to cloud
    delay_seconds: tuple[float, float] = (0.011, 0.020)  # one way
    compute_watts: float = 3.0
    joules_per_byte: float = 0.61e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What one answer takes, or samples take on average; nothing waits for other samples."""

    mobile_seconds: float = 0.0
    edge_seconds: float = 0.0
    cloud_seconds: float = 0.0
    uplink_bytes: float = 0.0  # that the mobile sends
    joules: float = 0.0  # of the mobile
    latency_seconds: float = 0.0

    def plus(self, other: "Bill", share: float = 1.0) -> "Bill":
        """The sum, the other counted by a share."""
        return Bill(**{
            one.name: getattr(self, one.name) + share * getattr(other, one.name) for one in fields(Bill)
        })  # fmt: skip


def bills(world: World, exits: tuple[int, ...], transport: Transport) -> list[Bill]:
    """The bill of an answer at each exit, one exit a tier.

    Resumed, an activation crosses each link on the way and no block is computed twice; restarted, the input
    crosses and every tier on the way begins at block 1; direct, only the tier that answers computes.
    """
    if len(exits) != TIERS or exits[-1] > len(world.block_seconds):
        raise RecordError(f"exits {list(exits)} are not one of each of {TIERS} tiers of this profile")
    return [_bill(world, exits, place, transport) for place in range(TIERS)]


def all_cloud_bill(world: World) -> Bill:
    """The input goes to the cloud, which computes everything."""
    last = len(world.block_seconds)
    return bills(world, (last, last, last), "direct")[-1]


def mean_bill(found: list[Bill], chosen: Places) -> Bill:
    """The mean over all samples and seeds of the exits chosen (S, N)."""
    total = Bill()
    for one, share in zip(found, np.bincount(chosen.ravel(), minlength=TIERS) / chosen.size, strict=True):
        total = total.plus(one, float(share))
    return total


def _bill(world: World, exits: tuple[int, ...], place: int, transport: Transport) -> Bill:
    busy = _busy(world, exits, place, transport)
    resumed = transport == "resume"
    sent = 0 if place == 0 else world.frame_bytes if resumed else world.input_bytes
    crossing = [
        delay + sent / rate
        for delay, rate in zip(world.delay_seconds[:place], world.bytes_per_second, strict=False)
    ]
    back = sum(world.delay_seconds[:place])
    return Bill(
        mobile_seconds=float(busy[0]),
        edge_seconds=float(busy[1]),
        cloud_seconds=float(busy[2]),
        uplink_bytes=float(sent),
        joules=world.compute_watts * float(busy[0]) + world.joules_per_byte * sent,
        latency_seconds=float(busy.sum()) + sum(crossing) + back,
    )


def _busy(world: World, exits: tuple[int, ...], place: int, transport: Transport) -> Float:
    """(3,): the seconds that each tier computes for an answer of one of them."""
    upto = np.concatenate([[0.0], np.cumsum(world.block_seconds)])
    busy = np.zeros(TIERS)
    for tier in range(place + 1):
        if transport == "direct" and tier < place:
            continue
        begin = exits[tier - 1] if transport == "resume" and tier else 0
        busy[tier] = upto[exits[tier]] - upto[begin] + world.exit_seconds
        if transport == "resume":
            busy[tier] += world.codec_seconds * ((tier > 0) + (tier < place))
    found: Float = busy * np.array(world.slowness)
    return found
