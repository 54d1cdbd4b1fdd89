"""What candidates cost on given nodes and links: latency, work, load. Pure arithmetic on columns.

The latency of a sample is the sum over its legs of the wait for the node, decode, compute, encode, the wait
for the link, bytes / rate and a round trip (half of it brings the result back). A node and a link are each
one server with random arrivals: the mean wait is the work that arrives while work is done, as in M/M/1,
counting what other mobile nodes send there under their plans.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tierline_scheduler.coding import Coding
from tierline_scheduler.table import Floats, Ints, Table

KNEE = 0.95
"""Utilisation from which waits grow along the tangent: still finite and ordered when overloaded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What others ask of a node or link.

    Attributes:
        utilisation: share of its time.
        pressure: sum over these flows of utilisation times seconds a piece of work, which is what one waits
            for on average where there is time to spare.
    """

    utilisation: float = 0.0
    pressure: float = 0.0

    def plus(self, other: "Load") -> "Load":
        """Both together."""
        return Load(utilisation=self.utilisation + other.utilisation, pressure=self.pressure + other.pressure)

    def minus(self, other: "Load") -> "Load":
        """This without the other, never below nothing."""
        return Load(
            utilisation=max(0.0, self.utilisation - other.utilisation),
            pressure=max(0.0, self.pressure - other.pressure),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A node as the prediction needs it; all seconds as fast as the node is now.

    Attributes:
        ready_at: seconds to compute blocks 1..layer, for each layer from 0.
        exit_seconds: of one exit.
        codec_seconds: of one encode or one decode.
        sd: relative spread of these seconds.
        doubt: relative uncertainty of their mean.
        max_layer: memory admits no block beyond.
        backlog: samples that wait there beyond what the plans explain.
        others: load from elsewhere.
    """

    name: str
    ready_at: Floats
    exit_seconds: float
    codec_seconds: float
    sd: float
    doubt: float
    max_layer: int
    backlog: float
    others: Load


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A link as the prediction needs it; sds and doubt are relative, as a device's."""

    rate: float
    rate_sd: float
    doubt: float  # of the rate's mean
    rtt: float
    rtt_sd: float
    others: Load
    coding: Coding | None = None  # None: frames as the table has them, coded in `codec_seconds`


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Samples per second that a mobile node starts, and the relative uncertainty of that mean."""

    rate: float
    doubt: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What N candidates ask of K servers (the nodes, or the links into them); columns are (N, K)."""

    own: Floats  # utilisation by this plan
    pressure: Floats  # see `Load`
    total: Floats  # utilisation with the others' load
    most: Floats  # the same with its uncertainty against it ...
    least: Floats  # ... and in its favour
    wait: Floats  # mean seconds until served
    least_wait: Floats  # the same with the load's uncertainty in its favour


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What N candidates over K legs are predicted to do; columns are (N,) unless said otherwise."""

    seconds: Floats  # of a sample that goes all the way, mean
    sd: Floats  # of one such sample
    least_seconds: Floats  # the mean with every uncertainty in its favour
    mean_seconds: Floats  # over all samples
    work: Floats  # (N, K) compute seconds a sample at each leg
    sent_bytes: Floats  # a sample
    crossing: "Crossing"
    nodes: Usage
    links: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """How samples get from leg to leg; (N, K) each, column k being the hop into leg k."""

    codec: Ints  # place in `KNOWN`; -1 for the raw input
    received_bytes: Floats
    encode: Floats  # seconds, at the leg before
    decode: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Seconds of one visit, (N, K) each."""

    compute: Floats  # blocks and exits only, averaged over all samples, those that never come here too
    here: Floats  # until the sample may leave
    onward: Floats  # what is added for a sample that travels on


@dataclass(frozen=True, slots=True, kw_only=True)
class _Trip:
    """What happens to a sample besides being served; (N, K) or (K,)."""

    crossing: Floats  # seconds on the link into each leg, its turn having come
    rtt: Floats
    backlog: Floats
    nodes: Usage
    links: Usage


def predict(
    table: Table, devices: Sequence[Device], hops: Sequence[Hop], arrivals: Arrivals, margin: float
) -> Figures:
    """Predict every candidate of a table.

    Args:
        table: N candidates over K tiers.
        devices: the K nodes.
        hops: the K - 1 links between them.
        arrivals: at the mobile node.
        margin: how many standard deviations an uncertainty is taken for.
    """
    across = cross(table, devices, hops)
    service = serve(table, across, devices)
    trip = _travel(table, across, service, devices, hops, arrivals, margin)
    arrive = trip.nodes.wait + trip.links.wait + trip.backlog + trip.crossing + trip.rtt
    leave = np.cumsum(arrive + service.here, axis=1) + np.cumsum(service.onward, axis=1) - service.onward
    seconds = leave[:, -1]
    return Figures(
        seconds=seconds,
        sd=_spread(service, trip, devices, hops),
        least_seconds=seconds - _favour(service, trip, devices, hops, margin),
        mean_seconds=((table.reach - _shifted(table.reach)) * leave).sum(axis=1),
        work=service.compute,
        sent_bytes=(table.reach * across.received_bytes).sum(axis=1),
        crossing=across,
        nodes=trip.nodes,
        links=trip.links,
    )


