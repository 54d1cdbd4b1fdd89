"""Candidates as coefficients: the seconds of every plan on every device are one matrix product of these.

A device has one number a feature: how slow it computes, the seconds a byte takes, a round trip, a planned
wait. A plan has one coefficient a feature: seconds on the reference node, bytes, one for each wait. What the
product leaves out is how a mobile node's own waits bend with its own load: they count as on a server that is
otherwise idle, and how busy the node may be is a limit of its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from tierline_broker import Tier
from tierline_scheduler.candidates import Candidate
from tierline_scheduler.servers import Device, Hop
from tierline_scheduler.table import Floats, Ints, Table
from tierline_scheduler.visits import Crossing, cross, serve

Singles = NDArray[np.float32]


class Feature(IntEnum):
    """What a device, then the site it is attached to, says of itself; columns of every product."""

    MOBILE = 0  # times slower than the reference mobile node
    CODEC = 1  # the same, of encoding
    UP_EDGE = 2  # seconds a byte
    RTT_EDGE = 3
    UP_CLOUD = 4
    RTT_CLOUD = 5
    OWN = 6  # own work that arrives while work is done: samples a second times slowness squared
    OWN_EDGE = 7  # the same on the link to the edge ...
    OWN_CLOUD = 8  # ... and to the cloud
    EDGE_WAIT = 9  # seconds
    EDGE = 10  # times slower than the reference edge node
    BACKHAUL = 11  # seconds a byte
    RTT_BACK = 12
    CLOUD_WAIT = 13
    CLOUD = 14


OF_DEVICE = int(Feature.EDGE_WAIT)
"""So many features are the device's own, the others its site's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """Which of P plans need at most so much of something.

    Attributes:
        steps: the different needs, rising.
        words: (steps + 1, W) the plans that need no more than the step before, packed as in `predict`.
    """

    steps: Floats
    words: NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanTable:
    """P plans of one model at one accuracy floor; columns are (P,), a sample's, at the reference nodes.

    Attributes:
        full: (P, features) coefficients of a sample that goes all the way ...
        mean: ... and of the mean over all samples.
        mobile_busy: seconds that the mobile node is busy, codec included.
        edge_busy: the same of the edge node ...
        edge_visit: ... with one sample that comes there.
        edge_work: without codec.
        edge_bytes: sent by the mobile node to the edge.
        deep: share of samples that go all the way.
        depth: blocks that the mobile node has to hold ...
        edge_depth: ... and the edge.
        seconds: that the whole model takes on the reference node of each tier.
        limits: what memory, the mobile node and its two links bound, in this order.
        best_effort: the plan that serves a miss, input to the cloud at once; None if the table has none.
    """

    candidates: tuple[Candidate, ...]
    full: Floats
    mean: Floats
    mobile_busy: Floats
    edge_busy: Floats
    edge_visit: Floats
    edge_work: Floats
    edge_bytes: Floats
    cloud_busy: Floats
    cloud_visit: Floats
    cloud_work: Floats
    cloud_bytes: Floats
    deep: Floats
    depth: Ints
    edge_depth: Ints
    cloud_depth: Ints
    seconds: Mapping[Tier, float]
    limits: tuple["Limit", ...]
    best_effort: int | None

    def __len__(self) -> int:
        return len(self.candidates)


Reference = Mapping[Tier, Device]
Links = Mapping[tuple[Tier, Tier], Hop]


def compile_plans(
    tables: Mapping[tuple[Tier, ...], Table], reference: Reference, links: Links, max_frame_bytes: int
) -> PlanTable:
    """Return the plans that can be the best on some device; every other is beaten on all of them.

    Args:
        tables: a model's candidates at one accuracy floor, by chain.
        reference: the node of each tier that coefficients are seconds of.
        links: those between them, for how they code; their rates and round trips do not count.
        max_frame_bytes: hand-offs larger than this are left out.

    Raises:
        ValueError: no candidate is left.
    """
    used = [table for table in tables.values() if table.candidates]
    parts = [_columns(table, reference, links) for table in used]
    if not parts:
        raise ValueError("no candidate reaches the accuracy floor; lower it")
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    rows = np.flatnonzero(columns.pop("largest") <= max_frame_bytes)
    worse = [
        columns[name][rows].reshape(len(rows), -1)
        for name in columns
        if not name.endswith(("_visit", "deep"))
    ]
    rows = rows[_front(np.hstack(worse))]
    kept = {name: column[rows] for name, column in columns.items()}
    depth, edge_depth, cloud_depth = (
        kept.pop(name).astype(np.int64) for name in ("depth", "edge_depth", "cloud_depth")
    )
    direct = np.flatnonzero((depth == 0) & (kept["edge_visit"] == 0) & (kept["cloud_visit"] > 0))
    candidates = [one for table in used for one in table.candidates]
    needs = (depth.astype(np.float64), kept["mobile_busy"], kept["edge_bytes"], kept["cloud_bytes"])
    return PlanTable(
        candidates=tuple(candidates[row] for row in rows),
        depth=depth,
        edge_depth=edge_depth,
        cloud_depth=cloud_depth,
        seconds={tier: float(one.ready_at[-1]) for tier, one in reference.items()},
        limits=tuple(_limit(need) for need in needs),
        best_effort=int(direct[np.argmin(kept["cloud_busy"][direct])]) if len(direct) else None,
        **kept,
    )


