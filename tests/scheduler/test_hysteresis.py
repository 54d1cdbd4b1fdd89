from dataclasses import replace
from typing import Any

import pytest

from tierline_scheduler import Estimate, Objective, Reluctance, Standing, Verdict, keep_or_switch
from tierline_scheduler.hysteresis import breach, gain
from tierline_scheduler.planner import choose
from tierline_scheduler.view import Traffic

OBJECTIVE = Objective(deadline=0.5)
RELUCTANCE = Reluctance()
LONG_AGO = Standing(since=-1000.0, dwell=5.0)


@pytest.fixture(scope="module")
def good(kit: Any) -> Estimate:
    """A plan that keeps every limit, with plain figures."""
    state = kit.deployment(kit.text.card)
    choice = choose(state, state.nodes["mobile-0"], OBJECTIVE, Traffic())
    assert choice is not None
    return replace(
        choice.best,
        seconds=0.3,
        least_seconds=0.28,
        safe_seconds=0.4,
        mean_seconds=0.2,
        cost=0.010,
        utilisation={"mobile-0": 0.5},
        least_utilisation={"mobile-0": 0.45},
        broken=(),
    )


@pytest.fixture(scope="module")
def other(good: Estimate) -> Estimate:
    """The same figures on another node."""
    return replace(good, names=("mobile-0", "edge-9"))


def decide(standing: Standing | None, current: Estimate | None, best: Estimate, now: float = 0.0) -> Verdict:
    return keep_or_switch(standing, current, best, OBJECTIVE, RELUCTANCE, now)


def lasting(current: Estimate, best: Estimate, seconds: int, standing: Standing = LONG_AGO) -> list[int]:
    """When, in rounds of a second, a plan in force gives way to the best, everything staying as it is."""
    for now in range(seconds):
        verdict = decide(standing, current, best, float(now))
        standing = verdict.standing
        if verdict.change:
            return [now]
    return []


def test_the_first_plan_is_put_into_force_at_once(good: Estimate) -> None:
    verdict = decide(None, None, good, 7.0)

    assert verdict.change == "the first plan"
    assert verdict.standing == Standing(since=7.0, dwell=RELUCTANCE.dwell)


def test_a_plan_that_cannot_be_carried_out_is_changed_at_once(good: Estimate) -> None:
    just_now = Standing(since=-0.1, dwell=300.0)

    assert "cannot be carried out" in decide(just_now, None, good).change


def test_a_plan_found_in_force_at_the_start_is_taken_over(good: Estimate) -> None:
    assert decide(None, good, good) == Verdict(standing=Standing(since=0.0, dwell=5.0))


def test_the_best_plan_stays_and_its_timers_stop(good: Estimate) -> None:
    standing = replace(LONG_AGO, broken_since=-3.0, better_since=-3.0)

    assert decide(standing, good, good) == Verdict(standing=LONG_AGO)


def test_a_small_gain_is_never_worth_a_change(good: Estimate, other: Estimate) -> None:
    assert lasting(good, replace(other, cost=0.009), 100) == []
    assert lasting(good, replace(other, mean_seconds=0.17), 100) == []


def test_a_real_gain_is_taken_when_it_lasts(good: Estimate, other: Estimate) -> None:
    assert lasting(good, replace(other, cost=0.007), 100) == [2]
    assert lasting(good, replace(other, mean_seconds=0.1), 100) == [2]


def test_a_gain_that_comes_and_goes_is_not_taken(good: Estimate, other: Estimate) -> None:
    standing = LONG_AGO
    for now in range(50):
        verdict = decide(standing, good, replace(other, cost=0.007 if now % 2 else 0.010), float(now))
        standing = verdict.standing
        assert verdict.change == ""


def test_a_gain_waits_until_the_plan_has_been_in_force_for_a_while(good: Estimate, other: Estimate) -> None:
    assert lasting(good, replace(other, cost=0.007), 100, Standing(since=-1.0, dwell=20.0)) == [19]


def test_the_best_there_is_brings_no_gain_where_it_breaks_a_limit(good: Estimate, other: Estimate) -> None:
    assert lasting(good, replace(other, cost=0.0, broken=("deadline",)), 100) == []


