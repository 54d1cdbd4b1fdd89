"""The fleet's planner: how far from the optimum, how fast, and against other ways to share edges and a cloud.

Fleets are seeded and made up around profiles that nodes measured of the split text and image models; what is
computed of them is the planner's own prediction, with waits at the loads that each way of choosing makes.
"""

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from statistics import mean, median

import _fleets
import _policies
import numpy as np
from _milp import optimum
from _rows import Row, row, say
from _waiting import ablation, knob, lateness

from tierline_scheduler import Objective, fleet

FIGURES = Path(__file__).parent.parent / "docs" / "figures"
OBJECTIVE = Objective()
MISS_COSTS = (1.0, 0.1, 0.03, 0.01, 1e-3, 1e-5)
"""What a miss may cost: with less, the last devices get less cloud work; the first is the default."""
LOADS, QUICK_LOADS = (0.5, 1.0, 2.0, 4.0, 6.0, 10.0), (0.5, 4.0)

# -- how far from the optimum ------------------------------------------------------------------------------


def gaps(*, quick: bool) -> list[Row]:
    """Compare the plans with the exact joint optimum by HiGHS, every edge at its best of all levels."""
    sizes = ((20, 1, 6), (100, 2, 2)) if quick else ((20, 1, 20), (100, 2, 6), (300, 3, 3), (1000, 10, 2))
    rows = []
    for devices, edges, seeds in sizes:
        lost = []
        for seed in range(seeds):
            made, _ = _fleets.make(devices, edges, (1.5, 4.0)[seed % 2], seed)
            best = optimum(made, OBJECTIVE)
            found = fleet.settle(made, OBJECTIVE, exact=True)
            lost.append(100 * max(0.0, found.upper - best) / best)
            say(f"{devices} devices, seed {seed}: {lost[-1]:.5f} % over HiGHS")
        reach = 0.5 if devices <= 20 else 0.05
        claim = f"cost over the exact joint optimum (HiGHS), {devices:,} devices on {edges} edges"
        rows.append(row(claim, lost, reach=reach, better="lower", unit="%"))
    return rows


# -- how fast, and how far at most -------------------------------------------------------------------------


def rounds(*, quick: bool) -> list[Row]:
    """Time rounds at known levels, in seconds of one core, and read their certificates."""
    sizes = [(20, 1, 1, 1e-3), (100_000, 20, 3, 0.2)] + ([] if quick else [(1_000_000, 50, 3, 1.0)])
    rows = []
    for devices, edges, jobs, reach in sizes:
        made, _ = _fleets.make(devices, edges, 2.5, jobs=jobs, hopeless=True)
        level = np.full(edges, _fleets.LEVEL)
        spent = []
        for _ in range(200 if devices < 1000 else 5):
            start = time.process_time()
            found = fleet.solve(made, OBJECTIVE, level)
            spent.append(time.process_time() - start)
        say(f"{devices} devices: {median(spent):.4f} s, at most {100 * gap(found, made):.2e} % over")
        what = f"{devices:,} devices, {edges} edges"
        one = row(
            f"one round of {what}, numpy only",
            [median(spent)],
            reach=reach,
            better="lower",
            unit="s of one core",
        )
        rows.append(one | {"spread": [min(spent), max(spent)], "runs": len(spent)})
        if devices > 1000:
            claim = f"most that a round may lose by its own certificate, {what}"
            rows.append(row(claim, [100 * gap(found, made)], reach=1e-3, better="lower", unit="%"))
    return rows


def gap(found: fleet.Decision, made: fleet.Fleet) -> float:
    """Return what is open between the bounds, by the cost without what misses cost: the stricter measure."""
    missed = OBJECTIVE.miss_cost * fleet.misses(found.plan) @ (made.rate * made.priority)
    return max(0.0, found.upper - found.lower) / (found.upper - float(missed))


# -- against other ways ------------------------------------------------------------------------------------


def against(*, quick: bool) -> list[Row]:
    """Compare attainment and cloud work with other ways to choose, over loads."""
    curves: dict[str, list[list[float]]] = {name: [] for name in ("fleet", *_policies.POLICIES)}
    ours: list[list[tuple[float, float]]] = []
    for load in QUICK_LOADS if quick else LOADS:
        made, _ = _fleets.make(4000 if quick else 20_000, 20, load)
        found = {name: way(made, OBJECTIVE) for name, way in _policies.POLICIES.items()}
        whole = found["all-cloud"][0].cloud
        cheaper = [_policies.prices(made, replace(OBJECTIVE, miss_cost=cost)) for cost in MISS_COSTS]
        for name, outcomes in {"fleet": cheaper[0], **found}.items():
            curves[name].append([load, *_point(outcomes, whole)])
        ours.append([_point(outcomes, whole) for outcomes in cheaper])
        ways = (f"{name} {c[-1][1]:.1f} % at {c[-1][2]:.1f} %" for name, c in curves.items())
        say(f"load {load}: {', '.join(ways)}; with cheaper misses {ours[-1][1:]}")
    return _against_rows(curves, ours)


def _point(outcomes: Sequence[_policies.Outcome], whole: float) -> tuple[float, float]:
    """Return devices in time and cloud work of that of all-cloud, in percent."""
    kept = mean(100 * float(one.attained.mean()) for one in outcomes)
    return kept, 100 * mean(one.cloud for one in outcomes) / whole


def _against_rows(curves: dict[str, list[list[float]]], ours: list[list[tuple[float, float]]]) -> list[Row]:
    """Return two rows a way: devices in time, and cloud work with no fewer of them in time."""
    rows, loads = [], [point[0] for point in curves["fleet"]]
    over = f"over loads {loads[0]:g} to {loads[-1]:g}"
    for name in _policies.POLICIES:
        ahead = [mine[1] - theirs[1] for mine, theirs in zip(curves["fleet"], curves[name], strict=True)]
        one = row(f"more devices in time than under {name}, least {over}", ahead, reach=0.0, better="higher",
                  unit="points", curve=curves[name])  # fmt: skip
        rows.append(one | {"value": min(ahead)})
        more = [
            min((work for kept, work in points if kept >= theirs[1]), default=100.0) - theirs[2]
            for points, theirs in zip(ours, curves[name], strict=True)
        ]
        claim = f"cloud work beyond that of {name} with no fewer devices in time, most {over}"
        one = row(claim, more, reach=0.0, better="lower", unit="points of all-cloud's")
        rows.append(one | {"value": max(more)})
    work = [point[2] for point in curves["fleet"]]
    claim = f"cloud work of that of all-cloud, most {over}"
    one = row(claim, work, reach=100.0, better="lower", unit="%", curve=curves["fleet"])
    return [*rows, one | {"value": max(work)}]


def main() -> None:
    """Measure, and print rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    parts = (rounds, gaps, against, knob, lateness, ablation)
    rows = [one for part in parts for one in part(quick=quick)]
    if not quick and find_spec("matplotlib") is not None:
        from _scheduler_plots import plot

        plot(rows, FIGURES)
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
