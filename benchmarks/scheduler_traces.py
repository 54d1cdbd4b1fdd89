"""Plans on a moving link: the LTE uplink traces, 25 % noise, against an exact clairvoyant dynamic programme.

Every device is one mobile node with an edge and a cloud node of its own, whose profiles are those that were
measured of the split models, so many times slower. A second costs its work, `late_cost` for each late sample,
and as much for each change of plan as the planner reckons with. The clairvoyant knows the whole trace and
what each plan would cost at every rate; both meet the same spread of everything but the link. The rows go
into results/scheduler.json.
"""

import json
import lzma
import math
import os
import random
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from _fleets import profile, slower
from numpy.typing import NDArray

from tierline.logs import be_quiet
from tierline_broker import Birth, LinkReport, Profile, Route, Telemetry, Tier
from tierline_replay import GOOD
from tierline_scheduler import ClusterState, Objective, Reluctance, apply, expire, explain, run_round

TRACES = ("ATT-LTE-driving.up.xz", "TMobile-LTE-short.up.xz")
HELD_OUT = ("TMobile-UMTS-driving.up.xz", "Verizon-EVDO-driving.up.xz")
"""Not looked at while anything was tuned: neither what changes plans nor what follows links."""
SECONDS, QUICK_SECONDS = 300, 60
DEVICES, QUICK_DEVICES = 40, 4
DEADLINES, SLOWDOWNS = (0.4, 0.6, 1.0), (0.5, 1.0)
NOISE = 0.25
RATE = 1.0  # samples per second
SILENT = 2000.0  # bytes per second where a trace lets nothing through
RTT = {"edge": 0.01, "cloud": 0.03}
BACKHAUL = 12.5e6
LEAST_PAID = 0.1
"""Weighted seconds in a ride: a clairvoyant that pays less is nothing to compare one device with."""
GRID = np.geomspace(SILENT / 2, 1e7, 48)

Row = dict[str, Any]
Floats = NDArray[np.float64]


def say(line: str) -> None:
    """Tell how it goes."""
    print(line, file=sys.stderr, flush=True)


# -- what there is to plan -----------------------------------------------------------------------------------


def profiles(bundle: str) -> dict[str, Profile]:
    """Return the measured profile as it is on devices of the three tiers.

    Not what nodes measure of themselves as the benchmark runs: which plans hang on the link depends on how
    fast devices are, so that on a busy machine another question would be answered.
    """
    return {tier.value: slower(profile(bundle), tier, GOOD.slowdown[tier]) for tier in Tier}


def born(measured: dict[str, Profile], slowdown: float) -> ClusterState:
    """Return the state when all three are there; the mobile node is as much slower again."""
    state = ClusterState()
    for tier in Tier:
        own = measured[tier.value]
        if tier is Tier.MOBILE:
            seconds = tuple(slowdown * seconds for seconds in own.block_seconds)
            own = own.model_copy(update={"block_seconds": seconds})
        birth = Birth(node=tier.value, tier=tier, state="ready", incarnation=own.incarnation)
        state = apply(apply(state, birth, 0.0), own, 0.0)
    return state


def told(state: ClusterState, now: float, rate: float, count: int, rng: random.Random) -> ClusterState:
    """Return the state after everybody's telemetry, the uplink being `rate` bytes per second."""
    links = {
        Tier.MOBILE: [("edge", rate), ("cloud", rate)],
        Tier.EDGE: [("cloud", BACKHAUL)],
        Tier.CLOUD: [],
    }
    for tier in Tier:
        birth = state.nodes[tier.value].birth
        assert birth is not None
        reports = tuple(
            LinkReport(
                peer=peer,
                bytes_per_second=bytes_per_second,
                rtt=RTT[peer] * math.exp(0.1 * rng.gauss(0, 1)),
                age=0.0,
                observations=count,
            )
            for peer, bytes_per_second in links[tier]
        )
        report = Telemetry(
            node=tier.value,
            tier=tier,
            incarnation=birth.incarnation,
            queue=0,
            speed=math.exp(0.03 * rng.gauss(0, 1)),
            busy=0.0,
            arrival_rate=RATE if tier is Tier.MOBILE else 0.0,
            links=reports,
        )
        state = apply(state, report, now)
    return state


def trace(name: str) -> Floats:
    """Return the bytes that a mahimahi trace lets through in each of its seconds."""
    folder = Path(os.environ["TIERLINE_TRACES"]) / "network" / "mahimahi"
    with lzma.open(folder / name, "rt") as file:
        seconds = np.array([int(line) for line in file.read().split()]) // 1000
    found: Floats = np.maximum(np.bincount(seconds)[:-1] * 1500.0, SILENT)
    return found


# -- what plans would cost -----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Costs:
    """What every plan costs a second at every rate of the grid, (G, P), and where each plan is."""

    index: dict[str, int]
    work: Floats
    late: Floats

    def over(self, rates: Floats, objective: Objective) -> tuple[Floats, Floats]:
        """Return the cost, and the share of late samples, of all plans over time, (T, P)."""
        late = _between(self.late, rates)
        return RATE * (_between(self.work, rates) + objective.late_cost * late), late


def costs(state: ClusterState, objective: Objective) -> Costs:
    """Return what plans cost were the uplink's rate known: it is reported often, and hardly varies."""
    index: dict[str, int] = {}
    work, late = [], []
    for rate in GRID:
        known = state
        for count in range(60):
            known = told(known, 0.0, rate * (1 + 1e-3 * (-1) ** count), count + 1, random.Random(count))
        found = {
            key(one.route): one.estimate
            for one in explain(expire(known, 0.0, silence=1e9), objective, "mobile")
            if not {"memory", "frame", "accuracy"} & set(one.estimate.broken)
        }
        index = index or {name: number for number, name in enumerate(found)}
        work.append([found[name].cost for name in index])
        late.append([found[name].late for name in index])
    return Costs(index, np.array(work), np.array(late))


