"""What given plans cost and use: the account of a decision, or of any other way to choose."""

from dataclasses import dataclass

import numpy as np

from tierline_scheduler.chance import slow_share
from tierline_scheduler.fleet.devices import Fleet
from tierline_scheduler.fleet.features import OF_DEVICE, Feature, PlanTable
from tierline_scheduler.fleet.predict import Waits, segments
from tierline_scheduler.objective import Objective
from tierline_scheduler.table import Floats, Ints

BEST_EFFORT, SHED = -1, -2
"""What stands for a plan's index where a deadline is missed: sent to the cloud all the same; not served."""
MISSES = {BEST_EFFORT: 1.0, SHED: 10.0}
"""How many misses each counts for: whoever can be served late is, while there is room for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toll:
    """What the plans of N devices cost and use a second; (N,) each.

    Attributes:
        cost: as the objective weighs it, misses included.
        edge: seconds that the device's edge is busy.
        cloud: seconds that its cloud is busy.
    """

    cost: Floats
    edge: Floats
    cloud: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What a sample of each of N devices may expect of its plan; (N,) each, a device without one has 0.

    Attributes:
        seconds: of a sample that goes all the way.
        sd: of one such sample.
        mean_seconds: of all samples.
        joules: that the device spends.
        sent_bytes: by the device.
        deep: share of them that goes all the way.
    """

    seconds: Floats
    sd: Floats
    mean_seconds: Floats
    joules: Floats
    sent_bytes: Floats
    deep: Floats


def toll(fleet: Fleet, objective: Objective, waits: Waits, plan: Ints) -> Toll:
    """Return what these plans cost at these waits.

    Args:
        fleet: N devices.
        objective: what counts how much.
        waits: of the edges and clouds.
        plan: (N,) index of a plan in the device's table, `BEST_EFFORT` or `SHED`.
    """
    cost, edge, cloud = (np.zeros(len(fleet)) for _ in range(3))
    personal = objective.latency_weight > 0 or objective.energy_weight > 0 or slow_counts(fleet, objective)
    for segment in segments(fleet, waits):
        rows, table = segment.rows, segment.table
        at = _served(table, plan[rows])
        edge[rows] = np.append(table.edge_busy * segment.edge_slowness, 0.0)[at]
        cloud[rows] = np.append(table.cloud_busy * segment.cloud_slowness, 0.0)[at]
        work = objective.cloud_weight * table.cloud_work * segment.cloud_slowness
        work = work + objective.edge_weight * table.edge_work * segment.edge_slowness
        cost[rows] = np.append(work, 0.0)[at]
    if personal:
        seen = outlook(fleet, objective, waits, plan)
        cost += objective.latency_weight * seen.mean_seconds + objective.energy_weight * seen.joules
        late = slow_share(objective.slow_after, seen.seconds, seen.sd**2, seen.mean_seconds, seen.deep)
        cost += (objective.slow_weight + fleet.slow_weight) * late
    cost += objective.miss_cost * misses(plan) * fleet.priority
    return Toll(cost=cost * fleet.rate, edge=edge * fleet.rate, cloud=cloud * fleet.rate)


def slow_counts(fleet: Fleet, objective: Objective) -> bool:
    """Whether slow samples cost anything."""
    return objective.slow_after > 0 and (objective.slow_weight > 0 or bool(fleet.slow_weight.any()))


def misses(plan: Ints) -> Floats:
    """Return how many misses each of these plans counts for; 0 where it keeps the deadline."""
    return sum((weight * (plan == one) for one, weight in MISSES.items()), np.zeros(len(plan)))


def outlook(fleet: Fleet, objective: Objective, waits: Waits, plan: Ints) -> Outlook:
    """Return what samples may expect of these plans at these waits; arguments as in `toll`."""
    found = Outlook(**{name: np.zeros(len(fleet)) for name in Outlook.__slots__})
    for segment in segments(fleet, waits):
        own, table = plan[segment.rows], segment.table
        at = _served(table, own)
        rows = segment.rows.start + np.flatnonzero(at < len(table))
        at = at[at < len(table)]
        features = fleet.features[rows].astype(np.float64)
        full, mean = table.full[at], table.mean[at]
        found.seconds[rows] = (features * full[:, :OF_DEVICE]).sum(axis=1) + segment.seconds[at]
        variance = ((features * fleet.spread[rows] * full[:, :OF_DEVICE]) ** 2).sum(axis=1)
        found.sd[rows] = np.sqrt(variance + segment.variance[at])
        late = (features * mean[:, :OF_DEVICE]).sum(axis=1) + mean[:, OF_DEVICE:] @ segment.waits
        found.mean_seconds[rows] = late
        found.joules[rows] = joules(table, features, objective, at)
        found.deep[rows] = table.deep[at]
        found.sent_bytes[rows] = table.edge_bytes[at] + table.cloud_bytes[at]
    return found


def _served(table: PlanTable, plan: Ints) -> Ints:
    """Return the index of the plan that serves each device, one past the last where none does."""
    best = len(table) if table.best_effort is None else table.best_effort
    names = np.append(np.arange(len(table)), [len(table), best])  # so that SHED and BEST_EFFORT count back
    found: Ints = names[plan]
    return found


def joules(table: PlanTable, features: Floats, objective: Objective, plan: Ints | slice) -> Floats:
    """Return the device's energy for a sample under a plan each, or under all plans of a slice.

    Args:
        table: the plans.
        features: (n, 9) of the devices, or (n, 1, 9) against a slice of plans.
        objective: what computing and sending draw.
        plan: (n,) or a slice.
    """
    computing = features[..., Feature.MOBILE] * table.mobile_busy[plan]
    sending = features[..., Feature.UP_EDGE] * table.edge_bytes[plan]
    sending = sending + features[..., Feature.UP_CLOUD] * table.cloud_bytes[plan]
    found: Floats = objective.compute_watts * computing + objective.radio_watts * sending
    return found
