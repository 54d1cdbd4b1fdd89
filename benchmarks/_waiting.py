"""Who waits how long: the knob, classes of devices, late samples, and what each part buys."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import _fleets
import _policies
import numpy as np
from _rows import Row, row, say

from tierline_scheduler import Objective, fleet

OBJECTIVE = Objective()
MIDDLE = "knob 0.5, alike"
KNOBS = ("knob 0", MIDDLE, "knob 1")
RATIO = 1.48  # that classes are planned for: what comes of plans differs a little from what is predicted
KNOB_LOADS = (0.5, 1.0)
SAMPLES = 400_000
TARGET = 0.02  # share of samples that may be late
WARM_UP = 8  # windows
REALLY = (0.7, 1.0, 1.4)
"""Times that latencies on each network really scatter as predicted: what a margin has to learn."""


def sampled(made: fleet.Fleet, one: _policies.Outcome, seed: int = 0) -> tuple[Any, Any]:
    """Return seconds of samples drawn from an outcome, and the device of each.

    As many go all the way as the plan says, the others as fast as the mean over all then demands; both
    scatter log-normally with the prediction's deviation.
    """
    rng = np.random.default_rng(seed)
    device = rng.choice(len(made), SAMPLES, p=made.rate / made.rate.sum())
    full, usual, share = one.seconds[device], one.mean[device], one.deep[device]
    rest = np.maximum(usual - share * full, 0.0) / np.maximum(1 - share, 1e-9)
    relative = one.sd[device] / np.maximum(full, 1e-9)
    width = np.sqrt(np.log1p(relative**2))
    drawn = np.where(rng.random(SAMPLES) < share, full, rest)
    return drawn * rng.lognormal(-(width**2) / 2, width), device


def knob(*, quick: bool) -> list[Row]:
    """Turn the knob: wait, cloud work, bytes, energy and memory, against all-cloud and all-device."""
    rows = []
    for load in KNOB_LOADS[:1] if quick else KNOB_LOADS:
        made, classes = _fleets.make(4000 if quick else 20_000, 20, load)
        found = {f"knob {k:g}": settled(made, Objective.balanced(k)) for k in (0.0, 0.5, 1.0)}
        found |= {MIDDLE: alike(made, classes["kind"])}
        found |= {name: _policies.POLICIES[name](made, OBJECTIVE)[0] for name in ("all-cloud", "all-device")}
        points = {name: figures(made, one) for name, one in found.items()}
        for name, point in points.items():
            say(f"load {load}, {name}: " + ", ".join(f"{what} {value:.4g}" for what, value in point.items()))
        rows += knob_rows(points, f"at load {load:g}")
        rows += by_class(made, classes, found, f"at load {load:g}")
    return rows


def alike(made: fleet.Fleet, kinds: Any) -> _policies.Outcome:
    """Return what comes of the knob in the middle where classes of devices are to fare alike."""
    found = fleet.settle_alike(made, Objective.balanced(0.5), kinds, RATIO)
    say(f"p95 by class, predicted: {found.seconds}; prices of a slow sample: {found.price}")
    return _policies.judge(made, found.decision.plan, OBJECTIVE)


def knob_rows(points: dict[str, dict[str, float]], at: str) -> list[Row]:
    """Return the rows of one load."""
    whole, middle = points["all-cloud"], points[MIDDLE]
    worse = sum(dominated(points[name], points.values()) for name in KNOBS)
    claim = f"settings of the knob worse than another way in wait, cloud work and deadlines, {at}"
    share = {what: middle[what] / whole[what] for what in ("mean wait s", "p95 wait s", "cloud s/s")}
    of = f"by all-cloud's, knob in the middle, classes alike, {at}"
    return [
        row(claim, [worse], reach=0, better="lower", unit="settings", points=points),
        row(f"mean wait {of}", [share["mean wait s"]], reach=1.0, better="lower"),
        row(f"p95 wait {of}", [share["p95 wait s"]], reach=1.0, better="lower"),
        row(f"cloud work {of}", [100 * share["cloud s/s"]], reach=20.0, better="lower", unit="%"),
    ]


def settled(made: fleet.Fleet, objective: Objective) -> _policies.Outcome:
    """Return what comes of the fleet's plans under an objective."""
    return _policies.judge(made, fleet.settle(made, objective).plan, objective)


def figures(made: fleet.Fleet, one: _policies.Outcome) -> dict[str, float]:
    """Return the figures that a setting of the knob is read by."""
    weight, (seconds, _) = made.rate / made.rate.sum(), sampled(made, one)
    return {
        "mean wait s": float(weight @ one.mean),
        "p95 wait s": float(np.quantile(seconds, 0.95)),
        "cloud s/s": one.cloud,
        "attained %": 100 * float(one.attained.mean()),
        "uplink bytes": float(weight @ one.sent),
        "device joules": float(weight @ one.joules),
        "peak memory bytes": float(weight @ _fleets.peak_memory(made, one.depth)),
    }


