"""Whether a plan in force is kept or changed: only for a real and lasting gain, or when it breaks a limit.

Entering a plan takes the deadline with its margin, leaving it takes a miss without margin: between the two
lies a band wider than what noise moves the prediction by, so a deadline near the edge does not flap.
"""

from dataclasses import dataclass, replace

from tierline_scheduler.estimate import Estimate
from tierline_scheduler.objective import Objective, Reluctance
from tierline_scheduler.view import server_name

_LEAST_GAIN = 1e-6  # seconds of work a sample; less is rounding


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How long things have been as they are with one mobile node's plan; times on the state's clock.

    Attributes:
        since: when the plan was put into force.
        broken_since: since when it breaks a limit, without a pause.
        better_since: since when another is really better, without a pause.
        dwell: seconds that this plan stays unless it breaks a limit.
        for_gain: it was chosen because it looked better, not because the one before it had to go.
    """

    since: float
    dwell: float
    for_gain: bool = False
    broken_since: float | None = None
    better_since: float | None = None


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
    now: float,
) -> Verdict:
    """Decide between the plan in force and the best there is.

    Args:
        standing: of the plan in force; None if there is none, or none that we remember.
        current: what the plan in force is predicted to do; None where it cannot be carried out.
        best: the planner's choice.
        objective: the limits.
        reluctance: how much, and for how long, before it counts.
        now: on the clock of `standing`.
    """
    if current is None:
        why = "the first plan" if standing is None else "the plan in force cannot be carried out any more"
        return _changed(why, now, reluctance.dwell)
    standing = standing or Standing(since=now, dwell=reluctance.dwell)
    if (current.names, current.candidate) == (best.names, best.candidate):
        return Verdict(standing=replace(standing, broken_since=None, better_since=None))
    standing = _timed(standing, current, best, objective, reluctance, now)
    why = _must(standing, current, best, objective, reluctance, now)
    if why:
        return _changed(why, now, _next_dwell(standing, reluctance, now))
    lasting = standing.better_since is not None and now - standing.better_since >= reluctance.patience
    if lasting and now - standing.since >= standing.dwell:
        return _changed(gain(current, best, reluctance), now, standing.dwell, for_gain=True)
    return Verdict(standing=standing)


def breach(
    current: Estimate, objective: Objective, reluctance: Reluctance, *, beyond_doubt: bool = False
) -> str:
    """Return which limit a plan in force breaks, without margin and with slack; empty if none.

    Args:
        current: the plan in force.
        objective: the limits.
        reluctance: the slack.
        beyond_doubt: take every uncertainty in the plan's favour.
    """
    seconds = current.least_seconds if beyond_doubt else current.seconds
    if seconds > objective.deadline:
        return f"{current.seconds:.3f} s would miss the deadline of {objective.deadline:g} s"
    allowed = objective.max_utilisation + reluctance.utilisation_slack
    for server, busy in (current.least_utilisation if beyond_doubt else current.utilisation).items():
        if busy > allowed:
            return f"{server_name(server)} would be {current.utilisation[server]:.0%} busy"
    for limit in ("accuracy", "battery"):
        if limit in current.broken:
            return f"the {limit} limit is broken"
    return ""


def gain(current: Estimate, best: Estimate, reluctance: Reluctance) -> str:
    """Return what a change from one plan that keeps the limits to another brings; empty if not enough."""
    saved = current.cost - best.cost
    if saved > max(_LEAST_GAIN, reluctance.gain * current.cost):
        return f"saves {saved / current.cost:.0%} of the work"
    faster = 1 - best.mean_seconds / current.mean_seconds if current.mean_seconds > 0 else 0.0
    if faster > reluctance.speed_gain and saved > -_LEAST_GAIN:
        return f"{faster:.0%} faster at the same work"
    return ""


def _timed(
    standing: Standing,
    current: Estimate,
    best: Estimate,
    objective: Objective,
    reluctance: Reluctance,
    now: float,
) -> Standing:
    """Return the standing with its two timers started, kept running or stopped."""
    broken = breach(current, objective, reluctance) != ""
    better = best.feasible and gain(current, best, reluctance) != ""
    return replace(
        standing,
        broken_since=(now if standing.broken_since is None else standing.broken_since) if broken else None,
        better_since=(now if standing.better_since is None else standing.better_since) if better else None,
    )


def _must(
    standing: Standing,
    current: Estimate,
    best: Estimate,
    objective: Objective,
    reluctance: Reluctance,
    now: float,
) -> str:
    """Return why the plan in force has to go: it breaks a limit for long or beyond doubt; empty if not.

    Where the best there is breaks a limit too, it has to be really faster at least, and is not hurried to:
    when nothing keeps the limits, what is least bad changes with every breath.
    """
    if standing.broken_since is None:
        return ""
    if not best.feasible:
        slow = best.safe_seconds > (1 - reluctance.speed_gain) * current.safe_seconds
        if slow or now - standing.since < standing.dwell:
            return ""
    beyond_doubt = breach(current, objective, reluctance, beyond_doubt=True)
    if not beyond_doubt and now - standing.broken_since < reluctance.persistence:
        return ""
    return breach(current, objective, reluctance)


def _next_dwell(standing: Standing, reluctance: Reluctance, now: float) -> float:
    """Return how long the plan that follows a broken one stays: longer, where a gain was trusted too soon.

    A plan that had to be taken and soon has to go as well says that the world moves, not that we were rash:
    it makes us no more reluctant, or a link that breaks down in steps would not be trusted again for long.
    """
    if now - standing.since >= reluctance.regret:
        return reluctance.dwell
    if not standing.for_gain:
        return standing.dwell
    return min(standing.dwell * reluctance.backoff, reluctance.max_dwell)


def _changed(why: str, now: float, dwell: float, *, for_gain: bool = False) -> Verdict:
    return Verdict(standing=Standing(since=now, dwell=dwell, for_gain=for_gain), change=why)