def key(route: Route) -> str:
    """Return what tells one route from another."""
    return route.model_dump_json()


def _between(table: Floats, rates: Floats) -> Floats:
    place = np.interp(np.log(rates), np.log(GRID), np.arange(len(GRID)))
    lower = np.minimum(place.astype(int), len(GRID) - 2)
    share = (place - lower)[:, None]
    found: Floats = table[lower] * (1 - share) + table[lower + 1] * share
    return found


def clairvoyant(cost: Floats, switch: float) -> float:
    """Return the least that a sequence of plans can cost (T, P), each change included: exact."""
    least = cost[0]
    for now in cost[1:]:
        least = np.minimum(least, least.min() + switch) + now
    return float(least.min())


# -- what the scheduler does ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ride:
    """How one device fared."""

    changes: int
    cost: float
    least: float
    late: float


@dataclass(frozen=True)
class Device:
    """One device on its way along a trace."""

    state: ClusterState
    objective: Objective
    rates: Floats
    seed: int


def ride(device: Device, table: Costs, reluctance: Reluctance) -> Ride | None:
    """Return how a device fares; None where no plan depends on the link, or nothing could keep up."""
    switch = reluctance.switch_seconds * RATE * device.objective.late_cost
    cost, late = table.over(device.rates, device.objective)
    best = cost.argmin(axis=1)
    if (best != best[0]).mean() <= 0.02 or (late.min(axis=1) > 0.5).mean() > 0.1:
        return None
    chosen = [table.index[name] for name in decisions(device, reluctance)]
    times = np.arange(1, len(device.rates))
    changes = sum(a != b for a, b in pairwise(chosen))
    return Ride(
        changes=changes,
        cost=float(cost[times, chosen].sum()) + changes * switch,
        least=clairvoyant(cost[1:], switch),
        late=float(late[times, chosen].mean()),
    )


def decisions(device: Device, reluctance: Reluctance) -> Iterator[str]:
    """Yield the plan in force in each second but the first, by what was measured before it."""
    rng = random.Random(device.seed)
    state, standings = device.state, {}
    for second, rate in enumerate(device.rates[:-1], start=1):
        state = told(state, float(second), rate * math.exp(NOISE * rng.gauss(0, 1)), second, rng)
        state = expire(state, float(second), silence=6.0)
        found = run_round(state, device.objective, reluctance, standings)
        assert not found.failed, found.failed
        standings = found.standings
        for plan in found.changed.values():
            state = apply(state, plan, float(second))
        yield key(state.plans["mobile"].route)


Tables = Callable[[float, float], Costs]
"""What every plan costs, by slowdown of the mobile node and deadline."""


def tables(measured: dict[str, Profile]) -> Tables:
    """Return what works that out, each once."""

    @cache
    def table(slowdown: float, deadline: float) -> Costs:
        say(f"what every plan costs at every rate, deadline {deadline:g} s, mobile x{slowdown:g}")
        return costs(born(measured, slowdown), Objective(deadline=deadline))

    return table


def rides(
    measured: dict[str, Profile], table: Tables, names: Sequence[str], count: int, seconds: int
) -> list[Ride]:
    """Return how so many seeded devices fare on these traces, those whose plan depends on the link."""
    rng, found = random.Random(0), []
    traces = {name: trace(name) for name in names}

    for seed in range(20 * count):
        slowdown, deadline = rng.choice(SLOWDOWNS), rng.choice(DEADLINES)
        whole = traces[rng.choice(names)]
        rates = np.take(whole, rng.randrange(len(whole)) + np.arange(seconds), mode="wrap")
        device = Device(born(measured, slowdown), Objective(deadline=deadline), rates, seed)
        one = ride(device, table(slowdown, deadline), Reluctance())
        if one is not None:
            found.append(one)
            say(f"device {len(found)} of {count}: {one}")
        if len(found) == count:
            break
    return found


def rows(found: list[Ride], seconds: int, traces: str) -> list[Row]:
    """Return the figures of the devices on these traces."""
    minutes = seconds / 60
    flaps = [one.changes / minutes for one in found]
    ratio = sum(one.cost for one in found) / sum(one.least for one in found)
    each = [one.cost / one.least for one in found if one.least > LEAST_PAID]
    shared = {"runs": len(found), "better": "lower", "late": statistics.mean(one.late for one in found)}
    what = f"{traces}, {NOISE:.0%} noise, {len(found)} devices"
    return [
        shared
        | {
            "claim": f"plan changes a minute of a device, {what}",
            "value": statistics.mean(flaps),
            "reach": 1.0,
            "unit": "changes",
            "spread": [min(flaps), max(flaps)],
        },
        shared
        | {
            "claim": f"cost over that of the clairvoyant, {what}",
            "value": ratio,
            "reach": 1.15,
            "unit": "times",
            "spread": [min(ratio, *each), max(ratio, *each)],
        },
    ]


def main() -> int:
    """Measure and print the rows; nothing where the traces are not there."""
    be_quiet()
    if "TIERLINE_TRACES" not in os.environ:
        say("TIERLINE_TRACES names no folder of traces; this is measured with them alone")
        print("null")
        return 0
    quick = "--quick" in sys.argv[1:]
    seconds = QUICK_SECONDS if quick else SECONDS
    measured = profiles("image")
    count, table = QUICK_DEVICES if quick else DEVICES, tables(measured)
    made = []
    for names, called in ((TRACES, "LTE uplink traces"), (HELD_OUT, "3G uplink traces held out")):
        made += rows(rides(measured, table, names, count, seconds), seconds, called)
    print(json.dumps(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