def dominated(point: dict[str, float], others: Iterable[dict[str, float]]) -> bool:
    """Whether another point is at least as good in wait, cloud work and attainment, and better in one."""
    key = (point["mean wait s"], point["cloud s/s"], -point["attained %"])
    rest = [(one["mean wait s"], one["cloud s/s"], -one["attained %"]) for one in others]
    return any(all(a <= b for a, b in zip(one, key, strict=True)) and one != key for one in rest)


def by_class(
    made: fleet.Fleet, classes: dict[str, Any], found: dict[str, _policies.Outcome], at: str
) -> list[Row]:
    """Return how differently classes of devices fare in the middle, and without a price for that."""
    kinds, one = classes["kind"], found[MIDDLE]
    late = {name: p95_by_class(made, kinds, found[name]) for name in (MIDDLE, "knob 0.5", "all-cloud")}
    kept = [100 * float(one.attained[kinds == kind].mean()) for kind in range(3)]
    claim = f"p95 wait of the device class that waits longest by that which waits least, {at}"
    worst = f"deadlines met in the worst device class, where any plan can, {at}"
    ratio = max(late[MIDDLE]) / min(late[MIDDLE])
    return [
        row(claim, [ratio], reach=1.5, better="lower", p95_seconds=late),
        row(worst, [min(kept)], reach=95.0, better="higher", unit="%", classes=kept),
    ]


def p95_by_class(made: fleet.Fleet, kinds: Any, one: _policies.Outcome) -> list[float]:
    """Return the p95 wait of each device class."""
    seconds, device = sampled(made, one)
    return [float(np.quantile(seconds[kinds[device] == kind], 0.95)) for kind in range(3)]


def lateness(*, quick: bool) -> list[Row]:
    """Let each network class learn its margin from samples, and see how many are late after that."""
    made, classes = _fleets.make(3000, 3, 1.0)
    rng, margin, late = np.random.default_rng(0), np.full(3, _fleets.MARGIN), []
    level = fleet.settle(made, OBJECTIVE).level
    for window in range(20 if quick else 60):
        now = replace(made, margin=margin[classes["network"]])
        shares = late_shares(now, classes["network"], level, rng)
        margin = np.array([learnt(*one) for one in zip(margin, shares, strict=True)])
        if window >= WARM_UP:
            late.append(shares)
    off = [100 * abs(float(np.mean(share)) - TARGET) for share in zip(*late, strict=True)]
    say(f"late after warm-up: {np.mean(late, axis=0)}, margins {margin}")
    claim = "late samples off their target of 2 %, worst network class, plans that use up their deadline"
    return [row(claim, [max(off)], reach=0.5, better="lower", unit="points", classes=off)]


def learnt(margin: float, share: float) -> float:
    """Return a class's margin after a window in which this share was late."""
    return fleet.calibrated(margin, round(1e6 * share), 1_000_000, TARGET)


def late_shares(now: fleet.Fleet, network: Any, level: Any, rng: np.random.Generator) -> list[float]:
    """Return, by network class, the share of drawn samples that are late on plans within half a deviation.

    They scatter by more or less than is predicted, on each network otherwise.
    """
    found = fleet.solve(now, OBJECTIVE, level)
    one = fleet.outlook(now, OBJECTIVE, fleet.waits_at(now, OBJECTIVE, level), found.plan)
    really = one.sd * np.array(REALLY)[network]
    width = np.sqrt(np.log1p((really / np.maximum(one.seconds, 1e-9)) ** 2))
    missed = one.seconds * rng.lognormal(-(width**2) / 2, width, (8, len(now))) > now.deadline
    tight = (found.plan >= 0) & (one.seconds + (now.margin + 0.5) * one.sd > now.deadline)
    return [float(missed[:, tight & (network == k)].mean()) for k in range(3)]


def ablation(*, quick: bool) -> list[Row]:
    """Take one part away at a time."""
    size = 4000 if quick else 20_000
    whole = settled(_fleets.make(size, 20, 4.0)[0], OBJECTIVE)
    rows = []
    for part in ("exits", "edge", "activations", "codecs"):
        without = settled(_fleets.make(size, 20, 4.0, leave_out=part)[0], OBJECTIVE)
        times, lost = (
            without.cloud / whole.cloud,
            100 * float(whole.attained.mean() - without.attained.mean()),
        )
        say(f"without {part}: cloud work x {times:.3f}, {lost:.2f} points fewer in time")
        claim = f"cloud work without {part} by that with all, at load 4"
        rows.append(row(claim, [times], reach=1.0, better="higher", points_lost=lost))
    return rows
