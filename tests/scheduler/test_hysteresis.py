from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierline_scheduler import Estimate, Objective, Reluctance, Standing, Verdict, keep_or_switch
from tierline_scheduler.planner import choose
from tierline_scheduler.view import Traffic

OBJECTIVE = Objective(deadline=0.5, late_cost=0.2)
RELUCTANCE = Reluctance()
LONG_AGO = Standing(since=-1000.0)


@pytest.fixture(scope="module")
def good(kit: Any) -> Estimate:
    """A plan that keeps every limit, with plain figures."""
    state = kit.deployment(kit.text.card)
    choice = choose(state, state.nodes["mobile-0"], OBJECTIVE, Traffic())
    assert choice is not None
    return replace(
        choice.best,
        mean_seconds=0.2,
        late=0.0,
        cost=0.03,
        expected=0.03,
        utilisation={"mobile-0": 0.5},
        least_utilisation={"mobile-0": 0.45},
        broken=(),
    )


@pytest.fixture(scope="module")
def other(good: Estimate) -> Estimate:
    """The same figures on another node."""
    return replace(good, names=("mobile-0", "edge-9"))


def decide(standing: Standing | None, current: Estimate | None, best: Estimate, now: float = 0.0) -> Verdict:
    return keep_or_switch(standing, current, best, OBJECTIVE, RELUCTANCE, now=now)


def late(plan: Estimate, share: float) -> Estimate:
    return replace(plan, late=share, expected=plan.cost + OBJECTIVE.late_cost * share)


def test_the_first_plan_is_put_into_force_at_once(good: Estimate) -> None:
    verdict = decide(None, None, good, 7.0)

    assert verdict == Verdict(standing=Standing(since=7.0), change="the first plan", forced=True)


def test_a_plan_that_cannot_be_carried_out_is_changed_at_once(good: Estimate) -> None:
    assert "cannot be carried out" in decide(Standing(since=-0.1), None, good).change


def test_a_plan_found_in_force_at_the_start_is_taken_over(good: Estimate) -> None:
    assert decide(None, good, good) == Verdict(standing=Standing(since=0.0))


def test_the_best_plan_stays(good: Estimate) -> None:
    assert decide(LONG_AGO, good, good) == Verdict(standing=LONG_AGO)


def test_a_gain_that_does_not_pay_for_the_change_within_the_horizon_is_left(
    good: Estimate, other: Estimate
) -> None:
    least = RELUCTANCE.switch_seconds * OBJECTIVE.late_cost / RELUCTANCE.horizon

    assert decide(LONG_AGO, good, replace(other, expected=good.expected - 0.99 * least)).change == ""
    assert decide(LONG_AGO, good, replace(other, expected=good.expected - 1.01 * least)).change == (
        "saves 34% of the work"
    )


def seconds_until_a_change(current: Estimate, best: Estimate) -> int | None:
    """Decide once a second for two minutes, and return when it was a change."""
    standing = LONG_AGO
    for now in range(120):
        verdict = decide(standing, current, best, float(now))
        if verdict.change:
            return now
        standing = verdict.standing
    return None


def test_a_cost_halved_for_some_time_pays_sooner_the_more_it_saves(good: Estimate, other: Estimate) -> None:
    cheap = replace(good, cost=0.002, expected=0.002)
    price = RELUCTANCE.switch_seconds * OBJECTIVE.late_cost

    for saved in (0.0011, 0.0015, 0.0019):
        better = replace(other, cost=cheap.cost - saved, expected=cheap.cost - saved)
        waited = seconds_until_a_change(cheap, better)
        assert waited == pytest.approx(price / saved / RELUCTANCE.trust, abs=1.0)


