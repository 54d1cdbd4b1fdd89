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

from tierline_scheduler.servers import Arrivals, Device, Hop, Load
from tierline_scheduler.table import Floats, Table
from tierline_scheduler.visits import Crossing, Service, cross, serve

KNEE = 0.95
"""Utilisation from which waits grow along the tangent: still finite and ordered when overloaded."""


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
    crossing: Crossing
    nodes: Usage
    links: Usage


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