def test_a_plan_in_the_margin_is_kept(good: Estimate, other: Estimate) -> None:
    tight = replace(
        good, seconds=0.49, safe_seconds=0.6, broken=("deadline",), utilisation={"mobile-0": 0.89}
    )

    assert lasting(tight, other, 100) == []


def test_a_likely_breach_counts_when_it_lasts(good: Estimate, other: Estimate) -> None:
    late = replace(good, seconds=0.52, least_seconds=0.48, broken=("deadline",))

    assert lasting(late, other, 100) == [15]


def test_a_breach_beyond_doubt_counts_at_once_however_new_the_plan(good: Estimate, other: Estimate) -> None:
    late = replace(good, seconds=0.9, least_seconds=0.8, broken=("deadline",))
    verdict = decide(Standing(since=-1.0, dwell=5.0), late, replace(other, cost=1.0))

    assert verdict.change == "0.900 s would miss the deadline of 0.5 s"


def test_a_plan_regretted_soon_makes_the_next_gain_wait_longer(good: Estimate, other: Estimate) -> None:
    late = replace(good, seconds=0.9, least_seconds=0.8, broken=("deadline",))

    assert decide(Standing(since=-10.0, dwell=5.0, for_gain=True), late, other).standing.dwell == 10.0
    assert decide(Standing(since=-10.0, dwell=290.0, for_gain=True), late, other).standing.dwell == 300.0
    assert decide(Standing(since=-100.0, dwell=40.0, for_gain=True), late, other).standing.dwell == 5.0


def test_a_plan_that_had_to_be_taken_and_soon_has_to_go_makes_nobody_more_reluctant(
    good: Estimate, other: Estimate
) -> None:
    late = replace(good, seconds=0.9, least_seconds=0.9)

    assert decide(Standing(since=-10.0, dwell=5.0), late, other).standing.dwell == 5.0
    assert decide(Standing(since=-10.0, dwell=20.0), late, other).standing.dwell == 20.0
    assert decide(Standing(since=-100.0, dwell=20.0), late, other).standing.dwell == 5.0


def test_a_gain_counts_for_a_plan_in_breach_too(good: Estimate, other: Estimate) -> None:
    late = replace(good, seconds=0.52, least_seconds=0.48, broken=("deadline",))

    assert lasting(late, replace(other, cost=0.001), 100) == [2]


def test_where_nothing_keeps_the_limits_only_a_really_faster_plan_is_worth_it(
    good: Estimate, other: Estimate
) -> None:
    late = replace(good, seconds=0.9, least_seconds=0.8, safe_seconds=1.0, broken=("deadline",))

    def best(seconds: float) -> Estimate:
        return replace(other, safe_seconds=seconds, cost=0.0, broken=("deadline",))

    assert lasting(late, best(0.9), 100) == []
    assert lasting(late, best(0.7), 100) == [0]
    assert lasting(late, best(0.7), 100, Standing(since=-1.0, dwell=5.0)) == [4]


def test_breaches_are_named(good: Estimate) -> None:
    link = ("mobile-0", "edge-0")
    busy = replace(good, utilisation={link: 0.95}, least_utilisation={link: 0.85})

    assert breach(good, OBJECTIVE, RELUCTANCE) == ""
    assert breach(busy, OBJECTIVE, RELUCTANCE) == "the link from mobile-0 to edge-0 would be 95% busy"
    assert breach(busy, OBJECTIVE, RELUCTANCE, beyond_doubt=True) == ""
    flat = replace(good, broken=("battery",))
    assert breach(flat, OBJECTIVE, RELUCTANCE, beyond_doubt=True) == "the battery limit is broken"


def test_gains_are_named(good: Estimate) -> None:
    assert gain(good, replace(good, cost=0.005), RELUCTANCE) == "saves 50% of the work"
    assert gain(good, replace(good, mean_seconds=0.1), RELUCTANCE) == "50% faster at the same work"
    assert gain(good, replace(good, mean_seconds=0.1, cost=0.02), RELUCTANCE) == ""
    still = replace(good, mean_seconds=0.0, cost=0.0)
    assert gain(still, still, RELUCTANCE) == ""
