"""The summary document, from outcomes given as values."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tierline_broker import Tier
from tierline_replay import Outcome, document, summarise, verdict
from tierline_replay.cost import abstract_cost

M, E, C = Tier.MOBILE, Tier.EDGE, Tier.CLOUD

FIELDS = [
    "requests", "answered", "failed", "lost", "duplicates", "degraded", "accuracy", "accuracy_all_cloud",
    "tier_share", "latency_seconds", "uplink_bytes", "uplink_bytes_all_cloud", "work_seconds",
    "cloud_work_saved", "cost_saved", "deadline_met", "plans", "seed",
]  # fmt: skip


@pytest.fixture
def outcomes(ended: Callable[..., Outcome], step: Callable[..., Any]) -> list[Outcome]:
    """Four inputs and the same four all in the cloud: one stays, two travel as activations, one fails."""
    phone = step(M, 0, 2, compute=0.2, received=100)
    near = step(E, 2, 4, compute=0.06, received=9000)
    far = step(C, 4, 6, compute=0.01, received=8000)
    passed = step(M, 0, 0, received=100)
    whole = step(C, 0, 6, compute=0.04, received=100)
    return [
        ended(0, phone, tier=M, seconds=0.1),
        ended(1, phone, near, tier=E, answer="negative", seconds=0.2),
        ended(2, phone, near, far, tier=C, degraded=True, seconds=0.4),
        ended(3, phone, tier=E, error="no-route", seconds=0.5),
        *(ended(index, passed, whole, tier=C, all_cloud=True, seconds=0.3) for index in range(3)),
        ended(3, passed, tier=None, all_cloud=True),
    ]


@pytest.fixture
def found(outcomes: list[Outcome]) -> dict[str, Any]:
    """The document of these outcomes."""
    summary = summarise(outcomes, requests=4, deadline=0.25, duplicates=1, plans=2, seed=7)
    return document(summary, outcomes, deadline_seconds=0.25)


def test_the_document_has_the_promised_fields_and_is_json(found: dict[str, Any]) -> None:
    assert list(found)[: len(FIELDS)] == FIELDS
    assert json.loads(json.dumps(found)) == found


def test_every_request_is_counted_once(found: dict[str, Any]) -> None:
    assert (found["requests"], found["answered"], found["failed"]) == (4, 3, 1)
    assert (found["lost"], found["duplicates"], found["degraded"]) == (0, 1, 1)
    assert (found["plans"], found["seed"]) == (2, 7)


def test_a_request_without_any_outcome_is_lost(ended: Callable[..., Outcome]) -> None:
    one = [ended(0, tier=M), ended(1, tier=None)]

    summary = summarise(one, requests=3, deadline=1.0, duplicates=0, plans=0, seed=0)

    assert (summary.answered, summary.failed, summary.lost) == (1, 2, 2)


def test_accuracy_is_that_of_answers_whose_truth_is_known(found: dict[str, Any]) -> None:
    assert found["accuracy"] == pytest.approx(2 / 3)
    assert found["accuracy_all_cloud"] == 1.0


def test_accuracy_is_unknown_without_labels(ended: Callable[..., Outcome]) -> None:
    summary = summarise([ended(label=None)], requests=1, deadline=1.0, duplicates=0, plans=0, seed=0)

    assert summary.accuracy is None
    assert summary.accuracy_all_cloud is None


def test_tiers_share_the_answers(found: dict[str, Any]) -> None:
    assert found["tier_share"] == {tier: pytest.approx(1 / 3) for tier in ("mobile", "edge", "cloud")}


def test_latency_is_that_of_answers(found: dict[str, Any]) -> None:
    assert found["latency_seconds"]["p50"] == pytest.approx(0.2)
    assert found["latency_seconds"]["mean"] == pytest.approx(0.7 / 3)
    assert found["latency_seconds"]["p99"] == pytest.approx(0.396)
    assert found["all_cloud"]["latency_seconds"]["p50"] == pytest.approx(0.3)


def test_the_deadline_is_met_by_requests_that_were_answered_in_time(found: dict[str, Any]) -> None:
    assert found["deadline_met"] == 2 / 4


def test_uplink_bytes_are_those_that_left_the_phone(found: dict[str, Any]) -> None:
    assert found["uplink_bytes"] == 2 * 9000
    assert found["uplink_bytes_all_cloud"] == 3 * 100


def test_work_is_what_each_tier_was_busy_for(found: dict[str, Any]) -> None:
    assert found["work_seconds"] == {
        "mobile": pytest.approx(0.8), "edge": pytest.approx(0.12), "cloud": pytest.approx(0.01)
    }  # fmt: skip
    assert found["all_cloud"]["cloud_work_seconds"] == pytest.approx(0.12)


def test_savings_are_over_inputs_that_both_answered(found: dict[str, Any]) -> None:
    ours = (0.2) + (0.4 + 0.3) + (0.6 + 0.3 + 0.6)

    assert found["cloud_work_saved"] == pytest.approx(1 - 0.01 / 0.12)
    assert found["cost_saved"] == pytest.approx(1 - ours / (3 * 1.2))
    assert found["cost_constants"] == {"block": 0.1, "offload": {"edge": 0.3, "cloud": 0.6}}


def test_nothing_answered_is_nothing_saved() -> None:
    summary = summarise([], requests=2, deadline=1.0, duplicates=0, plans=0, seed=0)

    assert (summary.failed, summary.lost) == (2, 2)
    assert (summary.cloud_work_saved, summary.cost_saved, summary.deadline_met) == (0.0, 0.0, 0.0)
    assert set(summary.latency_seconds.values()) == {0.0}


def test_the_abstract_cost_counts_blocks_and_offloads(step: Callable[..., Any]) -> None:
    assert abstract_cost([step(M, 0, 2)]) == pytest.approx(0.2)
    assert abstract_cost([step(M, 0, 0), step(C, 0, 6)]) == pytest.approx(1.2)
    assert abstract_cost([step(M, 0, 2), step(E, 2, 2), step(C, 2, 6)]) == pytest.approx(1.5)


def test_the_sentence_tells_savings_and_prices_apart(found: dict[str, Any]) -> None:
    told = verdict(found)

    assert "saved 91% of the cloud's work and 33% of the median latency" in told
    assert "raised the phone's upload 60.0 times (an activation is larger than the input" in told
    assert "66.7% of its answers were right, 100.0% all in the cloud" in told
    assert "1 of 4 requests failed" in told


def test_the_sentence_claims_nothing_that_was_not_measured(found: dict[str, Any]) -> None:
    same = {
        **found, "cloud_work_saved": 0.004, "uplink_bytes": 300, "failed": 0, "accuracy": None,
        "latency_seconds": {"p50": 0.302},
    }  # fmt: skip

    assert verdict(same) == (
        "Against the same inputs all sent to the cloud, this run saved nothing that was measured."
    )


def test_the_sentence_tells_a_saved_upload(found: dict[str, Any]) -> None:
    assert "60% of the phone's upload" in verdict({**found, "uplink_bytes": 120})
    assert "larger than the input" not in verdict({**found, "uplink_bytes": 120})


def test_small_prices_are_told_in_percent(found: dict[str, Any]) -> None:
    slower = {**found, "latency_seconds": {"p50": 0.36}, "uplink_bytes": 360}

    assert "raised the phone's upload by 20% (an act" in verdict(slower)
    assert "and the median latency by 20%;" in verdict(slower)
