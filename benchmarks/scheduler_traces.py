"""Plans on a moving link: recorded uplinks, 25 % noise, against an exact clairvoyant dynamic programme.

Devices are drawn from the bundles and classes of the fleets of `tierline bench scheduler`, and from between
them, on measured profiles; those are ridden whose best plan hangs on the link. A second costs what the
planner minimises: work, of which a second on the edge weighs a tenth of one in the cloud, and late samples
beyond those that the margin allows; a change of plan costs what the planner reckons with. All pay the same.
"""

import json
import lzma
import os
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
from _fleets import JOBS, SHARES
from _plan_costs import Costs, Floats, clairvoyant, constant, costs, possible
from _riding import NOISE, RATE, SILENT, Device, Job, decisions, known
from _rows import Row, row, say

from tierline.logs import be_quiet
from tierline_scheduler import Objective, Reluctance

TRACES = ("ATT-LTE-driving.up.xz", "TMobile-LTE-short.up.xz")
HELD_OUT = ("TMobile-UMTS-driving.up.xz", "Verizon-EVDO-driving.up.xz")
"""Not looked at while anything was tuned: neither what changes plans nor what follows links."""
SECONDS, QUICK_SECONDS = 300, 60
DEVICES, QUICK_DEVICES = 20, 2
SLOWNESS = (4.0, 6.3, 10.0, 16.0, 25.0)
"""Times the measured core: the classes of the fleets, and what is between them."""
DEADLINES = {"text": (0.15, 0.2, 0.3, 0.4, 0.6), "image": (0.4, 0.6, 0.8, 1.1, 1.5)}
EDGE_WEIGHT = 0.1
HANGS, HOPELESS = 0.02, 0.1
"""Shares of the seconds: those in which another plan must be best, and nearly none may be in time."""
GRID = np.geomspace(SILENT / 2, 4e6, 20)
LEAST_PAID = 0.1
"""Weighted seconds in a ride: a clairvoyant that pays less is nothing to compare one device with."""
HASTY = Reluctance(switch_seconds=0.0, gain=0.0)

Table = Callable[[Job], Costs | None]


@dataclass(frozen=True)
class Ride:
    """What a device paid in weighted seconds, and what others would have."""

    changes: int
    cost: float
    late: float  # share of samples
    hasty: float  # replanning every second, whatever a change costs
    constant: float  # the best single plan, known beforehand
    least: float  # the clairvoyant
    switch: float  # one change


def trace(name: str) -> Floats:
    """Return the bytes that a mahimahi trace lets through in each of its seconds."""
    folder = Path(os.environ["TIERLINE_TRACES"]) / "network" / "mahimahi"
    with lzma.open(folder / name, "rt") as file:
        seconds = np.array([int(line) for line in file.read().split()]) // 1000
    found: Floats = np.maximum(np.bincount(seconds)[:-1] * 1500.0, SILENT)
    return found


def drawn(rng: random.Random) -> Job:
    """Return what one mobile node runs."""
    bundle, drop = rng.choices(JOBS, SHARES)[0]
    slowness, deadline = rng.choice(SLOWNESS), rng.choice(DEADLINES[bundle])
    return Job(bundle, slowness, Objective(deadline=deadline, accuracy_drop=drop, edge_weight=EDGE_WEIGHT))


@cache
def table(job: Job) -> Costs | None:
    """Return what every plan of a job costs; None where the mobile node alone is in time for nothing."""
    for one in possible(known(job, float(GRID[0])), job.objective):
        if one.estimate.names == ("mobile",) and one.estimate.expected == 0:
            return None
    say(f"what every plan costs: {job.bundle} within {job.objective.deadline:g} s, x{job.slowness:g}")
    return costs(lambda rate: known(job, rate), GRID, job.objective)


def hangs(cost: Floats, late: Floats) -> bool:
    """Whether the best plan hangs on the link, given what all cost over time, (T, P) each."""
    best = cost <= cost.min(axis=1, keepdims=True) + 1e-9
    return bool(best.mean(axis=0).max() < 1 - HANGS and (late.min(axis=1) > 0.5).mean() <= HOPELESS)


