"""Routing: where a sample stops, by values."""

import pytest

from tierline_broker import Answer, Plan, Pool, Route, Stage, Tier, Work
from tierline_models import Judged
from tierline_nodes.routing import (
    Answered,
    Onward,
    decide,
    exit_within,
    own_route,
    pinned_elsewhere,
    pool_of,
    target_layer,
)
from tierline_nodes.sight import Sight

EXITS = (2, 4, 6)
MOBILE = Stage(tier=Tier.MOBILE, node="phone", layer=2, codec="input")
EDGE = Stage(tier=Tier.EDGE, node="edge", layer=4, codec="int8")
CLOUD = Stage(tier=Tier.CLOUD, node="cloud", layer=6, codec="int8-lz4")
TIERS = {Pool.EASY: Tier.MOBILE, Pool.MEDIUM: Tier.EDGE, Pool.HARD: Tier.CLOUD}
ROUTE = Route(stages=(MOBILE, EDGE, CLOUD), easy=0.9, medium=0.7, tiers=TIERS)


def answer(confidence: float, layer: int = 2) -> Answer:
    return Answer(output=(0.0, 1.0), label="positive", confidence=confidence, layer=layer)


def work(**fields: object) -> Work:
    base = {
        "id": bytes(16),
        "origin": "client",
        "sender": "client",
        "sender_incarnation": 1,
        "sequence": 1,
        "model": "",
        "layer": 0,
        "codec": "input",
        "deadline": 1.0,
    }
    return Work.model_validate(base | fields)


@pytest.mark.parametrize(
    ("confidence", "pool"),
    [(0.9, Pool.EASY), (0.8999, Pool.MEDIUM), (0.7, Pool.MEDIUM), (0.69, Pool.HARD), (1.0, Pool.EASY)],
)
def test_a_pool_is_a_band_of_confidence_closed_below(confidence: float, pool: Pool) -> None:
    assert pool_of(confidence, ROUTE) is pool


def test_a_route_without_bands_has_no_pools_and_ends_where_it_ends() -> None:
    whole = ROUTE.model_copy(update={"easy": 1.0, "medium": 1.0})

    assert pool_of(1.0, whole) is None
    assert isinstance(decide(whole, Tier.MOBILE, answer(1.0)), Onward)
    last = decide(whole.model_copy(update={"stages": (CLOUD,)}), Tier.CLOUD, answer(0.5, 6))
    assert isinstance(last, Answered)
    assert last.pool is None


def test_an_easy_sample_stops_on_the_mobile() -> None:
    decision = decide(ROUTE, Tier.MOBILE, answer(0.95))

    assert isinstance(decision, Answered)
    assert decision.pool is Pool.EASY
    assert "easy" in decision.why


@pytest.mark.parametrize("confidence", [0.8, 0.1])
def test_a_harder_sample_goes_to_the_next_stage_and_no_further(confidence: float) -> None:
    decision = decide(ROUTE, Tier.MOBILE, answer(confidence))

    assert isinstance(decision, Onward)
    assert decision.stage == EDGE
    assert decision.route.stages == (EDGE, CLOUD)
    assert (decision.route.easy, decision.route.medium) == (0.9, 0.7)


def test_a_medium_sample_stops_on_the_edge_and_a_hard_one_does_not() -> None:
    at_edge = ROUTE.model_copy(update={"stages": (EDGE, CLOUD)})

    assert isinstance(decide(at_edge, Tier.EDGE, answer(0.75, 4)), Answered)
    assert isinstance(decide(at_edge, Tier.EDGE, answer(0.65, 4)), Onward)


def test_the_last_stage_answers_whatever_the_confidence() -> None:
    at_cloud = ROUTE.model_copy(update={"stages": (CLOUD,)})

    assert isinstance(decide(at_cloud, Tier.CLOUD, answer(0.34, 6)), Answered)


def test_a_stage_without_an_exit_passes_everything_on() -> None:
    assert isinstance(decide(ROUTE, Tier.MOBILE, None), Onward)


def test_the_last_stage_must_have_reached_an_exit() -> None:
    with pytest.raises(ValueError, match="no exit"):
        decide(ROUTE.model_copy(update={"stages": (CLOUD,)}), Tier.CLOUD, None)


