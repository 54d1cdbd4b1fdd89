"""The fleet's planner: how far from the optimum, how fast, and against other ways to share edges and a cloud.

Fleets are seeded and made up around profiles that nodes measured of the split text and image models; what is
computed of them is the planner's own prediction, with waits at the loads that each way of choosing makes.
"""

import argparse
import json
import time
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
    missed = OBJECTIVE.miss_cost * np.maximum(0, -found.plan) @ (made.rate * made.priority)
    return max(0.0, found.upper - found.lower) / (found.upper - float(missed))


# -- against other ways ------------------------------------------------------------------------------------


def against(*, quick: bool) -> list[Row]:
    """Compare attainment and cloud work with other ways to choose, over loads."""
    ahead: dict[str, list[float]] = {name: [] for name in _policies.POLICIES}
    curves: dict[str, list[list[float]]] = {name: [] for name in ("prices", *_policies.POLICIES)}
    loads = QUICK_LOADS if quick else LOADS
    for load in loads:
        made, _ = _fleets.make(4000 if quick else 20_000, 20, load)
        ways = {"prices": _policies.prices, **_policies.POLICIES}
        found = {name: way(made, OBJECTIVE) for name, way in ways.items()}
        whole = found["all-cloud"][0].cloud
        for name, outcomes in found.items():
            attained = mean(100 * float(one.attained.mean()) for one in outcomes)
            curves[name].append([load, attained, 100 * mean(one.cloud for one in outcomes) / whole])
        for name in ahead:
            ahead[name].append(curves["prices"][-1][1] - curves[name][-1][1])
        say(
            f"load {load}: "
            + ", ".join(f"{n} {c[-1][1]:.1f} % at {c[-1][2]:.1f} %" for n, c in curves.items())
        )
    rows = [
        row(
            f"more devices in time than under {name}, mean over loads {loads[0]} to {loads[-1]}",
            values,
            reach=0.0,
            better="higher",
            unit="points",
            curve=curves[name],
        )
        for name, values in ahead.items()
    ]
    ours = [point[2] for point in curves["prices"]]
    claim = f"cloud work of that of all-cloud, mean over loads {loads[0]} to {loads[-1]}"
    return [*rows, row(claim, ours, reach=100.0, better="lower", unit="%", curve=curves["prices"])]


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
