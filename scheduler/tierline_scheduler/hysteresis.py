"""Whether a plan in force is kept or changed: a change must pay for itself within the horizon.

What is compared is the expected cost of a sample, late samples paid for by their probability: it moves
smoothly with what is measured, where a limit would flip. Noise then moves the comparison a little, and never
enough to pay for a change, while a collapse pays at once.
"""

from dataclasses import dataclass

from tierline_scheduler.estimate import Estimate
from tierline_scheduler.objective import Objective, Reluctance
from tierline_scheduler.view import server_name

_LEAST_GAIN = 1e-6  # seconds of work a sample; less is rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is remembered of a mobile node's plan from round to round: when it was put into force."""

    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Change to the best plan if `change` says why, else keep the one in force."""

    standing: Standing
    change: str = ""


def keep_or_switch(
    standing: Standing | None,
    current: Estimate | None,
    best: Estimate,
    objective: Objective,
    reluctance: Reluctance,
    *,
    now: float,
) -> Verdict:
    """Decide between the plan in force and the best there is.

    Args:
        standing: of the plan in force; None if there is none, or none that we remember.
        current: what the plan in force is predicted to do; None where it cannot be carried out.
        best: the planner's choice.
        objective: the limits.
        reluctance: what a change must bring.
        now: on the state's clock.
    """
    if current is None:
        why = "the first plan" if standing is None else "the plan in force cannot be carried out any more"
        return Verdict(standing=Standing(since=now), change=why)
    standing = standing or Standing(since=now)
    if (current.names, current.candidate) == (best.names, best.candidate):
        return Verdict(standing=standing)
    why = breach(current, best, objective, reluctance) or gain(current, best, objective, reluctance)
    return Verdict(standing=Standing(since=now) if why else standing, change=why)


def breach(current: Estimate, best: Estimate, objective: Objective, reluctance: Reluctance) -> str:
    """Return which hard limit a plan in force breaks beyond doubt that the best keeps; empty if none."""
    for limit in ("accuracy", "battery"):
        if limit in current.broken and limit not in best.broken:
            return f"the {limit} limit is broken"
    if "utilisation" in best.broken:
        return ""
    allowed = objective.max_utilisation + reluctance.utilisation_slack
    for server, busy in current.least_utilisation.items():
        if busy > allowed:
            return f"{server_name(server)} would be {current.utilisation[server]:.0%} busy"
    return ""


def gain(current: Estimate, best: Estimate, objective: Objective, reluctance: Reluctance) -> str:
    """Return what a change brings; empty if it does not pay for itself within the horizon.

    Gain and price are both proportional to the samples per second, which therefore do not matter.
    """
    saved = current.expected - best.expected
    if abs(saved) <= _LEAST_GAIN:
        return _speed_gain(current, best, reluctance)
    price = reluctance.switch_seconds * objective.late_cost
    if saved * reluctance.horizon <= price or saved <= reluctance.gain * current.expected:
        return ""
    if objective.late_cost * (current.late - best.late) > saved / 2:
        deadline = f"the deadline of {objective.deadline:g} s"
        return f"{current.late:.0%} instead of {best.late:.0%} would miss {deadline}"
    return f"saves {saved / current.expected:.0%} of the work"


def _speed_gain(current: Estimate, best: Estimate, reluctance: Reluctance) -> str:
    if current.mean_seconds <= 0 or best.late > current.late:
        return ""
    faster = 1 - best.mean_seconds / current.mean_seconds
    return f"{faster:.0%} faster at the same work" if faster > reluctance.speed_gain else ""
