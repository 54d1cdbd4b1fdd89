"""Which codec each hop of a plan uses: the soonest there, within the error budget, hops apart."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierline_broker import CodecCost, ModelCard, PointCard, Tier
from tierline_codecs import CodecSeconds, Device, choose, statistics_from
from tierline_scheduler import Objective, plan
from tierline_scheduler.candidates import from_route
from tierline_scheduler.coding import hop_coding
from tierline_scheduler.explain import explain
from tierline_scheduler.model import KNOWN, read_card
from tierline_scheduler.planner import assess
from tierline_scheduler.view import Traffic

ARRAY = 400_000
FRAMES = {"raw": ARRAY, "fp16": 200_000, "int8": 101_000, "step-zstd": 56_000, "int4": 57_000}
ERRORS = {"fp16": 0.0002, "int8": 0.014, "step-zstd": 0.05, "int4": 0.12}
# Seconds a byte of float32 to encode and to decode: raw is a copy, the smallest frame the slowest.
EACH = {"raw": 1e-10, "fp16": 8e-10, "int8": 4e-10, "step-zstd": 6e-9, "int4": 5e-9}


def card(kit: Any, budget: float | None = 0.06, errors: dict[str, float] | None = None) -> ModelCard:
    points = tuple(
        PointCard(
            layer=layer,
            frame_bytes=FRAMES,
            errors=ERRORS if errors is None else errors,
            error_budget=budget,
        )
        for layer in range(1, 6)
    )
    return kit.text.card.model_copy(update={"points": points, "input_bytes": 10**9})


def costs(slowdown: float = 1.0) -> dict[str, CodecCost]:
    return {
        codec: CodecCost(
            encode_call=1e-5, encode_byte=slowdown * each, decode_call=1e-5, decode_byte=slowdown * each
        )
        for codec, each in EACH.items()
    }


def deployment(kit: Any, described: ModelCard, uplink: float) -> Any:
    """A phone that must hand on (it has memory for one block only), an edge and a cloud node."""
    state = kit.deployment(described, uplink=uplink, rate=0.1)
    for name, tier, slowdown in (("mobile-0", Tier.MOBILE, 10.0), ("edge-0", Tier.EDGE, 3.0)):
        profile = kit.profile(name, tier, described, slowdown, codecs=costs(slowdown))
        state = kit.apply(state, profile)
    profile = kit.profile("cloud-0", Tier.CLOUD, described, codecs=costs())
    return kit.apply(state, profile)


def codecs(state: Any, objective: Objective) -> list[str]:
    return [stage.codec for stage in plan(state, objective)["mobile-0"].route.stages[1:]]


SPLIT = Objective(deadline=20.0, accuracy_drop=0.0)


def one_block(kit: Any, state: Any, described: ModelCard) -> Any:
    small = kit.profile("mobile-0", Tier.MOBILE, described, 10.0, codecs=costs(10.0), max_layer=1)
    return kit.apply(state, small)


@pytest.mark.parametrize(("uplink", "codec"), [(1e5, "step-zstd"), (3e7, "int8"), (1e10, "raw")])
def test_a_slow_link_gets_the_smallest_frame_and_a_fast_one_the_least_work(
    kit: Any, uplink: float, codec: str
) -> None:
    described = card(kit)

    state = one_block(kit, deployment(kit, described, uplink), described)

    assert codecs(state, SPLIT)[0] == codec


def test_hops_choose_apart(kit: Any) -> None:
    model = read_card(card(kit))
    state = deployment(kit, card(kit), uplink=1e5)
    phone, edge, cloud = (state.nodes[name] for name in ("mobile-0", "edge-0", "cloud-0"))

    slow = hop_coding(model, phone, edge, 1e5)
    fast = hop_coding(model, edge, cloud, 1e8)

    assert slow is not None
    assert fast is not None
    assert [KNOWN[slow.chosen[layer]] for layer in range(1, 6)] == ["step-zstd"] * 5
    assert [KNOWN[fast.chosen[layer]] for layer in range(1, 6)] == ["int8"] * 5


@pytest.mark.parametrize(
    ("budget", "allowed"),
    [
        (None, set(FRAMES)),
        (0.0, {"raw"}),
        (0.001, {"raw", "fp16"}),
        (0.06, {"raw", "fp16", "int8", "step-zstd"}),
    ],
)
def test_what_is_beyond_the_budget_of_a_split_point_is_never_planned(
    kit: Any, budget: float | None, allowed: set[str]
) -> None:
    model = read_card(card(kit, budget))

    assert {codec for sizes in model.frames.values() for codec in sizes} == allowed


def test_an_error_that_nobody_measured_is_beyond_every_budget(kit: Any) -> None:
    assert set(read_card(card(kit, 1.0, {"int8": 0.01})).frames[1]) == {"raw", "int8"}


@given(
    rate=st.floats(1e3, 1e10),
    slower=st.floats(1.0, 50.0),
    budget=st.sampled_from([0.0, 0.001, 0.02, 0.06, 0.2]),
)
@settings(max_examples=60, deadline=None)
def test_a_hop_never_takes_longer_than_with_another_codec_that_its_budget_allows(
    kit: Any, rate: float, slower: float, budget: float
) -> None:
    described = card(kit, budget)
    model, state = read_card(described), deployment(kit, described, 1e6)
    sender = kit.apply(state, kit.profile("mobile-0", Tier.MOBILE, described, codecs=costs(slower)))

    found = hop_coding(model, sender.nodes["mobile-0"], sender.nodes["edge-0"], rate)

    assert found is not None
    seconds = {
        codec: found.encode[row, 1] + found.decode[row, 1] + found.frame_bytes[row, 1] / rate
        for row, codec in enumerate(KNOWN)
        if codec in model.frames[1]
    }
    chosen = KNOWN[found.chosen[1]]
    assert seconds[chosen] <= 1.06 * min(seconds.values())  # the rate is taken to two digits


def test_the_choice_of_a_hop_is_the_one_that_choose_makes(kit: Any) -> None:
    described = card(kit)
    model, state = read_card(described), deployment(kit, described, 1e6)
    device = Device(
        sender={c: CodecSeconds(**cost.model_dump()) for c, cost in costs(10.0).items()},
        receiver={c: CodecSeconds(**cost.model_dump()) for c, cost in costs(3.0).items()},
    )
    tensor = statistics_from(ARRAY // 4, FRAMES, ERRORS)

    for rate in (1e4, 1e6, 2e7, 1e8, 1e9, 1e11):
        found = hop_coding(model, state.nodes["mobile-0"], state.nodes["edge-0"], rate)
        assert found is not None
        assert KNOWN[found.chosen[3]] == choose(rate, device, tensor, 0.06).codec


def test_frames_that_nobody_reassembles_are_not_chosen_where_smaller_ones_fit(kit: Any) -> None:
    described = card(kit)
    state = one_block(kit, deployment(kit, described, 1e10), described)

    assert codecs(state, SPLIT)[0] == "raw"
    assert codecs(state, Objective(deadline=20.0, accuracy_drop=0.0, max_frame_bytes=150_000))[0] == "int8"


def test_a_plan_in_force_is_judged_with_the_codec_that_it_names(kit: Any) -> None:
    described = card(kit)
    state = one_block(kit, deployment(kit, described, 1e5), described)
    best = plan(state, SPLIT)["mobile-0"]
    stages = tuple(
        stage.model_copy(update={"codec": "fp16"}) if k else stage
        for k, stage in enumerate(best.route.stages)
    )
    worse = best.model_copy(update={"route": best.route.model_copy(update={"stages": stages})})

    judged = [assess(state, one, SPLIT, Traffic()) for one in (best, worse)]

    assert judged[0] is not None
    assert judged[1] is not None
    assert judged[0].mean_seconds == pytest.approx(best.predicted_mean_seconds)
    assert judged[1].mean_seconds > judged[0].mean_seconds
    assert [leg.codec for leg in judged[1].candidate.legs[1:]] == ["fp16"] * (len(stages) - 1)
    assert from_route(read_card(described), best.route) == judged[0].candidate


def test_the_plan_names_the_codecs_that_its_prediction_is_for_and_no_other_is_better(kit: Any) -> None:
    described = card(kit)
    state = one_block(kit, deployment(kit, described, 3e6), described)

    best, *others = explain(state, SPLIT, "mobile-0")

    assert [leg.codec for leg in best.estimate.candidate.legs[1:]] == codecs(state, SPLIT)
    same_work = [one.estimate for one in others if not one.estimate.broken]
    assert same_work
    for one in same_work:
        assert (one.cost, one.mean_seconds) >= (best.estimate.cost, best.estimate.mean_seconds - 1e-9)


def test_a_calibrated_codec_is_planned_only_between_nodes_whose_bundles_are_calibrated_alike(
    kit: Any,
) -> None:
    frames = {"raw": ARRAY, "int8-calibrated": 104_000}
    points = tuple(
        PointCard(
            layer=layer,
            frame_bytes=frames,
            errors={"int8-calibrated": 0.007},
            error_budget=0.01,
            calibration="a",
        )
        for layer in range(1, 6)
    )
    described = kit.text.card.model_copy(update={"points": points})
    others = tuple(point.model_copy(update={"calibration": "b"}) for point in points)
    state = kit.deployment(described, uplink=1e5)
    strange = kit.apply(
        state, kit.profile("edge-0", Tier.EDGE, described.model_copy(update={"points": others}))
    )

    for one, codec in ((state, "int8-calibrated"), (strange, "raw")):
        found = hop_coding(read_card(described), one.nodes["mobile-0"], one.nodes["edge-0"], 1e5)
        assert found is not None
        assert KNOWN[found.chosen[1]] == codec
