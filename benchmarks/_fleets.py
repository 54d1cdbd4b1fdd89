"""Seeded fleets around the profiles that were measured from the split models."""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from tierline_broker import CodecCost, Profile, Tier
from tierline_scheduler import Objective, fleet

PROFILES = Path(__file__).parent / "profiles"
JOBS = (("text", 0.01), ("text", 0.0), ("image", 0.0))
"""Bundles and how far accuracy may drop; devices run one of them each."""
SHARES = (0.4, 0.3, 0.3)
SLOWNESS = (4.0, 10.0, 25.0)
"""Device classes, in times slower than the measured core: a laptop, a phone, a Raspberry Pi under load."""
UPLINK = (2.5e6, 6e5, 1.5e5)  # bytes a second: Wi-Fi, LTE, a poor cell
RTT = (0.010, 0.045, 0.090)
DEADLINES = {"text": (0.15, 0.3, 0.6), "image": (0.4, 0.8, 1.5)}
LEVEL = 0.72
MARGIN = 2.2

Columns = dict[str, Any]


def profile(name: str) -> Profile:
    """Return a measured profile."""
    return Profile.model_validate_json((PROFILES / f"{name}.json").read_text())


def slower(one: Profile, tier: Tier, factor: float) -> Profile:
    """Return a profile as it is on a device of this tier that is so many times slower."""
    codecs = {
        codec: CodecCost(**{name: factor * seconds for name, seconds in cost.model_dump().items()})
        for codec, cost in one.codecs.items()
    }
    return one.model_copy(
        update={
            "node": tier.value,
            "tier": tier,
            "block_seconds": tuple(factor * seconds for seconds in one.block_seconds),
            "exit_seconds": factor * one.exit_seconds,
            "codec_seconds": factor * one.codec_seconds,
            "codecs": codecs,
        }
    )


@cache
def tables(leave_out: str = "") -> tuple[fleet.PlanTable, ...]:
    """Return the plan tables of all jobs, without exits, edge, activations or codecs if asked for."""
    without: Collection[Tier] = (Tier.EDGE,) if leave_out == "edge" else ()
    return tuple(
        fleet.plan_table(_cut(profile(name), leave_out), Objective(accuracy_drop=drop), without=without)
        for name, drop in JOBS
    )


def _cut(one: Profile, leave_out: str) -> Profile:
    card = one.model
    change: dict[str, Any] = {}
    if leave_out == "exits":
        last = tuple(route for route in card.routes if route.exits == (card.blocks,))
        change = {"routes": last, "exits": (card.blocks,)}
    if leave_out == "activations":
        change = {"points": ()}
    if leave_out == "codecs":
        raw = [p.model_copy(update={"frame_bytes": {"raw": p.frame_bytes["raw"]}}) for p in card.points]
        change = {"points": tuple(raw)}
    return one.model_copy(update={"model": card.model_copy(update=change)})


def make(
    devices: int,
    edges: int,
    load: float,
    seed: int = 0,
    *,
    jobs: int = len(JOBS),
    leave_out: str = "",
    hopeless: bool = False,
) -> tuple[fleet.Fleet, Columns]:
    """Return a fleet and the classes of its devices.

    Args:
        devices: how many, before those are taken out that no plan can serve in time.
        edges: of one server or more each.
        load: edge seconds that devices would like, by those there are.
        seed: everything random follows from it.
        jobs: how many of `JOBS` there are.
        leave_out: what plans may not use.
        hopeless: leave in those whose deadline no plan can keep even when everything is idle.
    """
    rng = np.random.default_rng(seed)
    columns, count = drawn(rng, devices, edges, load, jobs)
    slow = 3 * rng.uniform(0.8, 1.25, edges)
    if not hopeless:
        columns = _kept(columns, servable(build(columns, tables(), count, slow)))
    made = build(columns, tables(leave_out), count, slow)
    return made, {name: columns[name][made.order] for name in ("kind", "network")}


