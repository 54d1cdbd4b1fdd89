"""What the knapsack chooses from: one row for each kind of device, one option for each plan it may have.

Devices at one site with one table, one priority and the same admitted plans have the same row, unless the
objective itself tells them apart. Two options end every row, so that there always is a choice: a miss served
as well as can be through the cloud, and one that takes nothing of what is shared. Both cost the priority.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tierline_scheduler.fleet.devices import Fleet
from tierline_scheduler.fleet.hull import Steps, Walk, spread, walk
from tierline_scheduler.fleet.predict import (
    Segment,
    Waits,
    Words,
    allowed,
    mean_seconds,
    segments,
    slow_shares,
    unpack,
)
from tierline_scheduler.fleet.toll import BEST_EFFORT, MISSES, SHED, joules, slow_counts
from tierline_scheduler.objective import Objective
from tierline_scheduler.table import Floats, Ints

APART = 2000
"""Fleets up to this size have one row a device, which is what the exact core works on."""
CHUNK = 16_384  # rows that an objective tells apart, walked at a time

_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """R rows, one for each kind of device with one table.

    Attributes:
        segments: of the table, by site.
        devices: all devices of the table ...
        member: ... and each one's row, counted from 0.
        first: number of the first row among all rows.
        words: (R, W) plans that are admitted.
        weight: (R,) samples a second of all devices of the row.
        priority: (R,) of each of them.
        device: (R,) one device of each row.
        site: (R,) where they are.
    """

    segments: dict[int, Segment]
    devices: slice
    member: Ints
    first: int
    words: Words
    weight: Floats
    priority: Floats
    device: Ints
    site: Ints

    def __len__(self) -> int:
        return len(self.weight)

    def of(self, row: int) -> Ints:
        """Return all devices of a row."""
        if len(self) == len(self.member):
            return self.device[row : row + 1]
        near = self.segments[int(self.site[row])].rows
        begin = near.start - self.devices.start
        found: Ints = near.start + np.flatnonzero(self.member[begin : begin + near.stop - near.start] == row)
        return found

    @property
    def segment(self) -> Segment:
        """Any of the segments, for what they share."""
        return next(iter(self.segments.values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Every option of R rows for one sample a second, (R, P + 2); cost is infinite where not admitted."""

    cost: Floats
    edge: Floats  # seconds a second that the edge is busy
    cloud: Floats


def personal(fleet: Fleet, objective: Objective) -> bool:
    """Whether what differs from device to device counts, not only from site to site."""
    return objective.latency_weight > 0 or objective.energy_weight > 0 or slow_counts(fleet, objective)


def make_rows(fleet: Fleet, objective: Objective, waits: Waits) -> list[Rows]:
    """Return the rows of every table under these waits."""
    apart = personal(fleet, objective) or len(fleet) <= APART
    groups: dict[int, list[Segment]] = {}
    for segment in segments(fleet, waits):
        groups.setdefault(int(fleet.table[segment.rows.start]), []).append(segment)
    found: list[Rows] = []
    first = 0
    for group in groups.values():
        words = np.concatenate([allowed(fleet, segment, objective.max_utilisation) for segment in group])
        devices = slice(group[0].rows.start, group[-1].rows.stop)
        priority, site = fleet.priority[devices], fleet.site[devices]
        device = member = np.arange(len(words))
        if not apart:
            device, member = _kinds(words, priority, site.astype(np.float64))
        rows = Rows(
            segments={segment.site: segment for segment in group},
            devices=devices,
            member=member,
            first=first,
            words=words[device],
            weight=np.bincount(member, fleet.rate[devices], len(device)).astype(np.float64),
            priority=priority[device],
            device=device + devices.start,
            site=site[device],
        )
        found.append(rows)
        first += len(rows)
    return found


