"""What a run leaves beside its summary: what was emulated, how the plan moved, each phase, each outcome."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from tierline_replay.live import Live, PlanSeen
from tierline_replay.outcome import Outcome, uplink_bytes
from tierline_replay.summary import latency, split_by_kind, tier_share
from tierline_replay.watch import route_in_words
from tierline_replay.world import Change


def describe(live: Live, changes: Sequence[Change], *, bundle: str) -> dict[str, Any]:
    """Return what belongs beside the summary."""
    return {
        "bundle": bundle,
        "deadline_seconds": live.deadline,
        "seconds": max((one.request.due + one.seconds for one in live.outcomes), default=0.0),
        "emulated": {
            "on": "one machine; seconds of work include the emulated slowness, and so do latencies the links",
            "slowdown": {tier.value: factor for tier, factor in changes[0].world.slowdown.items()},
            "rtt_seconds": {tier.value: rtt for tier, rtt in changes[0].world.rtt.items()},
            "max_layer": {name: profile.max_layer for name, profile in live.profiles.items()},
        },
        "phases": phase_table(live, changes),
        "plan_history": [plan_row(seen) for seen in live.plans],
    }


def plan_row(seen: PlanSeen) -> dict[str, Any]:
    """Return a plan as data: when it came, its stages, why."""
    plan = seen.plan
    return {
        "at": seen.at,
        "version": plan.version,
        "route": route_in_words(plan),
        "stages": [stage.model_dump(mode="json") for stage in plan.route.stages],
        "reason": plan.reason,
        "predicted_seconds": plan.predicted_seconds,
        "predicted_shares": {tier.value: share for tier, share in plan.predicted_shares.items()},
    }


def phase_table(live: Live, changes: Sequence[Change]) -> list[dict[str, Any]]:
    """Return a row for each phase: who answered then, how fast, and by which plan at its end."""
    rows: list[dict[str, Any]] = []
    starts = [one for k, one in enumerate(changes) if k == 0 or one.world.name != changes[k - 1].world.name]
    ours, _ = split_by_kind(live.outcomes)
    for start, end in zip(starts, [*(one.at for one in starts[1:]), float("inf")], strict=True):
        inside = [one for one in ours if start.at <= one.request.due < end]
        plans = [seen for seen in live.plans if seen.at < end]
        rows.append(
            {
                "name": start.world.name,
                "from": start.at,
                "uplink_bytes_per_second": start.world.uplink,
                "slowdown": {tier.value: factor for tier, factor in start.world.slowdown.items()},
                "requests": len(inside),
                "tier_share": tier_share(inside),
                "latency_seconds": latency(inside),
                "plan": plan_row(plans[-1]) if plans else None,
            }
        )
    return rows


def outcome_lines(outcomes: Iterable[Outcome]) -> Iterable[str]:
    """Yield each outcome as one line of JSON, in order of time."""
    for one in sorted(outcomes, key=lambda one: (one.request.due, one.request.index)):
        yield json.dumps(outcome_row(one)) + "\n"


def outcome_row(outcome: Outcome) -> dict[str, Any]:
    """Return how one request ended as data."""
    result, request = outcome.result, outcome.request
    answer = None if result is None else result.answer
    error = None if result is None else result.error
    return {
        "index": request.index,
        "all_cloud": request.all_cloud,
        "due": request.due,
        "sent": outcome.sent,
        "seconds": outcome.seconds,
        "label": request.sample.label,
        "answer": None if answer is None else answer.label,
        "confidence": None if answer is None else answer.confidence,
        "tier": None if result is None or answer is None else result.tier.value,
        "degraded": result is not None and result.degraded,
        "error": "lost" if result is None else None if error is None else error.code,
        "plan": None if result is None else result.plan,
        "uplink_bytes": uplink_bytes(outcome),
        "steps": [step.model_dump(mode="json") for step in outcome.steps],
    }