def stretch(utilisation: Floats) -> Floats:
    """Return how much longer than on an idle server a wait is: 1 / (1 - u) up to the knee, then straight."""
    below = 1 / (1 - np.minimum(utilisation, KNEE))
    beyond: Floats = below + np.maximum(utilisation - KNEE, 0.0) / (1 - KNEE) ** 2
    return beyond


def cross(table: Table, devices: Sequence[Device], hops: Sequence[Hop]) -> Crossing:
    """Return how each candidate's samples get over these links."""
    codec, received, encode, decode = (
        table.codec.copy(), table.received_bytes.copy(), *(np.zeros(table.reach.shape) for _ in range(2))
    )  # fmt: skip
    for k, hop in enumerate(hops, start=1):
        coded, layer = table.coded[:, k], table.start[:, k]
        if hop.coding is None:
            encode[:, k] = devices[k - 1].codec_seconds * coded
            decode[:, k] = devices[k].codec_seconds * coded
            continue
        found = np.where(table.codec[:, k] < 0, hop.coding.chosen[layer], table.codec[:, k])
        codec[:, k] = np.where(coded, found, -1)
        received[:, k] = np.where(coded, hop.coding.frame_bytes[found, layer], received[:, k])
        encode[:, k] = coded * hop.coding.encode[found, layer]
        decode[:, k] = coded * hop.coding.decode[found, layer]
    return Crossing(codec=codec, received_bytes=received, encode=encode, decode=decode)


def serve(table: Table, across: Crossing, devices: Sequence[Device]) -> Service:
    """Return the seconds that each candidate's legs take on these nodes."""
    compute, here, onward = (np.zeros(table.reach.shape) for _ in range(3))
    for k, device in enumerate(devices):
        until = device.ready_at[table.pause[:, k]] - device.ready_at[table.start[:, k]]
        until = until + device.exit_seconds * table.exits[:, k]
        here[:, k] = until + across.decode[:, k]
        compute[:, k] = table.reach[:, k] * until
        if k + 1 < len(devices):
            beyond = device.ready_at[table.stop[:, k]] - device.ready_at[table.pause[:, k]]
            onward[:, k] = beyond + across.encode[:, k + 1]
            compute[:, k] += table.reach[:, k + 1] * beyond
    return Service(compute=compute, here=here, onward=onward)


def _travel(
    table: Table,
    across: Crossing,
    service: Service,
    devices: Sequence[Device],
    hops: Sequence[Hop],
    arrivals: Arrivals,
    margin: float,
) -> _Trip:
    # Seconds that a sample of the whole stream, and one that comes here, keep the node busy.
    busy = table.reach * service.here + _shifted(table.reach) * service.onward
    visit = busy / np.maximum(table.reach, 1e-12)
    crossing = across.received_bytes / _row([1.0, *(hop.rate for hop in hops)])
    return _Trip(
        crossing=crossing,
        rtt=_row([0.0, *(hop.rtt for hop in hops)]),
        backlog=visit * _row([device.backlog for device in devices]),
        nodes=_use(
            arrivals.rate * busy,
            visit,
            [device.others for device in devices],
            [margin * math.hypot(arrivals.doubt, device.doubt) for device in devices],
        ),
        links=_use(
            arrivals.rate * table.reach * crossing,
            crossing,
            [Load(), *(hop.others for hop in hops)],
            [0.0, *(margin * math.hypot(arrivals.doubt, hop.doubt) for hop in hops)],
        ),
    )


def _spread(service: Service, trip: _Trip, devices: Sequence[Device], hops: Sequence[Hop]) -> Floats:
    """Return the standard deviation (N,) of one sample that goes all the way."""
    return _together(
        trip.nodes.wait,  # exponential: as wide as it is long
        trip.links.wait,
        trip.backlog,
        (service.here + service.onward) * _row([device.sd for device in devices]),
        trip.crossing * _row([0.0, *(hop.rate_sd for hop in hops)]),
        trip.rtt * _row([0.0, *(hop.rtt_sd for hop in hops)]),
    )


def _favour(
    service: Service, trip: _Trip, devices: Sequence[Device], hops: Sequence[Hop], margin: float
) -> Floats:
    """Return by how much (N,) the mean may be overrated."""
    return _together(
        trip.nodes.wait - trip.nodes.least_wait,
        trip.links.wait - trip.links.least_wait,
        margin * (service.here + service.onward) * _row([device.doubt for device in devices]),
        margin * trip.crossing * _row([0.0, *(hop.doubt for hop in hops)]),
    )


def _use(own: Floats, seconds: Floats, others: list[Load], doubts: list[float]) -> Usage:
    pressure, total = own * seconds, own + _row([load.utilisation for load in others])
    asked = pressure + _row([load.pressure for load in others])
    less = np.maximum(0.0, 1 - _row(doubts))
    return Usage(
        own=own,
        pressure=pressure,
        total=total,
        most=total * (1 + _row(doubts)),
        least=total * less,
        wait=asked * stretch(total),
        least_wait=asked * less * stretch(total * less),
    )


def _together(*parts: Floats) -> Floats:
    """Return the deviation (N,) of a sum of independent parts, (N, K) or (K,) each."""
    result: Floats = np.sqrt(sum((part**2).sum(axis=-1) for part in parts))
    return result


def _shifted(reach: Floats) -> Floats:
    """Return the share of samples that leaves each leg for the next, (N, K)."""
    onward = np.zeros_like(reach)
    onward[:, :-1] = reach[:, 1:]
    return onward


def _row(values: list[float]) -> Floats:
    return np.array(values, dtype=np.float64)