def drawn(rng: np.random.Generator, devices: int, edges: int, load: float, jobs: int) -> tuple[Columns, Any]:
    """Return devices' columns, and the number of servers at each edge."""
    share = np.array(SHARES[:jobs]) / sum(SHARES[:jobs])
    table, kind, network = (
        rng.choice(jobs, devices, p=share),
        rng.integers(3, size=devices),
        rng.integers(3, size=devices),
    )
    slowness = np.array(SLOWNESS)[kind] * rng.lognormal(0, 0.15, devices)
    uplink = np.array(UPLINK)[network] * rng.lognormal(0, 0.4, devices)
    rtt = np.array(RTT)[network] * rng.lognormal(0, 0.3, devices)
    site = rng.integers(edges, size=devices)
    wish = np.array([_middle(one.edge_busy) for one in tables()])[table] * 3
    rate = rng.lognormal(-1, 0.6, devices)
    wanted = np.maximum(np.bincount(site, rate * wish, edges), 1e-9)
    count = np.maximum(1.0, np.round(wanted / load))
    rate *= (load * count / wanted)[site]
    due = np.array([DEADLINES[name] for name, _ in JOBS])[table, rng.integers(3, size=devices)]
    columns = {
        "table": table,
        "site": site,
        "rate": rate,
        "deadline": due,
        "priority": rng.choice([1.0, 2.0, 4.0], devices, p=[0.7, 0.2, 0.1]),
        "margin": np.full(devices, MARGIN),
        "depth": rng.choice([0, 3, 99], devices, p=[0.05, 0.15, 0.8]),
        "features": fleet.device_features(
            rate,
            slowness,
            slowness,
            np.column_stack([uplink, rtt]),
            np.column_stack([uplink, rtt + rng.uniform(0.015, 0.04, devices)]),
        ),
        "spread": np.tile([0.15, 0.15, 0.3, 0.3, 0.3, 0.3, 1.0, 1.0, 1.0], (devices, 1)),
        "kind": kind,
        "network": network,
    }
    return columns, count


def build(
    columns: Mapping[str, Any], plans: tuple[fleet.PlanTable, ...], count: Any, slow: Any
) -> fleet.Fleet:
    """Return the fleet of these columns."""
    edges, one = len(count), np.ones(len(count))
    sites = fleet.Sites(
        edge=np.arange(edges),
        cloud=np.zeros(edges, dtype=np.int64),
        backhaul=one / 12.5e6,
        rtt=one * 0.025,
        backhaul_spread=one * 0.1,
        rtt_spread=one * 0.2,
        edge_depth=np.full(edges, 99),
        cloud_depth=np.full(edges, 99),
    )
    cloud = np.full(1, float(max(1, len(columns["rate"]))))
    used = {name: column for name, column in columns.items() if name not in ("kind", "network")}
    return fleet.make_fleet(
        plans,
        sites,
        fleet.Servers(slowness=slow, spread=one * 0.1, count=count, background=one * 0, visit=one * 0.012),
        fleet.Servers(
            slowness=np.ones(1),
            spread=np.full(1, 0.1),
            count=cloud,
            background=np.zeros(1),
            visit=np.full(1, 0.014),
        ),
        used,
    )


def servable(made: fleet.Fleet) -> Any:
    """Return, in the order that columns came in, which devices some plan serves in time when all is idle."""
    idle = replace(made.edges, count=np.full(len(made.edges), 1e9))
    found = fleet.solve(replace(made, edges=idle), Objective(), np.full(len(made.edges), 0.01))
    kept = np.zeros(len(made), dtype=np.bool_)
    kept[made.order] = found.plan >= 0
    return kept


def peak_memory(made: fleet.Fleet, depth: Any) -> Any:
    """Return the bytes that each device needs to hold and run its first `depth` blocks."""
    needs = json.loads((PROFILES / "memory.json").read_text())
    found = np.zeros(len(made))
    for index, (name, _) in enumerate(JOBS[: len(made.tables)]):
        own = made.table == index
        found[own] = np.array(needs[name])[depth[own].astype(np.int64)]
    return found


def _kept(columns: Columns, rows: Any) -> Columns:
    return {name: column[rows] for name, column in columns.items()}


def _middle(values: Any) -> float:
    return float(np.median(values[values > 0]))
