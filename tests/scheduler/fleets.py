"""Seeded fleets of a few devices, and the nodes and links that their plans are compiled for."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tierline_broker import Tier
from tierline_scheduler import Objective
from tierline_scheduler.fleet import (
    Feature,
    Fleet,
    PlanTable,
    Servers,
    Sites,
    compile_plans,
    device_features,
    make_fleet,
)
from tierline_scheduler.model import read_card
from tierline_scheduler.servers import Device, Hop, Load
from tierline_scheduler.table import tables

OBJECTIVE = Objective(accuracy_drop=0.02)
BALANCED = Objective.balanced(0.5, accuracy_drop=0.02)
LEVEL = 0.72

Build = Callable[..., Fleet]


def node(slowdown: float, card: Any, max_layer: int = 99) -> Device:
    return Device(
        name="reference",
        ready_at=np.arange(card.blocks + 1) * 0.004 * slowdown,
        exit_seconds=0.0003 * slowdown,
        codec_seconds=0.0004 * slowdown,
        sd=0.2,
        doubt=0.0,
        max_layer=max_layer,
        backlog=0.0,
        others=Load(),
    )


def link(rate: float, rtt: float) -> Hop:
    return Hop(rate=rate, rate_sd=0.3, doubt=0.0, rtt=rtt, rtt_sd=0.4, others=Load())


def plans_of(card: Any) -> PlanTable:
    links = {(a, b): link(1e6, 0.0) for a in Tier for b in Tier}
    found = tables(read_card(card), card.accuracy - OBJECTIVE.accuracy_drop)
    return compile_plans(found, {tier: node(1.0, card) for tier in Tier}, links, 2**26)


def make(
    plans: PlanTable,
    devices: int = 12,
    edges: int = 2,
    *,
    seed: int = 0,
    crowd: float = 3.0,
    cloud: float = 1e6,
    deadline: float = 1.0,
    uplink: float = 1.0,
    shuffle: int | None = None,
) -> Fleet:
    rng = np.random.default_rng(seed)
    slowness = rng.choice([4.0, 10.0, 25.0], devices)
    rate = rng.lognormal(0, 0.5, devices) * crowd * edges / devices * 12
    to_edge = np.column_stack([rng.lognormal(13.5, 0.8, devices) * uplink, rng.uniform(0.005, 0.05, devices)])
    to_cloud = to_edge + np.array([0.0, 0.03])
    columns = {
        "table": np.zeros(devices),
        "site": rng.integers(edges, size=devices),
        "rate": rate,
        "deadline": rng.choice([0.15, 0.3, 0.6], devices) * deadline,
        "priority": rng.choice([1.0, 2.0], devices),
        "margin": np.full(devices, 1.645),
        "depth": rng.choice([0, 2, 99], devices, p=[0.1, 0.2, 0.7]),
        "features": device_features(rate, slowness, slowness, to_edge, to_cloud),
        "spread": np.full((devices, Feature.EDGE_WAIT), 0.3),
    }
    if shuffle is not None:
        order = np.random.default_rng(shuffle).permutation(devices)
        columns = {name: column[order] for name, column in columns.items()}
    one = np.ones(edges)
    return make_fleet(
        (plans,),
        Sites(
            edge=np.arange(edges),
            cloud=np.zeros(edges, dtype=np.int64),
            backhaul=one / 12.5e6,
            rtt=one * 0.02,
            backhaul_spread=one * 0.1,
            rtt_spread=one * 0.1,
            edge_depth=np.full(edges, 99),
            cloud_depth=np.full(edges, 99),
        ),
        Servers(slowness=one * 3, spread=one * 0.1, count=one, background=one * 0.05, visit=one * 0.012),
        Servers(
            slowness=np.ones(1),
            spread=np.ones(1) * 0.1,
            count=np.full(1, cloud),
            background=np.zeros(1),
            visit=np.full(1, 0.012),
        ),
        columns,
    )
