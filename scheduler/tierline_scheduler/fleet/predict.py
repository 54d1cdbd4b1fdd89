"""Which plans a device may have: every deadline test of a segment in two matrix products, the rest by rank.

The answer is packed, one bit a plan: devices with the same bits are the same to the planner, and there are
far fewer of these kinds than devices.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tierline_scheduler.chance import slow_share
from tierline_scheduler.fleet.devices import Fleet, Servers, Singles
from tierline_scheduler.fleet.features import OF_DEVICE, Feature, PlanTable
from tierline_scheduler.table import Bools, Floats, Ints

Words = NDArray[np.uint64]

BLOCK = 2048  # rows whose intermediate results stay in the processor's cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """Planned wait at every edge and cloud in seconds: mean and standard deviation."""

    edge: tuple[Floats, Floats]
    cloud: tuple[Floats, Floats]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """Devices of one table at one site, with what the site adds to every plan; columns of it are (P,).

    Attributes:
        rows: which devices.
        waits: (6,) the site's features, from `EDGE_WAIT` on ...
        spreads: ... and their standard deviations.
        served: plans that the site has the nodes for.
    """

    rows: slice
    table: PlanTable
    site: int
    waits: Floats
    spreads: Floats
    served: Bools

    @property
    def edge_slowness(self) -> float:
        """Times slower than the reference edge node; 0 without one."""
        return float(self.waits[1])

    @property
    def cloud_slowness(self) -> float:
        """Times slower than the reference cloud node; 0 without one."""
        return float(self.waits[5])

    @property
    def seconds(self) -> Floats:
        """What the site takes of a sample that goes all the way."""
        found: Floats = self.table.full[:, OF_DEVICE:] @ self.waits
        return found

    @property
    def variance(self) -> Floats:
        """The variance of that."""
        found: Floats = self.table.full[:, OF_DEVICE:] ** 2 @ self.spreads**2
        return found


def segments(fleet: Fleet, waits: Waits) -> Iterator[Segment]:
    """Yield the fleet's segments under these waits."""
    sites, nothing = fleet.sites, (0.0, 0.0, 0.0, 0.0)
    used = {int(table): fleet.tables[table] for table in np.unique(fleet.table)}
    for rows in fleet.segments():
        table, site = used[int(fleet.table[rows.start])], int(fleet.site[rows.start])
        edge, cloud = int(sites.edge[site]), int(sites.cloud[site])
        at_edge = nothing if edge < 0 else _at(fleet.edges, waits.edge, edge)
        at_cloud = nothing if cloud < 0 else _at(fleet.clouds, waits.cloud, cloud)
        back, rtt = float(sites.backhaul[site]), float(sites.rtt[site])
        served = (table.edge_depth <= sites.edge_depth[site]) & (table.cloud_depth <= sites.cloud_depth[site])
        backs = (back * float(sites.backhaul_spread[site]), rtt * float(sites.rtt_spread[site]))
        yield Segment(
            rows=rows,
            table=table,
            site=site,
            waits=np.array([*at_edge[:2], back, rtt, *at_cloud[:2]]),
            spreads=np.array([*at_edge[2:], *backs, *at_cloud[2:]]),
            served=served,
        )


def allowed(fleet: Fleet, segment: Segment, busiest: float) -> Words:
    """Return which plans each device of a segment may have, as (n, ceil(P / 64)) words.

    Args:
        fleet: the devices.
        segment: which of them.
        busiest: share of its time that a mobile node or its uplink may be busy.
    """
    words = _in_time(fleet, segment)
    rows, features = segment.rows, fleet.features[segment.rows]
    rate = np.maximum(fleet.rate[rows], 1e-12)
    has = (
        fleet.depth[rows],
        busiest / (rate * features[:, Feature.MOBILE]),
        busiest / (rate * features[:, Feature.UP_EDGE]),
        busiest / (rate * features[:, Feature.UP_CLOUD]),
    )
    for limit, most in zip(segment.table.limits, has, strict=True):
        words &= limit.words[limit.steps.searchsorted(most, side="right")]
    return words


