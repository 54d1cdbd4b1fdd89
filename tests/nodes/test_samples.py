"""A sample's way through a node with a real model: answered, sent on, degraded, refused."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tests.nodes.conftest import Bus, at, sample
from tierline_broker import (
    Birth,
    CreditError,
    Fallback,
    Plan,
    Pool,
    PublishError,
    Result,
    Route,
    Stage,
    Tier,
    Work,
)
from tierline_codecs import decode, encode
from tierline_models import Bundle
from tierline_nodes.routing import all_here
from tierline_nodes.samples import MOST_WAITING, Node, _serve_one
from tierline_nodes.steering import link_stalls

TIERS = {Pool.EASY: Tier.MOBILE, Pool.MEDIUM: Tier.EDGE, Pool.HARD: Tier.CLOUD}


def plan(
    bundle: Bundle, *, layers: tuple[int, int, int] = (2, 4, 6), codec: str = "raw", **route: object
) -> Plan:
    stages = (
        Stage(tier=Tier.MOBILE, node="phone", layer=layers[0], codec="input"),
        Stage(tier=Tier.EDGE, node="edge", layer=layers[1], codec=codec),
        Stage(tier=Tier.CLOUD, node="cloud", layer=layers[2], codec=codec),
    )
    bands = {"easy": 1.0, "medium": 1.0, "tiers": TIERS} | route
    return Plan(node="phone", model=bundle.digest, version=7, route=Route(stages=stages, **bands))


async def until(what: Callable[[], bool]) -> None:
    while not what():  # noqa: ASYNC110 (the stand-ins tell nobody)
        await asyncio.sleep(0.01)


async def only_result(node: Node, bus: Bus, work: Work) -> Result:
    await _serve_one(node, work)
    ((origin, result),) = bus.results
    assert origin == "client"
    assert result.id == work.id
    assert not bus.sent
    return result


async def test_without_a_plan_everything_is_answered_here_by_the_whole_model(node: Node, bus: Bus) -> None:
    result = await only_result(node, bus, sample())

    model = node.bundle.model
    whole = model.unsplit(model.preprocess(b"a gorgeous, witty film"))
    assert result.answer is not None
    assert result.answer.output == tuple(whole[0].tolist())
    assert (result.answer.label, result.answer.layer, result.tier) == ("positive", 6, Tier.MOBILE)
    assert (result.steps[0].first, result.steps[0].last) == (0, 6)
    assert result.steps[0].compute > 0


async def test_an_easy_sample_is_answered_at_the_first_exit_and_says_why(node: Node, bus: Bus) -> None:
    node.plan = plan(node.bundle, easy=0.0)
    result = await only_result(node, bus, sample())

    assert result.answer is not None
    assert result.answer.layer == 2
    assert result.pool is Pool.EASY
    assert result.plan == 7
    assert "easy" in result.why
    assert node.meter.pools == {Pool.EASY: 1}


async def test_a_hard_sample_travels_mobile_edge_cloud_and_equals_the_unsplit_model_bit_for_bit(
    node: Node, bus: Bus
) -> None:
    node.plan = plan(node.bundle)
    work = sample("it is neither good nor bad, and yet it moves")
    await _serve_one(node, work)
    for name, tier in (("edge", Tier.EDGE), ("cloud", Tier.CLOUD)):
        ((peer, work),) = bus.sent
        assert peer == name
        bus.sent.clear()
        await _serve_one(at(node, name, tier), work)

    ((_, result),) = bus.results
    model = node.bundle.model
    whole = model.unsplit(model.preprocess(b"it is neither good nor bad, and yet it moves"))
    assert result.answer is not None
    assert result.answer.output == tuple(whole[0].tolist())
    assert [(step.node, step.first, step.last) for step in result.steps] == [
        ("phone", 0, 2),
        ("edge", 2, 4),
        ("cloud", 4, 6),
    ]
    assert {step.plan for step in result.steps} == {7}


@pytest.mark.parametrize("text", ["a gorgeous, witty film", "word " * 300])  # the second as long as is read
async def test_what_is_coded_with_the_bundles_calibration_is_read_by_the_next_node(
    node: Node, bus: Bus, text: str
) -> None:
    node.plan = plan(node.bundle, layers=(1, 3, 6), codec="int8-calibrated")
    await _serve_one(node, sample(text))
    for name, tier in (("edge", Tier.EDGE), ("cloud", Tier.CLOUD)):
        ((peer, work),) = bus.sent
        assert (peer, work.codec) == (name, "int8-calibrated")
        bus.sent.clear()
        await _serve_one(at(node, name, tier), work)

    ((_, result),) = bus.results
    model = node.bundle.model
    whole = model.unsplit(model.preprocess(text.encode()))[0]
    assert result.answer is not None, result.error
    assert result.answer.output == pytest.approx(tuple(whole.tolist()), abs=0.2)
    assert [step.codec for step in result.steps] == ["input", "int8-calibrated", "int8-calibrated"]


async def test_the_headers_of_what_travels_say_where_it_is(node: Node, bus: Bus) -> None:
    node.plan = plan(node.bundle, layers=(3, 4, 6), codec="int8")
    await _serve_one(node, sample(deadline=5.0))

    ((_, work),) = bus.sent
    assert (work.layer, work.codec, work.model, work.plan) == (3, "int8", node.bundle.digest, 7)
    assert work.route is not None
    assert [stage.node for stage in work.route.stages] == ["edge", "cloud"]
    assert work.best is not None
    assert work.best.layer == 2
    assert 0 < work.deadline < 5.0
    assert decode(work.payload).shape[-1] == 384


async def test_a_plan_may_send_the_raw_input_again_instead_of_the_activation(node: Node, bus: Bus) -> None:
    node.plan = plan(node.bundle, codec="input")
    await _serve_one(node, sample())

    ((_, work),) = bus.sent
    assert (work.layer, work.codec, work.payload) == (0, "input", b"a gorgeous, witty film")
    assert work.best is not None


async def test_a_stage_without_blocks_passes_the_raw_input_on_untouched(node: Node, bus: Bus) -> None:
    node.plan = plan(node.bundle, layers=(0, 4, 6), codec="input")
    await _serve_one(node, sample(""))  # even an empty text: it is not this node's to judge

    ((_, work),) = bus.sent
    assert (work.layer, work.payload) == (0, b"")
    assert node.meter.served == 0


async def test_a_pinned_sample_skips_the_plan(node: Node, bus: Bus) -> None:
    node.plan = plan(node.bundle, easy=0.0)
    await _serve_one(node, sample(tier="cloud"))
    ((peer, work),) = bus.sent
    assert peer == "cloud"
    await _serve_one(at(node, "cloud", Tier.CLOUD), work)

    ((_, result),) = bus.results
    assert result.answer is not None
    assert (result.tier, result.answer.layer) == (Tier.CLOUD, 6)


@pytest.mark.parametrize("fault", [CreditError("edge is gone"), PublishError("no broker")])
async def test_a_sample_that_cannot_travel_is_answered_by_its_best_exit_marked_degraded(
    node: Node, bus: Bus, fault: Exception
) -> None:
    node.plan = plan(node.bundle)
    bus.fault = fault
    result = await only_result(node, bus, sample())

    assert result.degraded
    assert result.answer is not None
    assert result.answer.layer == 2
    assert str(fault) in result.why
    assert node.meter.drops == {"send-failed": 1}


async def test_a_sample_that_reached_no_exit_is_computed_on_here_when_it_cannot_travel(
    node: Node, bus: Bus
) -> None:
    node.plan = plan(node.bundle, layers=(1, 4, 6))
    bus.fault = CreditError("edge is gone")
    result = await only_result(node, bus, sample())

    assert result.degraded
    assert result.answer is not None
    assert result.answer.layer == 6


async def test_a_pinned_sample_that_cannot_travel_ends_in_a_typed_error(node: Node, bus: Bus) -> None:
    bus.fault = CreditError("cloud is gone")
    result = await only_result(node, bus, sample(tier="cloud"))

    assert result.error is not None
    assert result.error.code == "no-route"


async def test_only_so_many_samples_wait_for_a_peer_that_hangs(node: Node, bus: Bus) -> None:
    node.plan = plan(node.bundle)
    bus.hangs = True
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        waiting = [tasks.create_task(_serve_one(node, sample())) for _ in range(MOST_WAITING)]
        await bus.all_hang.wait()
        result = await only_result(node, bus, sample())
        for task in waiting:
            task.cancel()

    assert result.degraded
    assert result.answer is not None
    assert node.outbox.size == 0


async def test_what_waits_for_a_link_that_stalls_is_answered_here(node: Node, bus: Bus) -> None:
    node.plan = plan(node.bundle)
    bus.hangs = True
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(_serve_one(node, sample()))
        pinned = tasks.create_task(_serve_one(node, sample(tier="edge")))
        await until(lambda: bus.hanging == 2)
        link_stalls(node, "cloud")
        await asyncio.sleep(0.05)
        assert not bus.results
        link_stalls(node, "edge")
        await until(lambda: bool(bus.results))
        assert not pinned.done()  # nobody else may answer it
        pinned.cancel()

    ((_, result),) = bus.results
    assert result.degraded
    assert result.answer is not None
    assert result.answer.layer == 2
    assert "the link to edge lets nothing through" in result.why
    assert node.meter.drops == {"called-back": 1}
    assert node.stalled.is_set()


async def test_what_is_still_computed_when_its_link_stalls_does_not_leave_either(
    node: Node, bus: Bus
) -> None:
    node.plan = plan(node.bundle)
    serving = asyncio.create_task(_serve_one(node, sample()))
    await asyncio.sleep(0)
    bus.stalls.add("edge")
    link_stalls(node, "edge")
    await serving
    ((_, result),) = bus.results
    assert result.degraded
    await _serve_one(node, sample())
    assert len(bus.sent) == 1  # whoever comes later goes as its route says


async def test_a_plan_whose_link_has_stalled_is_followed_again_once_it_is_newer_or_the_link_is_back(
    node: Node, bus: Bus
) -> None:
    alone = Fallback(route=all_here("phone", Tier.MOBILE, 6), seconds=0.1)
    node.plan = plan(node.bundle).model_copy(update={"fallbacks": (alone,), "deadline": 0.5})
    link_stalls(node, "edge")
    bus.stalls.add("edge")
    await _serve_one(node, sample())
    assert len(bus.results) == 1
    node.plan = node.plan.model_copy(update={"version": 8})
    await _serve_one(node, sample())
    assert len(bus.sent) == 1
    link_stalls(node, "edge")
    bus.stalls.clear()
    await _serve_one(node, sample())
    assert len(bus.sent) == 2


@pytest.mark.parametrize(("deadline", "kept"), [(10.0, 0.15), (1.0, 0.4), (0.5, 0.5)])
async def test_so_much_time_is_kept_as_answering_here_may_take(
    node: Node, bus: Bus, deadline: float, kept: float
) -> None:
    node.plan = plan(node.bundle, layers=(1, 3, 6))
    node.meter.speed = 0.2 / sum(node.profile.block_seconds)
    node.meter.last_work = 1e12  # what is computed meanwhile does not count
    await _serve_one(node, sample(deadline=deadline))

    assert 1 - bus.patience[0] / deadline == pytest.approx(kept, abs=0.1)


async def test_a_result_that_the_broker_refuses_is_counted_and_not_tried_for_ever(
    node: Node, bus: Bus
) -> None:
    bus.publish_faults = [PublishError("not authorised")] * 3
    await _serve_one(node, sample())

    assert len(bus.publish_faults) == 2
    assert node.meter.drops == {"result-undelivered": 1}


async def test_a_pinned_sample_goes_to_a_node_that_runs_this_model(node: Node, bus: Bus) -> None:
    node.presence.apply(Birth(node="zloud", tier=Tier.CLOUD, state="ready", incarnation=1, models=("image",)))
    await _serve_one(node, sample(tier="cloud"))

    assert [peer for peer, _ in bus.sent] == ["cloud"]


@pytest.mark.parametrize("clock", [-1e6, 1e300, float("nan"), float("-inf")])
async def test_a_stamp_of_another_hosts_clock_is_left_out(node: Node, bus: Bus, clock: float) -> None:
    result = await only_result(node, bus, sample(sent_clock=clock))

    assert result.answer is not None
    assert result.steps[0].wire is None


async def test_an_activation_that_cannot_be_encoded_again_ends_in_a_typed_error(node: Node, bus: Bus) -> None:
    values = np.full((1, 5, 384), np.inf, np.float32)
    stages = (
        Stage(tier=Tier.EDGE, node="edge", layer=3, codec="raw"),
        Stage(tier=Tier.CLOUD, node="cloud", layer=6, codec="int8-lz4"),
    )
    work = sample(layer=2, codec="raw", route=Route(stages=stages))
    frame = bytes(encode(values, codec="raw"))
    result = await only_result(at(node, "edge", Tier.EDGE), bus, work.model_copy(update={"payload": frame}))

    assert result.error is not None
    assert result.error.code == "bad-activation"


async def test_a_frame_that_claims_more_than_any_activation_is_refused_unread(node: Node, bus: Bus) -> None:
    frame = bytes(encode(np.zeros((1, 4000, 384), np.float32), codec="int8-lz4"))
    result = await only_result(node, bus, sample(layer=2, codec="raw").model_copy(update={"payload": frame}))

    assert result.error is not None
    assert result.error.code == "bad-frame"


async def test_what_nobody_foresaw_ends_the_sample_and_not_the_node(
    node: Node, bus: Bus, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("nobody foresaw this")

    monkeypatch.setattr("tierline_nodes.samples.pass_stage", broken)
    result = await only_result(node, bus, sample())

    assert result.error is not None
    assert result.error.code == "compute-failed"


async def test_a_result_is_published_again_after_a_lost_connection(node: Node, bus: Bus) -> None:
    bus.publish_faults = [PublishError("lost", lost=True)] * 2
    result = await only_result(node, bus, sample())

    assert result.answer is not None


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"payload": b""}, "bad-input"),
        ({"payload": b"\xff\xfe\xfa"}, "bad-input"),
        ({"payload": b"x" * 100_000}, "bad-input"),
        ({"model": "another"}, "unknown-model"),
        ({"layer": 2, "codec": "int8", "payload": b"TL"}, "bad-frame"),
        ({"layer": 9, "codec": "raw", "payload": b""}, "no-exit"),
        ({"deadline": 0.0}, "deadline"),
        ({"tier": "edge", "layer": 6, "codec": "raw"}, "no-exit"),
    ],
)
async def test_what_cannot_be_worked_on_ends_in_a_typed_error(
    node: Node, bus: Bus, fields: dict[str, object], code: str
) -> None:
    here = at(node, "edge", Tier.EDGE)
    result = await only_result(here, bus, sample().model_copy(update=fields | {"tier": None}))

    assert result.error is not None
    assert result.error.code == code
    assert len(result.error.message) > 20
    assert here.meter.drops == {code: 1}


async def test_an_activation_of_another_shape_is_refused_before_anything_runs(node: Node, bus: Bus) -> None:
    frame = bytes(encode(np.zeros((1, 5, 383), np.float32), codec="raw"))
    result = await only_result(node, bus, sample(layer=2, codec="raw").model_copy(update={"payload": frame}))

    assert result.error is not None
    assert result.error.code == "bad-activation"
    assert "384" in result.error.message


async def test_an_activation_that_is_not_finite_is_refused(node: Node, bus: Bus) -> None:
    frame = bytes(encode(np.full((1, 5, 384), np.nan, np.float32), codec="raw"))
    result = await only_result(node, bus, sample(layer=2, codec="raw").model_copy(update={"payload": frame}))

    assert result.error is not None
    assert result.error.code in ("bad-activation", "bad-frame")


async def test_a_node_holding_the_first_blocks_only_says_so_when_asked_for_more(
    node: Node, bus: Bus, text_bundle: Bundle
) -> None:
    small = replace(text_bundle, model=text_bundle.model.load_range(2))
    node.bundle = small
    result = await only_result(node, bus, sample())
    assert result.answer is not None
    assert result.answer.layer == 2

    bus.results.clear()
    node.plan = plan(small, layers=(3, 4, 6))
    result = await only_result(node, bus, sample())
    assert result.error is not None
    assert result.error.code == "bad-layer"


async def test_of_a_burst_what_would_be_late_here_is_sent_another_way_and_the_rest_is_answered_here(
    node: Node, bus: Bus
) -> None:
    stages = (
        Stage(tier=Tier.MOBILE, node="phone", layer=0, codec="input"),
        Stage(tier=Tier.CLOUD, node="cloud", layer=6, codec="input"),
    )
    passing = Fallback(
        route=Route(stages=stages), seconds=0.01, sent_bytes=20, uses={"cloud": 0.01}, cost=1.0
    )
    here = all_here("phone", Tier.MOBILE, 6)
    await _serve_one(node, sample())  # so that the node knows how long one takes
    taken = node.meter.visit
    node.plan = Plan(
        node="phone", model=node.bundle.digest, version=1, route=here, predicted_seconds=taken,
        deadline=5 * taken, fallbacks=(Fallback(route=here, seconds=taken), passing),
    )  # fmt: skip
    bus.results.clear()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(12):
            tasks.create_task(_serve_one(node, sample(deadline=60.0)))

    assert {peer for peer, _ in bus.sent} == {"cloud"}
    assert len(bus.results) + len(bus.sent) == 12
    assert 3 <= len(bus.results) <= 4  # of five that the deadline has room for, a fifth is kept free
    assert node.meter.notes == {"too-busy": len(bus.sent)}
    assert node.meter.arrived == 13
    assert not any(result.degraded for _, result in bus.results)
