"""Other ways to choose plans, and one judge for all: what comes of them at the loads that they make."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tierline_scheduler import Objective, fleet

ROUNDS = 8  # of the ways that follow measured load; the later half counts
DEVICE = int(fleet.Feature.EDGE_WAIT)

Plans = Any  # (N,) index of a plan in the device's table


@dataclass(frozen=True)
class Outcome:
    """What a choice of plans comes to.

    Attributes:
        attained: (N,) whether the device's samples are in time with its margin.
        cloud: seconds a second that the clouds work.
        mean: (N,) mean latency of a sample.
        seconds: (N,) of one that goes all the way ...
        sd: ... and its deviation.
        joules: (N,) a sample.
        sent: (N,) bytes a sample.
        depth: (N,) blocks that the device holds.
        deep: (N,) share of samples that go all the way.
    """

    attained: Any
    cloud: float
    mean: Any
    seconds: Any
    sd: Any
    joules: Any
    sent: Any
    depth: Any
    deep: Any


def judge(made: fleet.Fleet, plan: Plans, objective: Objective) -> Outcome:
    """Return what these plans come to, waits following from the loads that they make."""
    waits = actual_waits(made, plan, objective)
    seen = fleet.outlook(made, objective, waits, plan)
    cost = fleet.toll(made, objective, waits, plan)
    used = np.bincount(made.edge, cost.edge, len(made.edges)) / made.edges.count
    depth, busy = columns(made, plan, "depth"), columns(made, plan, "mobile_busy")
    able = (depth <= made.depth) & (busy * made.rate * made.features[:, 0] <= objective.max_utilisation)
    calm = (used < 1)[made.edge] | (cost.edge == 0)
    served = plan != fleet.SHED
    in_time = seen.seconds + made.margin * seen.sd <= made.deadline * (1 + 1e-5)
    return Outcome(
        attained=able & calm & in_time & served,
        cloud=float(cost.cloud.sum()),
        mean=seen.mean_seconds,
        seconds=seen.seconds,
        sd=seen.sd,
        joules=seen.joules,
        sent=seen.sent_bytes,
        depth=depth,
        deep=columns(made, plan, "deep"),
    )


def actual_waits(made: fleet.Fleet, plan: Plans, objective: Objective) -> fleet.Waits:
    """Return the waits at the loads that these plans make."""
    idle = fleet.waits_at(made, objective, np.zeros(len(made.edges)))
    cost = fleet.toll(made, objective, idle, plan)
    used = np.bincount(made.edge, cost.edge, len(made.edges)) / made.edges.count
    return replace(idle, edge=made.edges.wait(used))


def columns(made: fleet.Fleet, plan: Plans, name: str) -> Any:
    """Return one column of every device's plan; a miss is served by its table's best effort."""
    found = np.zeros(len(made))
    for index, table in enumerate(made.tables):
        own = made.table == index
        at = np.where(plan[own] < 0, table.best_effort or 0, plan[own])
        whole = [one.reach[-1] for one in table.candidates] if name == "deep" else getattr(table, name)
        found[own] = np.asarray(whole)[at]
    return found


@dataclass(frozen=True)
class View:
    """Every plan of every device of one table under some waits; (n, P) each."""

    rows: Any
    table: fleet.PlanTable
    mean: Any
    safe: Any
    cloud: Any
    able: Any
    in_time: Any


def views(made: fleet.Fleet, waits: fleet.Waits) -> list[View]:
    """Return what every plan would do under these waits."""
    found = []
    for index, table in enumerate(made.tables):
        rows = np.flatnonzero(made.table == index)
        site = np.zeros((len(made.sites), 6))
        site[:, 0], site[:, 1] = waits.edge[0][made.sites.edge], made.edges.slowness[made.sites.edge]
        site[:, 2], site[:, 3] = made.sites.backhaul, made.sites.rtt
        site[:, 4], site[:, 5] = waits.cloud[0][made.sites.cloud], 1.0
        spread = site * [1.0, 0.1, 0.1, 0.2, 1.0, 0.1]
        x = np.hstack([made.features[rows], site[made.site[rows]]])
        sd = np.hstack([made.features[rows] * made.spread[rows], spread[made.site[rows]]])
        seconds = x @ table.full.T
        safe = seconds + made.margin[rows, None] * np.sqrt(sd**2 @ (table.full**2).T)
        able = (table.depth <= made.depth[rows, None]) & (
            table.mobile_busy * (made.rate[rows] * x[:, 0])[:, None] <= 0.8
        )
        found.append(
            View(
                rows=rows,
                table=table,
                mean=x @ table.mean.T,
                safe=safe,
                cloud=np.broadcast_to(table.cloud_work, safe.shape),
                able=able,
                in_time=able & (safe <= made.deadline[rows, None]),
            )
        )
    return found


def pick(made: fleet.Fleet, waits: fleet.Waits, score: Callable[[View], Any]) -> Plans:
    """Return each device's plan with the least score; infinite where it may not have it."""
    plan = np.zeros(len(made), dtype=np.int64)
    for view in views(made, waits):
        plan[view.rows] = score(view).argmin(axis=1)
    return plan


