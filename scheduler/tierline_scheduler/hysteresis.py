"""Whether a plan in force is kept or changed: a change must pay for itself within the horizon.

What is compared is the expected cost of a sample, late samples paid for by their probability: it moves
smoothly with what is measured, where a limit would flip. Noise then moves the comparison a little, and never
enough to pay for a change, while a collapse pays at once. Where little is at stake, a plan that
costs less than half pays once it has been there for some time without a break: it may be expected to stay.
What counts as late is what will be within the horizon: a link that moves much makes what is gained now less,
and keeps a plan that hangs on it from being taken only because it is faster.
A plan that takes the same way and only wants another gain of its samples disturbs nothing, and need not pay.
"""

import math
from collections.abc import Collection
from dataclasses import dataclass, replace

from tierline_scheduler.chance import allowed_late
from tierline_scheduler.estimate import Estimate
from tierline_scheduler.objective import Objective, Reluctance
from tierline_scheduler.view import Server, server_name

_LEAST_GAIN = 1e-6  # seconds of work a sample; less is rounding
_SURE = 0.7  # of the share of samples that may be late
_LARGE = 0.5  # of the cost; smaller gains come and go with the noise


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What is remembered of a mobile node's plan from round to round.

    Attributes:
        since: when it was put into force.
        better_since: from when on, without a break, another has cost less than half and surely been in time.
    """

    since: float
    better_since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """Change to the best plan if `change` says why, else keep the one in force.

    Attributes:
        standing: to be remembered.
        change: why; empty where the plan stays.
        forced: whether the plan in force cannot stay, whatever a change costs others.
    """

    standing: Standing
    change: str = ""
    forced: bool = False


def keep_or_switch(
    standing: Standing | None,
    current: Estimate | None,
    best: Estimate,
    objective: Objective,
    reluctance: Reluctance,
    *,
    now: float,
    needed: Collection[str] = (),
) -> Verdict:
    """Decide between the plan in force and the best there is.

    Args:
        standing: of the plan in force; None if there is none, or none that we remember.
        current: what the plan in force is predicted to do; None where it cannot be carried out.
        best: the planner's choice.
        objective: the limits.
        reluctance: what a change must bring.
        now: on the state's clock.
        needed: nodes that others need, where the best keeps off those that are too busy.
    """
    if current is None:
        why = "the first plan" if standing is None else "the plan in force cannot be carried out any more"
        return Verdict(standing=Standing(since=now), change=why, forced=True)
    standing = standing or Standing(since=now)
    if (current.names, current.candidate) == (best.names, best.candidate):
        return Verdict(standing=replace(standing, better_since=None))
    standing = _timed(standing, current, best, objective, reluctance, now)
    horizon = _lasting(standing, reluctance, now)
    free = _same_way(current, best) and now - standing.since >= reluctance.horizon
    forced = breach(current, best, objective, reluctance, needed)
    why = forced or gain(current, best, objective, reluctance, math.inf if free else horizon)
    return Verdict(standing=Standing(since=now) if why else standing, change=why, forced=bool(forced))


def _same_way(current: Estimate, best: Estimate) -> bool:
    """Whether the same blocks run on the same nodes, so that only what samples are let go is changed."""
    ways = [[(leg.tier, leg.layer) for leg in one.candidate.legs] for one in (current, best)]
    return current.names == best.names and ways[0] == ways[1]


def _timed(
    standing: Standing,
    current: Estimate,
    best: Estimate,
    objective: Objective,
    reluctance: Reluctance,
    now: float,
) -> Standing:
    sure = best.late <= _SURE * allowed_late(
        objective.margin
    )  # else the gain may be gone with the next report
    better = sure and current.expected - best.expected > max(_LEAST_GAIN, _LARGE * current.expected)
    since = now if standing.better_since is None else standing.better_since
    return replace(standing, better_since=since if better else None)


def _lasting(standing: Standing, reluctance: Reluctance, now: float) -> float:
    """Return the seconds for which a gain may be expected to last on, given how long it has lasted."""
    lasted = 0.0 if standing.better_since is None else now - standing.better_since
    return max(reluctance.horizon, reluctance.trust * lasted)


def breach(
    current: Estimate,
    best: Estimate,
    objective: Objective,
    reluctance: Reluctance,
    needed: Collection[str] = (),
) -> str:
    """Return which hard limit a plan in force breaks beyond doubt that the best keeps; empty if none.

    Where the best breaks them too, a node that others need is still left to them.
    """
    for limit in ("accuracy", "battery"):
        if limit in current.broken and limit not in best.broken:
            return f"the {limit} limit is broken"
    everywhere = "utilisation" not in best.broken
    allowed = objective.max_utilisation + reluctance.utilisation_slack
    for server, busy in current.least_utilisation.items():
        leaves = server in needed and _asked(best, server) < (1 - reluctance.gain) * _asked(current, server)
        if busy > allowed and (everywhere or leaves):
            return f"{server_name(server)} would be {current.utilisation[server]:.0%} busy"
    return ""


def _asked(found: Estimate, server: Server) -> float:
    return found.loads[server].utilisation if server in found.loads else 0.0


def gain(
    current: Estimate, best: Estimate, objective: Objective, reluctance: Reluctance, horizon: float
) -> str:
    """Return what a change brings; empty if it does not pay for itself within so many seconds.

    Gain and price are both proportional to the samples per second, which therefore do not matter.
    """
    saved = current.expected - best.expected
    if abs(saved) <= _LEAST_GAIN:
        return _speed_gain(current, best, reluctance)
    price = reluctance.switch_seconds * objective.late_cost
    if saved * horizon <= price or saved <= reluctance.gain * current.expected:
        return ""
    if objective.late_cost * (current.late - best.late) > saved / 2:
        deadline = f"the deadline of {objective.deadline:g} s"
        return f"{current.late:.0%} instead of {best.late:.0%} would miss {deadline}"
    return f"saves {saved / current.expected:.0%} of the work"


def _speed_gain(current: Estimate, best: Estimate, reluctance: Reluctance) -> str:
    riskier = best.late > current.late or best.late_ahead > current.late_ahead
    if current.mean_seconds <= 0 or riskier:
        return ""
    faster = 1 - best.mean_seconds / current.mean_seconds
    return f"{faster:.0%} faster at the same work" if faster > reluctance.speed_gain else ""