def ride(device: Device, plans: Costs) -> Ride | None:
    """Return how a device fares; None where its best plan does not hang on the link."""
    objective = device.job.objective
    cost, late = plans.over(device.rates[1:], objective)
    if not hangs(cost, late):
        return None
    switch = Reluctance().switch_seconds * RATE * objective.late_cost

    def followed(reluctance: Reluctance) -> tuple[float, int, float]:
        chosen = [plans.index[name] for name in decisions(device, reluctance)]
        changes = sum(a != b for a, b in pairwise(chosen))
        places = np.arange(len(chosen)), chosen
        return float(cost[places].sum()) + changes * switch, changes, float(late[places].mean())

    paid, changes, share = followed(Reluctance())
    least, best = clairvoyant(cost, switch), constant(cost)
    return Ride(changes, paid, share, followed(HASTY)[0], best, least, switch)


def rides(names: Sequence[str], count: int, seconds: int, draw: Callable[[random.Random], Job]) -> list[Ride]:
    """Return how so many seeded devices fare on these traces."""
    traces = {name: trace(name) for name in names}

    def every() -> Iterator[Ride]:
        rng = random.Random(0)
        for seed in range(100 * count):
            job, whole = draw(rng), traces[rng.choice(names)]
            rates = np.take(whole, rng.randrange(len(whole)) + np.arange(seconds), mode="wrap")
            plans = table(job)
            one = None if plans is None else ride(Device(job, rates, seed), plans)
            if one is not None:
                say(
                    f"draw {seed}: {job.bundle} within {job.objective.deadline:g} s, x{job.slowness:g}: {one}"
                )
                yield one

    return list(islice(every(), count))


def rows(found: list[Ride], seconds: int, called: str) -> list[Row]:
    """Return the figures of the devices on these traces."""
    minutes = seconds / 60
    what = f"{called}, {NOISE:.0%} noise, {len(found)} devices whose best plan hangs on the link"
    worth = [one for one in found if one.constant > one.least + one.switch]
    made = [
        row(
            f"plan changes a minute of a device, {what}",
            [one.changes / minutes for one in found],
            reach=1.0,
            better="lower",
            unit="changes",
            late=float(np.mean([one.late for one in found])),
        ),
        _ratio(f"cost over that of the clairvoyant, {what}", found, "least", 1.15),
        _ratio(f"cost over that of the best single plan, known beforehand, {what}", found, "constant", 1.0),
        _ratio(f"cost over that of replanning every second, {what}", found, "hasty", 1.0),
    ]
    if worth:
        to = f"the {len(worth)} of them to whom following the link is worth more than a change"
        made.append(_ratio(f"cost over that of the clairvoyant, {called}, {to}", worth, "least", 1.15))
        other = f"cost over that of the best single plan, known beforehand, {called}, {to}"
        made.append(_ratio(other, worth, "constant", 1.0))
    return made


def _ratio(claim: str, found: list[Ride], other: str, reach: float) -> Row:
    """Return the row of what all pay by what they would pay otherwise."""
    value = sum(one.cost for one in found) / sum(getattr(one, other) for one in found)
    each = [one.cost / getattr(one, other) for one in found if getattr(one, other) > LEAST_PAID]
    made = row(claim, [value], reach=reach, better="lower", unit="times")
    return made | {"runs": len(found), "spread": [min(value, *each), max(value, *each)]}


def main() -> int:
    """Measure and print the rows; nothing where the traces are not there."""
    be_quiet()
    if "TIERLINE_TRACES" not in os.environ:
        say("TIERLINE_TRACES names no folder of traces; this is measured with them alone")
        print("null")
        return 0
    quick = "--quick" in sys.argv[1:]
    seconds, count = (QUICK_SECONDS, QUICK_DEVICES) if quick else (SECONDS, DEVICES)
    few = Job("image", 16.0, Objective(deadline=0.8, edge_weight=EDGE_WEIGHT))
    made = []
    for names, called in ((TRACES, "LTE uplink traces"), (HELD_OUT, "3G uplink traces held out")):
        made += rows(rides(names, count, seconds, (lambda rng: few) if quick else drawn), seconds, called)
    print(json.dumps(made))
    return 0


if __name__ == "__main__":
    sys.exit(main())