def all_cloud(view: View) -> Any:
    """Send the input to the cloud at once."""
    return np.where(np.arange(len(view.table)) == view.table.best_effort, 0.0, np.inf) + 0 * view.mean


def all_device(view: View) -> Any:
    """Compute everything on the device, as fast as that goes."""
    local = (view.table.edge_visit == 0) & (view.table.cloud_visit == 0)
    return np.where(local, view.mean, 1e9 + view.mean)


def neurosurgeon(view: View) -> Any:
    """The plan that is fastest on average, as Neurosurgeon cuts."""
    return np.where(view.able, view.mean, 1e9 + view.mean)


def greedy(view: View) -> Any:
    """The least cloud work that is in time; the fastest where nothing is."""
    return np.where(view.in_time, view.cloud + 1e-6 * view.mean, 1e9 + view.safe)


def static(view: View) -> Any:
    """One plan for all devices of a table: the one that is in time for most of them."""
    best = int(view.in_time.sum(axis=0).argmax())
    return np.where(np.arange(len(view.table)) == best, 0.0, np.inf) + 0 * view.mean


def at_random(seed: int) -> Callable[[View], Any]:
    """Return a choice of any plan that would be in time on idle servers."""
    rng = np.random.default_rng(seed)
    return lambda view: np.where(view.in_time, rng.random(view.mean.shape), 1e9 + view.safe)


def once(made: fleet.Fleet, objective: Objective, score: Callable[[View], Any]) -> list[Outcome]:
    """Return what comes of choosing once, as if the servers were idle."""
    idle = fleet.waits_at(made, objective, np.zeros(len(made.edges)))
    return [judge(made, pick(made, idle, score), objective)]


def following(made: fleet.Fleet, objective: Objective, score: Callable[[View], Any]) -> list[Outcome]:
    """Return what comes of choosing again and again at the waits that were measured last."""
    waits = fleet.waits_at(made, objective, np.zeros(len(made.edges)))
    found = []
    for _ in range(ROUNDS):
        plan = pick(made, waits, score)
        found.append(judge(made, plan, objective))
        waits = actual_waits(made, plan, objective)
    return found[ROUNDS // 2 :]


def prices(made: fleet.Fleet, objective: Objective) -> list[Outcome]:
    """Return what comes of the fleet's own planner."""
    return [judge(made, fleet.settle(made, objective).plan, objective)]


POLICIES: dict[str, Callable[[fleet.Fleet, Objective], list[Outcome]]] = {
    "all-cloud": lambda made, objective: once(made, objective, all_cloud),
    "all-device": lambda made, objective: once(made, objective, all_device),
    "static split": lambda made, objective: once(made, objective, static),
    "random": lambda made, objective: once(made, objective, at_random(0)),
    "Neurosurgeon": lambda made, objective: once(made, objective, neurosurgeon),
    "Neurosurgeon with load feedback": lambda made, objective: following(made, objective, neurosurgeon),
    "greedy with load feedback": lambda made, objective: following(made, objective, greedy),
}
