from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from tierline_broker import RAW_INPUT, Answer, Route, Tier
from tierline_nodes.routing import Onward, decide, exit_within
from tierline_scheduler.candidates import CHAINS, Candidate, as_route, enumerate_candidates, from_route
from tierline_scheduler.model import Model, prune, read_card

NAMES = {Tier.MOBILE: "mobile-0", Tier.EDGE: "edge-0", Tier.CLOUD: "cloud-0"}


@pytest.fixture(scope="module")
def model(kit: Any) -> Model:
    return read_card(kit.text.card)


def every(model: Model) -> list[Candidate]:
    return [candidate for chain in CHAINS for candidate in enumerate_candidates(model, chain)]


def route_of(candidate: Candidate) -> Route:
    return as_route(candidate, tuple(NAMES[leg.tier] for leg in candidate.legs))


def journey(confidence: dict[int, float], route: Route, exits: tuple[int, ...]) -> tuple[list[Tier], int]:
    """Where a sample goes under the nodes' own routing: the tiers it visits and the exit it leaves at."""
    layer, visited = 0, []
    while True:
        stage = route.stages[0]
        layer = 0 if stage.codec == RAW_INPUT else layer
        leave = exit_within(layer, stage.layer, exits)
        answer = None
        if leave is not None:
            answer = Answer(output=(0.0,), label="x", confidence=confidence[leave], layer=leave)
        visited.append(stage.tier)
        decision = decide(route, stage.tier, answer)
        if not isinstance(decision, Onward):
            assert leave is not None
            return visited, leave
        layer, route = stage.layer, decision.route


def test_nodes_that_follow_a_plan_let_exactly_the_predicted_shares_go(kit: Any, model: Model) -> None:
    chosen = every(model)[::7]
    assert len(chosen) > 100
    for candidate in chosen:
        route = route_of(candidate)
        reached: Counter[Tier] = Counter()
        left: Counter[int] = Counter()
        for confidence, _ in kit.text.samples:
            visited, leave = journey(confidence, route, model.exits)
            reached.update(visited)
            left[leave] += 1

        shares = dict(zip(candidate.card.exits, candidate.card.shares, strict=True))
        for leg, reach in zip(candidate.legs, candidate.reach, strict=True):
            assert reached[leg.tier] / kit.text.size == pytest.approx(reach, abs=1e-9)
        for leave, share in shares.items():
            assert left[leave] / kit.text.size == pytest.approx(share, abs=1e-9)


def test_no_candidate_is_listed_twice(model: Model) -> None:
    routes = Counter(route_of(candidate).model_dump_json() for candidate in every(model))

    assert set(routes.values()) == {1}


def test_a_plan_is_read_back_as_the_candidate_it_came_from(model: Model) -> None:
    for candidate in every(model):
        assert from_route(model, route_of(candidate)) == candidate


def test_not_splitting_and_sending_everything_on_are_candidates(model: Model) -> None:
    whole = {tuple((leg.tier, leg.layer, leg.codec) for leg in candidate.legs) for candidate in every(model)}

    assert ((Tier.MOBILE, 6, RAW_INPUT),) in whole
    assert ((Tier.MOBILE, 0, RAW_INPUT), (Tier.CLOUD, 6, RAW_INPUT)) in whole
    assert ((Tier.MOBILE, 0, RAW_INPUT), (Tier.EDGE, 6, RAW_INPUT)) in whole


def test_every_pair_of_split_points_is_a_candidate(model: Model) -> None:
    pairs = {tuple(leg.layer for leg in c.legs) for c in every(model) if len(c.legs) == 3}

    assert {pair for pair in pairs if pair[2] == 6} == {(a, b, 6) for a in range(6) for b in range(a + 1, 6)}


def test_the_raw_input_is_only_sent_again_by_a_stage_that_received_it(model: Model) -> None:
    for candidate in every(model):
        codecs = [leg.codec for leg in candidate.legs]
        assert codecs[0] == RAW_INPUT
        assert all(not (now == RAW_INPUT and before != RAW_INPUT) for before, now in pairwise(codecs))
        assert candidate.legs[0].layer > 0 or codecs[1] == RAW_INPUT


def test_a_leg_that_sends_the_raw_input_again_computes_no_further_than_its_exit(model: Model) -> None:
    for candidate in every(model):
        for leg, onward in pairwise(candidate.legs):
            assert leg.stop == (leg.pause if onward.codec == RAW_INPUT else leg.layer)
            assert onward.start == (0 if onward.codec == RAW_INPUT else leg.layer)


def test_pruning_keeps_one_codec_a_split_point_and_only_routes_at_the_floor(model: Model) -> None:
    floor = model.accuracy - 0.03

    pruned = prune(model, floor)

    assert {tuple(sizes) for sizes in pruned.frames.values()} == {("int8",)}
    kept = [route for routes in pruned.routes.values() for route in routes]
    assert kept
    assert all(route.accuracy >= floor for route in kept)
    assert len(kept) < sum(len(routes) for routes in model.routes.values())
    assert prune(model, None).routes == model.routes


@pytest.mark.parametrize(
    "change",
    [
        {"stages": ()},
        {"easy": 0.123},
        {"tiers": {}},
    ],
)
def test_a_route_that_is_none_of_ours_is_read_as_nothing(model: Model, change: dict[str, Any]) -> None:
    used = next(c for c in every(model) if len(c.legs) == 3 and all(c.used))

    assert from_route(model, route_of(used).model_copy(update=change)) is None


@pytest.mark.parametrize(
    ("leg", "change"),
    [
        (0, {"layer": 99}),
        (1, {"codec": "unheard-of"}),
        (0, {"codec": "int8"}),
        (2, {"layer": 5}),
        (1, {"tier": "cloud"}),
    ],
)
def test_a_route_with_an_impossible_stage_is_read_as_nothing(
    model: Model, leg: int, change: dict[str, Any]
) -> None:
    used = route_of(next(c for c in every(model) if len(c.legs) == 3 and c.legs[1].codec == "int8"))
    stages = list(used.stages)
    stages[leg] = stages[leg].model_copy(update=change)

    assert from_route(model, used.model_copy(update={"stages": tuple(stages)})) is None