def test_a_gain_that_breaks_off_or_is_risky_or_not_large_earns_no_trust(
    good: Estimate, other: Estimate
) -> None:
    cheap = replace(good, cost=0.002, expected=0.002)
    better = replace(other, cost=0.0009, expected=0.0009)
    waiting = decide(LONG_AGO, cheap, better).standing

    assert waiting.better_since == 0.0
    assert decide(waiting, cheap, cheap, 4.0).standing.better_since is None
    assert seconds_until_a_change(cheap, replace(better, late=0.04)) is None
    assert seconds_until_a_change(cheap, replace(better, expected=0.0011)) is None


def test_a_share_of_the_cost_that_noise_explains_is_left(good: Estimate, other: Estimate) -> None:
    dear = replace(good, cost=1.0, expected=1.0)

    assert decide(LONG_AGO, dear, replace(other, expected=0.91)).change == ""
    assert decide(LONG_AGO, dear, replace(other, expected=0.89)).change == "saves 11% of the work"


def test_a_likely_miss_is_a_reason_and_is_named(good: Estimate, other: Estimate) -> None:
    dearer = replace(late(other, 0.01), cost=0.04, expected=0.042)
    verdict = decide(Standing(since=-0.5), late(good, 0.4), dearer)

    assert verdict.change == "40% instead of 1% would miss the deadline of 0.5 s"
    assert verdict.standing == Standing(since=0.0)


def test_a_plan_a_little_over_what_may_be_late_is_kept(good: Estimate, other: Estimate) -> None:
    assert decide(LONG_AGO, late(good, 0.08), late(other, 0.04)).change == ""


def test_the_same_cost_counts_only_where_it_is_much_faster(good: Estimate, other: Estimate) -> None:
    assert decide(LONG_AGO, good, replace(other, mean_seconds=0.16)).change == ""
    assert decide(LONG_AGO, good, replace(other, mean_seconds=0.1)).change == "50% faster at the same work"
    later = replace(other, mean_seconds=0.1, late=0.01)
    assert decide(LONG_AGO, good, later).change == ""
    # In time now, but the link that it hangs on moves: who needs no link stays.
    unsteady = replace(other, mean_seconds=0.1, late_ahead=good.late_ahead + 0.01)
    assert decide(LONG_AGO, good, unsteady).change == ""


@pytest.mark.parametrize("limit", ["accuracy", "battery"])
def test_a_broken_limit_that_another_plan_keeps_ends_a_plan(
    good: Estimate, other: Estimate, limit: str
) -> None:
    broken = replace(good, broken=(limit,))

    assert decide(LONG_AGO, broken, other).change == f"the {limit} limit is broken"
    assert decide(LONG_AGO, broken, replace(other, broken=(limit,))).change == ""


def test_a_node_too_busy_beyond_doubt_ends_a_plan(good: Estimate, other: Estimate) -> None:
    link = ("mobile-0", "edge-0")
    busy = replace(good, utilisation={link: 1.2}, least_utilisation={link: 0.95})

    assert decide(LONG_AGO, busy, other).change == "the link from mobile-0 to edge-0 would be 120% busy"
    assert decide(LONG_AGO, busy, replace(other, broken=("utilisation",))).change == ""
    unsure = replace(busy, least_utilisation={link: 0.85})
    assert decide(LONG_AGO, unsure, other).change == ""


@given(expected=st.floats(0.001, 1.0), best=st.floats(0.001, 1.0), shares=st.tuples(*[st.floats(0, 1)] * 2))
@settings(max_examples=200)
def test_a_change_is_never_worse_than_keeping_the_plan_by_more_than_it_costs(
    good: Estimate, other: Estimate, expected: float, best: float, shares: tuple[float, float]
) -> None:
    current = replace(good, expected=expected, late=shares[0])
    verdict = decide(LONG_AGO, current, replace(other, expected=best, late=shares[1]))

    saved = (expected - best) * RELUCTANCE.horizon
    if verdict.change:
        assert saved > RELUCTANCE.switch_seconds * OBJECTIVE.late_cost or abs(expected - best) < 1e-5
    assert verdict == decide(LONG_AGO, current, replace(other, expected=best, late=shares[1]))