def options(fleet: Fleet, objective: Objective, rows: Rows, picked: Ints) -> Options:
    """Return the options of some rows."""
    table, plans = rows.segment.table, len(rows.segment.table)
    cost, edge, cloud = (np.zeros((len(picked), plans + 2)) for _ in range(3))
    site = rows.site[picked]
    for one in np.unique(site):
        at, segment = site == one, rows.segments[int(one)]
        cost[at, :plans] = _costs(fleet, objective, segment, rows.device[picked[at]])
        edge[at, :plans] = table.edge_busy * segment.edge_slowness
        cloud[at, :plans] = table.cloud_busy * segment.cloud_slowness
    missed = objective.miss_cost * rows.priority[picked]
    cost[:, plans + 1] = MISSES[SHED] * missed
    best = table.best_effort
    cost[:, plans] = np.inf if best is None else cost[:, best] + MISSES[BEST_EFFORT] * missed
    if best is not None:
        cloud[:, plans] = cloud[:, best]
        unserved = [one for one, segment in rows.segments.items() if not segment.served[best]]
        cost[np.isin(site, unserved), plans] = np.inf
    cost[:, :plans][~unpack(rows.words[picked], plans)] = np.inf
    return Options(cost=cost, edge=edge, cloud=cloud)


def walk_rows(fleet: Fleet, objective: Objective, rows: Sequence[Rows], cloud_price: Floats) -> Steps:
    """Return the steps of all rows, cloud work charged at these prices; corners are indices of plans.

    Rows that differ only in their site have the same corners as long as a site's work has the same price.
    """
    charge, parts = np.append(cloud_price, 0.0), []
    for one in rows:
        price = charge[fleet.sites.cloud[one.site]]
        if personal(fleet, objective) or len(fleet) <= APART:
            picked = same = np.arange(len(one))
        else:
            slow = [[s.edge_slowness * objective.edge_weight, s.cloud_slowness] for s in _by_site(fleet, one)]
            rank = np.unique(np.array(slow), axis=0, return_inverse=True)[1]
            picked, same = _kinds(one.words, one.priority, rank[one.site] + price)
        walks = [
            _walk(fleet, objective, one, picked[start : start + CHUNK], price)
            for start in range(0, len(picked), CHUNK)
        ]
        edge = np.array([segment.edge_slowness for segment in _by_site(fleet, one)])[one.site]
        parts.append(spread(walks, same, one.weight, edge, one.first))
    return Steps.joined(parts)


def _by_site(fleet: Fleet, rows: Rows) -> list[Segment]:
    """Return a segment for every site; sites without a device get any, which nobody looks at."""
    return [rows.segments.get(site, rows.segment) for site in range(len(fleet.sites))]


def _walk(fleet: Fleet, objective: Objective, rows: Rows, picked: Ints, price: Floats) -> Walk:
    """Return the walk along the hulls of some rows, with the names of plans for the corners."""
    made, table = options(fleet, objective, rows, picked), rows.segment.table
    if price.any():
        made.cost[:] += price[picked, None] * made.cloud
    names = np.array([*range(len(table)), BEST_EFFORT, SHED])
    return walk(made.cost, np.append(table.edge_busy, [0.0, 0.0]), names)


def _costs(fleet: Fleet, objective: Objective, segment: Segment, devices: Ints) -> Floats:
    """Return the cost of every plan for one sample a second, (n, P) or (P,)."""
    table = segment.table
    shared: Floats = (
        objective.cloud_weight * table.cloud_work * segment.cloud_slowness
        + objective.edge_weight * table.edge_work * segment.edge_slowness
    )
    if not personal(fleet, objective):
        return shared
    cost = np.tile(shared, (len(devices), 1))
    if objective.latency_weight > 0:
        cost += objective.latency_weight * mean_seconds(fleet, segment, devices)
    if objective.energy_weight > 0:
        features = fleet.features[devices, None, :].astype(np.float64)
        cost += objective.energy_weight * joules(table, features, objective, slice(None))
    if slow_counts(fleet, objective):
        weight = objective.slow_weight + fleet.slow_weight[devices, None]
        cost += weight * slow_shares(fleet, segment, devices, objective.slow_after)
    return cost


def _kinds(words: Words, *values: Floats) -> tuple[Ints, Ints]:
    """Return the first row of each kind, and the kind of each row: equal words and equal values."""
    columns = [*words.T, *(value.view(np.uint64) for value in values)]
    key = np.zeros(len(words), dtype=np.uint64)
    for column in columns:
        key = (key ^ (key >> np.uint64(31))) * _MIX[0] + (column ^ (column >> np.uint64(29))) * _MIX[1]
    _, device, member = np.unique(key, return_index=True, return_inverse=True)
    if not all(np.array_equal(column, column[device[member]]) for column in columns):
        # Two kinds fell on one key, once in many lifetimes.
        _, device, member = np.unique(np.array(columns), axis=1, return_index=True, return_inverse=True)
    return device, member