def _columns(table: Table, reference: Reference, links: Links) -> dict[str, Floats]:
    """Return the columns of one chain's candidates; of each but the visits, less is better."""
    devices = [reference[tier] for tier in table.chain]
    across = cross(table, devices, [links[pair] for pair in pairwise(table.chain)])
    service, reach = serve(table, across, devices), table.reach
    beyond = np.column_stack([reach[:, 1:], np.zeros(len(reach))])
    busy = reach * service.here + beyond * service.onward
    ones = np.ones_like(reach)
    columns = {
        "full": _coefficients(table, across, devices, ones, ones),
        "mean": _coefficients(table, across, devices, reach, beyond),
        "mobile_busy": busy[:, 0],
        "deep": reach[:, -1],
        "depth": table.layer[:, 0].astype(np.float64),
        "largest": across.received_bytes.max(axis=1),
    }
    for tier in (Tier.EDGE, Tier.CLOUD):
        k = table.chain.index(tier) if tier in table.chain else None
        zero = np.zeros(len(reach))
        columns[f"{tier}_busy"] = zero if k is None else busy[:, k]
        columns[f"{tier}_visit"] = zero if k is None else busy[:, k] / np.maximum(reach[:, k], 1e-12)
        columns[f"{tier}_work"] = zero if k is None else service.compute[:, k]
        columns[f"{tier}_depth"] = zero if k is None else table.layer[:, k].astype(np.float64)
        columns[f"{tier}_bytes"] = reach[:, 1] * across.received_bytes[:, 1] if k == 1 else zero
    return columns


def _coefficients(
    table: Table, across: Crossing, devices: list[Device], here: Floats, onward: Floats
) -> Floats:
    """Return coefficients (N, features), a leg and the way on from it counted as often as these say."""
    found = np.zeros((len(here), len(Feature)))
    uncoded = replace(across, encode=np.zeros_like(here), decode=np.zeros_like(here))
    service, plain = serve(table, across, devices), serve(table, uncoded, devices)
    seconds = here * service.here + onward * service.onward
    compute = here * plain.here + onward * plain.onward
    found[:, Feature.MOBILE], found[:, Feature.CODEC] = compute[:, 0], seconds[:, 0] - compute[:, 0]
    passed = table.reach[:, 1] if len(devices) > 1 else 0.0
    found[:, Feature.OWN] = (service.here[:, 0] + passed * service.onward[:, 0]) ** 2
    for k, tier in enumerate(table.chain[1:], start=1):
        edge, sent = tier is Tier.EDGE, across.received_bytes[:, k]
        found[:, Feature.EDGE_WAIT if edge else Feature.CLOUD_WAIT] = here[:, k]
        found[:, Feature.EDGE if edge else Feature.CLOUD] = seconds[:, k]
        if k == 2:
            found[:, Feature.BACKHAUL], found[:, Feature.RTT_BACK] = here[:, k] * sent, here[:, k]
            continue
        found[:, Feature.UP_EDGE if edge else Feature.UP_CLOUD] = here[:, k] * sent
        found[:, Feature.RTT_EDGE if edge else Feature.RTT_CLOUD] = here[:, k]
        found[:, Feature.OWN_EDGE if edge else Feature.OWN_CLOUD] = here[:, k] * table.reach[:, k] * sent**2
    return found


def _limit(needs: Floats) -> Limit:
    steps = np.unique(needs)
    bits = np.zeros((len(steps) + 1, 64 * -(-len(needs) // 64)), dtype=np.bool_)
    bits[1:, : len(needs)] = needs[None, :] <= steps[:, None]
    return Limit(steps=steps, words=np.packbits(bits, axis=1).view(np.uint64))


def _front(columns: Floats) -> Ints:
    """Return, in order, the rows (N, C) that no other row is as good as in every column."""
    order = np.lexsort(columns.T[::-1])
    front = np.empty_like(columns)
    kept: list[int] = []
    for row in order:
        if not np.any(np.all(front[: len(kept)] <= columns[row], axis=1)):
            front[len(kept)] = columns[row]
            kept.append(int(row))
    return np.sort(np.array(kept, dtype=np.int64))