def unpack(words: Words, plans: int) -> Bools:
    """Return the bits of (n, W) words as (n, plans)."""
    return np.unpackbits(words.view(np.uint8), axis=1, count=plans).astype(np.bool_)


def mean_seconds(fleet: Fleet, segment: Segment, devices: Ints) -> Floats:
    """Return the mean latency of a sample on some devices of a segment under every plan, (n, P)."""
    features, mean = fleet.features[devices].astype(np.float64), segment.table.mean
    found: Floats = features @ mean[:, :OF_DEVICE].T + mean[:, OF_DEVICE:] @ segment.waits
    return found


def slow_shares(fleet: Fleet, segment: Segment, devices: Ints, after: float) -> Floats:
    """Return the share of samples that take longer than `after` seconds under every plan, (n, P).

    Samples that go all the way scatter log-normally around their latency, the others, by as much, around what
    the mean over all then leaves for them.
    """
    features, table = fleet.features[devices].astype(np.float64), segment.table
    full, mean = (
        features @ table.full[:, :OF_DEVICE].T + segment.seconds,
        mean_seconds(fleet, segment, devices),
    )
    spread = features * fleet.spread[devices]
    variance = spread**2 @ (table.full[:, :OF_DEVICE] ** 2).T + segment.variance
    return slow_share(after, full, variance, mean, table.deep)


def _at(servers: Servers, waits: tuple[Floats, Floats], index: int) -> tuple[float, float, float, float]:
    """Return wait and slowness of one server, then their standard deviations."""
    slow = float(servers.slowness[index])
    return float(waits[0][index]), slow, float(waits[1][index]), slow * float(servers.spread[index])


def _in_time(fleet: Fleet, segment: Segment) -> Words:
    """Return which plans keep the deadline with the device's margin.

    seconds + margin * sd <= deadline, without a square root: the slack times its magnitude is at least the
    squared margin times the variance.
    """
    rows, full = segment.rows, segment.table.full[:, :OF_DEVICE]
    features = fleet.features[rows]
    slack = np.ones((len(features), OF_DEVICE + 2), dtype=np.float32)
    slack[:, :OF_DEVICE], slack[:, OF_DEVICE] = features, fleet.deadline[rows]
    square = np.ones((len(features), OF_DEVICE + 1), dtype=np.float32)
    square[:, :OF_DEVICE] = features * fleet.spread[rows]
    square *= fleet.margin[rows, None]
    square *= square
    to_slack = np.ones((OF_DEVICE + 2, len(full)), dtype=np.float32)
    to_slack[:OF_DEVICE] = -full.T
    to_slack[-1] = np.where(segment.served, -segment.seconds, -np.inf)
    to_variance = np.empty((OF_DEVICE + 1, len(full)), dtype=np.float32)
    to_variance[:OF_DEVICE], to_variance[-1] = full.T**2, segment.variance
    return _packed(slack, to_slack, square, to_variance)


def _packed(slack: Singles, to_slack: Singles, square: Singles, to_variance: Singles) -> Words:
    """Return where |a| a >= v for a, v the two products, as packed bits."""
    n, plans = len(slack), to_slack.shape[1]
    width = -(-plans // 64)
    size = min(BLOCK, n)
    bits = np.zeros((size, 64 * width), dtype=np.bool_)
    a, b, v = (np.empty((size, plans), dtype=np.float32) for _ in range(3))
    words = np.empty((n, 8 * width), dtype=np.uint8)
    for start in range(0, n, BLOCK):
        stop = min(start + BLOCK, n)
        k = stop - start
        np.matmul(slack[start:stop], to_slack, out=a[:k])
        np.matmul(square[start:stop], to_variance, out=v[:k])
        np.abs(a[:k], out=b[:k])
        np.multiply(a[:k], b[:k], out=b[:k])
        np.greater_equal(b[:k], v[:k], out=bits[:k, :plans])
        words[start:stop] = np.packbits(bits[:k], axis=1)
    return words.view(np.uint64)
