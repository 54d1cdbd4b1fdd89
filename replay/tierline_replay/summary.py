"""The summary document: a pure function from how every request ended to the fields that scripts rely on."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from tierline_broker import Tier
from tierline_replay.cost import abstract_cost, constants
from tierline_replay.outcome import Outcome, busy_seconds, uplink_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What a run came to; the field names are fixed.

    Attributes:
        requests: inputs sent.
        answered: with an answer, degraded ones included; `failed` is the rest.
        lost: requests that had no outcome at all.
        duplicates: results that came a second time.
        degraded: answers of an earlier exit than planned.
        accuracy: share of answers that are right; None where no true labels are known.
        accuracy_all_cloud: the same of the same inputs with everything in the cloud, in the same run.
        tier_share: share of answers given at each tier.
        latency_seconds: of answers, from when the request was due.
        uplink_bytes: payload that left the mobile node.
        work_seconds: busy seconds of each tier's device, emulated slowness included.
        cloud_work_saved: 1 - cloud work / cloud work of all-cloud, over inputs that both answered.
        cost_saved: the same of the abstract cost.
        deadline_met: share of requests answered within the deadline.
        plans: how many plans the mobile node was given during the run.
        seed: of inputs and times.
    """

    requests: int
    answered: int
    failed: int
    lost: int
    duplicates: int
    degraded: int
    accuracy: float | None
    accuracy_all_cloud: float | None
    tier_share: dict[str, float]
    latency_seconds: dict[str, float]
    uplink_bytes: int
    uplink_bytes_all_cloud: int
    work_seconds: dict[str, float]
    cloud_work_saved: float
    cost_saved: float
    deadline_met: float
    plans: int
    seed: int


def summarise(
    outcomes: Iterable[Outcome], *, requests: int, deadline: float, duplicates: int, plans: int, seed: int
) -> Summary:
    """Return the summary of a run.

    Args:
        outcomes: of both kinds, the run's own requests and the same inputs all in the cloud.
        requests: how many of the run's own were sent.
        deadline: seconds within which answers were wanted.
        duplicates: results that came a second time.
        plans: that the mobile node was given.
        seed: of inputs and times.
    """
    ours, cloud = split_by_kind(outcomes)
    answers = [one for one in ours if one.answered]
    heard = sum(one.result is not None for one in ours)
    pairs = answered_by_both(ours, cloud)
    return Summary(
        requests=requests,
        answered=len(answers),
        failed=requests - len(answers),
        lost=requests - heard,
        duplicates=duplicates,
        degraded=sum(one.result is not None and one.result.degraded for one in answers),
        accuracy=accuracy(ours),
        accuracy_all_cloud=accuracy(cloud),
        tier_share=tier_share(ours),
        latency_seconds=latency(ours),
        uplink_bytes=sum(map(uplink_bytes, ours)),
        uplink_bytes_all_cloud=sum(map(uplink_bytes, cloud)),
        work_seconds={tier.value: sum(busy_seconds(one, tier) for one in ours) for tier in Tier},
        cloud_work_saved=_saved(pairs, lambda one: busy_seconds(one, Tier.CLOUD)),
        cost_saved=_saved(pairs, lambda one: abstract_cost(one.steps)),
        deadline_met=sum(one.seconds <= deadline for one in answers) / requests if requests else 0.0,
        plans=plans,
        seed=seed,
    )


def document(summary: Summary, outcomes: Iterable[Outcome], **more: Any) -> dict[str, Any]:
    """Return the summary as the JSON document, with the cost's constants and what else is worth knowing."""
    _, cloud = split_by_kind(outcomes)
    all_cloud = {
        "answered": sum(one.answered for one in cloud),
        "failed": sum(not one.answered for one in cloud),
        "latency_seconds": latency(cloud),
        "cloud_work_seconds": sum(busy_seconds(one, Tier.CLOUD) for one in cloud),
    }
    return asdict(summary) | {"cost_constants": constants(), "all_cloud": all_cloud} | more


def split_by_kind(outcomes: Iterable[Outcome]) -> tuple[list[Outcome], list[Outcome]]:
    """Return the run's own outcomes, and those of the same inputs all in the cloud."""
    ours: list[Outcome] = []
    cloud: list[Outcome] = []
    for one in outcomes:
        (cloud if one.request.all_cloud else ours).append(one)
    return ours, cloud


def answered_by_both(ours: Sequence[Outcome], cloud: Sequence[Outcome]) -> list[tuple[Outcome, Outcome]]:
    """Return the outcomes of inputs that were answered both ways, so that a failure never looks thrifty."""
    answers = {one.request.index: one for one in cloud if one.answered}
    return [
        (one, answers[one.request.index]) for one in ours if one.answered and one.request.index in answers
    ]


def accuracy(outcomes: Iterable[Outcome]) -> float | None:
    """Return the share of answers that are right; None where no true labels are known."""
    known = [one.right for one in outcomes if one.right is not None]
    return sum(known) / len(known) if known else None


def tier_share(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """Return the share of answers given at each tier; zeros without any."""
    tiers = [one.result.tier for one in outcomes if one.answered and one.result is not None]
    return {tier.value: tiers.count(tier) / max(1, len(tiers)) for tier in Tier}


def latency(outcomes: Iterable[Outcome]) -> dict[str, float]:
    """Return percentiles and mean of the answers' seconds; zeros without any."""
    seconds = np.array([one.seconds for one in outcomes if one.answered])
    if seconds.size == 0:
        return dict.fromkeys(("p50", "p95", "p99", "mean"), 0.0)
    found = {f"p{rank}": float(np.percentile(seconds, rank)) for rank in (50, 95, 99)}
    return found | {"mean": float(seconds.mean())}


def _saved(pairs: Sequence[tuple[Outcome, Outcome]], price: Callable[[Outcome], float]) -> float:
    """Return 1 - price of the run's own / price of all-cloud; 0 where all-cloud cost nothing."""
    all_cloud = sum(price(cloud) for _, cloud in pairs)
    return 1 - sum(price(ours) for ours, _ in pairs) / all_cloud if all_cloud > 0 else 0.0