@pytest.mark.parametrize(
    ("first", "last", "expected"), [(0, 2, 2), (0, 3, 2), (0, 1, None), (2, 3, None), (2, 6, 6), (0, 6, 6)]
)
def test_a_split_between_exits_uses_the_last_exit_before_it(
    first: int, last: int, expected: int | None
) -> None:
    assert exit_within(first, last, EXITS) == expected


def test_a_last_stage_that_ends_between_exits_is_carried_on_to_the_next_one() -> None:
    one = Route(stages=(Stage(tier=Tier.EDGE, node="edge", layer=3, codec="int8"),))

    assert target_layer(one, 1, EXITS) == 4
    assert target_layer(one, 5, EXITS) == 6
    assert target_layer(ROUTE, 0, EXITS) == 2
    assert target_layer(ROUTE, 3, EXITS) == 3


def test_the_message_comes_before_the_plan_and_the_plan_before_the_default() -> None:
    plan = Plan(node="phone", model="m", version=1, route=ROUTE)
    carried = Route(stages=(EDGE, CLOUD))
    find = {"node": "phone", "tier": Tier.MOBILE, "layers": 6}

    assert own_route(work(route=carried), plan, **find) == carried
    assert own_route(work(), plan, **find) == ROUTE
    assert own_route(work(), None, **find).stages == (
        Stage(tier=Tier.MOBILE, node="phone", layer=6, codec="input"),
    )


def test_a_plan_for_another_node_is_not_followed() -> None:
    plan = Plan(node="tablet", model="m", version=1, route=ROUTE)

    assert len(own_route(work(), plan, node="phone", tier=Tier.MOBILE, layers=6).stages) == 1


def test_a_pinned_sample_is_answered_at_its_tier_alone() -> None:
    pinned = work(tier="cloud", route=ROUTE)

    assert pinned_elsewhere(pinned, Tier.MOBILE)
    assert not pinned_elsewhere(pinned, Tier.CLOUD)
    assert len(own_route(pinned, None, node="cloud", tier=Tier.CLOUD, layers=6).stages) == 1


GAINS = ROUTE.model_copy(update={"gains": (0.05, 0.02), "router": "r"})


def sight(gain: float, layer: int = 2, caution: float | None = 0.01) -> Sight:
    return Sight(
        layer=layer,
        judged=Judged(confidence=0.8, pool="medium", gain=gain),
        pool=Pool.MEDIUM,
        caution=caution,
    )


@pytest.mark.parametrize(("gain", "stops"), [(-0.3, True), (0.04, True), (0.041, False), (0.2, False)])
def test_a_sample_stops_where_going_on_mends_too_little_and_a_close_case_goes_on(
    gain: float, stops: bool
) -> None:
    decision = decide(GAINS, Tier.MOBILE, answer(0.8), sight(gain))

    assert isinstance(decision, Answered) is stops
    assert decision.gain == gain
    assert ("answered on mobile" in decision.why) is stops
    if isinstance(decision, Answered):
        assert decision.margin == pytest.approx(0.05 - gain)
        assert decision.pool is Pool.MEDIUM


def test_each_tier_wants_its_own_gain_and_the_last_wants_none() -> None:
    at_edge = GAINS.model_copy(update={"stages": (EDGE, CLOUD)})
    assert isinstance(decide(at_edge, Tier.EDGE, answer(0.8, 4), sight(0.005, 4)), Answered)
    assert isinstance(decide(at_edge, Tier.EDGE, answer(0.8, 4), sight(0.03, 4)), Onward)

    at_cloud = GAINS.model_copy(update={"stages": (CLOUD,)})
    last = decide(at_cloud, Tier.CLOUD, answer(0.5, 6), sight(0.0, 6))
    assert isinstance(last, Answered)
    assert (last.gain, last.margin, last.pool) == (None, None, Pool.MEDIUM)


def test_before_the_tier_of_easy_samples_none_stops() -> None:
    later = GAINS.model_copy(update={"tiers": TIERS | {Pool.EASY: Tier.EDGE, Pool.MEDIUM: Tier.CLOUD}})

    assert isinstance(decide(later, Tier.MOBILE, answer(0.99), sight(-1.0)), Onward)


def test_gains_of_another_cartography_are_no_guide() -> None:
    found = decide(GAINS, Tier.MOBILE, answer(0.95), sight(0.9, caution=None))

    assert isinstance(found, Answered)  # by the bands of confidence
    assert found.gain is None
