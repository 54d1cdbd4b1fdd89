"""Three real node processes on a real Mosquitto, seen from a client."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from tierline_broker import (
    PLAN,
    RESULT,
    WORK,
    Client,
    Plan,
    Pool,
    Result,
    Route,
    Stage,
    Tier,
    connect,
    connect_client,
    pack,
)
from tierline_models import Bundle

SITE = "deployment"
NODES = (("phone", "mobile"), ("edge", "edge"), ("cloud", "cloud"))
TIERS = {Pool.EASY: Tier.MOBILE, Pool.MEDIUM: Tier.EDGE, Pool.HARD: Tier.CLOUD}
TEXTS = ("a gorgeous, witty film", "dull", "it is neither good nor bad, and yet it moves, slowly , at length")

pytestmark = pytest.mark.timeout(120)


def start(url: str, name: str, tier: str, log: Path, *flags: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tierline", "node", "--tier", tier, "--name", name, "--site", SITE]
    with log.open("ab") as output:
        return subprocess.Popen([*command, "--broker", url, *flags], stderr=output, stdin=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def nodes(
    broker_url: str, text_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory
) -> Generator[dict[str, subprocess.Popen[bytes]]]:
    """One process a tier, started once for this file."""
    logs = tmp_path_factory.mktemp("nodes")
    running = {name: start(broker_url, name, tier, logs / f"{name}.log") for name, tier in NODES}
    yield running
    for process in running.values():
        process.send_signal(signal.SIGTERM)
    for process in running.values():
        assert process.wait(timeout=10) == 0


@pytest.fixture
async def client(broker_url: str, nodes: dict[str, subprocess.Popen[bytes]]) -> AsyncGenerator[Client]:
    async with connect_client(broker_url, site=SITE) as found:
        async with asyncio.timeout(60):
            for _, tier in NODES:
                await found.presence.wait_for(Tier(tier))
        yield found


VERSIONS = itertools.count(1)  # nodes take none that is lower than the last


def chain(bundle: Bundle, layers: tuple[int, int, int], codec: str, version: int, **bands: object) -> Plan:
    stages = tuple(
        Stage(tier=Tier(tier), node=name, layer=layer, codec="input" if tier == "mobile" else codec)
        for (name, tier), layer in zip(NODES, layers, strict=True)
    )
    route = Route(stages=stages, **({"easy": 1.0, "medium": 1.0, "tiers": TIERS} | bands))
    return Plan(node="phone", model=bundle.digest, version=version, route=route)


async def follow_plan(client: Client, plan: Plan) -> None:
    """Publish a plan and wait until the mobile node goes by it."""
    await client.session.publish(PLAN, "phone", plan)
    async with asyncio.timeout(20):
        while (await client.infer(b"dull", deadline=5)).plan != plan.version:
            pass


async def test_without_a_plan_the_mobile_node_answers_everything(client: Client, text_bundle: Bundle) -> None:
    result = await client.infer(TEXTS[0].encode())

    whole = text_bundle.model.unsplit(text_bundle.model.preprocess(TEXTS[0].encode()))
    assert result.answer is not None
    assert (result.tier, result.answer.output) == (Tier.MOBILE, tuple(whole[0].tolist()))


@pytest.mark.parametrize("layers", [(1, 3, 6), (2, 4, 6), (3, 5, 6), (0, 4, 6)])
async def test_split_over_three_processes_equals_unsplit_bit_for_bit(
    client: Client, text_bundle: Bundle, layers: tuple[int, int, int]
) -> None:
    codec = "raw" if layers[0] else "input"
    await follow_plan(client, chain(text_bundle, layers, codec, version=next(VERSIONS)))

    for text in TEXTS:
        result = await client.infer(text.encode())
        whole = text_bundle.model.unsplit(text_bundle.model.preprocess(text.encode()))
        assert result.answer is not None, result
        assert result.answer.output == tuple(whole[0].tolist())
        assert [step.node for step in result.steps] == ["phone", "edge", "cloud"]
        assert result.tier is Tier.CLOUD


async def test_bands_of_confidence_send_each_sample_exactly_as_far_as_it_must(
    client: Client, text_bundle: Bundle
) -> None:
    await follow_plan(client, chain(text_bundle, (2, 4, 6), "int8-lz4", 7001, easy=0.95, medium=0.9))
    texts = [sample.data for sample in text_bundle.samples("test", 3)[:60]]
    results = [await client.infer(text) for text in texts]

    for result in results:
        assert result.answer is not None
        confidence, layer = result.answer.confidence, result.answer.layer
        if result.tier is Tier.MOBILE:
            assert (layer, confidence >= 0.95) == (2, True)
        elif result.tier is Tier.EDGE:
            assert (layer, confidence >= 0.9) == (4, True)
        else:
            assert layer == 6
        assert result.why
    assert {result.tier for result in results} == set(Tier)


async def test_nothing_is_lost_or_doubled_with_32_in_flight(client: Client, text_bundle: Bundle) -> None:
    await follow_plan(client, chain(text_bundle, (1, 2, 4), "int8", 7002, easy=1.0, medium=1.0))
    slots = asyncio.Semaphore(32)
    before = dict(client.counters)

    async def one(text: bytes) -> Result:
        async with slots:
            return await client.infer(text, deadline=30)

    samples = text_bundle.samples("test", 1)[:300]
    async with asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(one(sample.data)) for sample in samples]
    results = [task.result() for task in asked]

    assert all(result.answer is not None and not result.degraded for result in results)
    assert client.counters["answered"] - before.get("answered", 0) == 300
    assert client.counters["duplicates"] == before.get("duplicates", 0)
    assert client.counters["late"] == before.get("late", 0)


async def test_a_pinned_sample_is_answered_where_it_is_pinned(client: Client) -> None:
    for tier in Tier:
        result = await client.infer(b"a charming, funny picture", tier=tier)
        assert (result.tier, result.error) == (tier, None)


@pytest.mark.parametrize(
    ("data", "cure"),
    [(b"", "empty"), (b"\xff\xfe\xfa", "UTF-8"), (b"word " * 20_000, "characters")],
)
async def test_a_bad_input_ends_in_a_typed_error_that_names_the_cure(
    client: Client, data: bytes, cure: str
) -> None:
    result = await client.infer(data)

    assert result.error is not None
    assert result.error.code == "bad-input"
    assert cure in result.error.message


async def test_garbage_on_a_work_topic_disturbs_nothing(client: Client, broker_url: str) -> None:
    async with (
        connect(broker_url, name="vandal", site=SITE) as session,
        session.subscribe(RESULT, "vandal") as results,
    ):
        for garbage in (b"", b"\x00" * 1000, b"\xdf\xff\xff\xff\xff", b"\x81\xa1v\x01", os.urandom(5000)):
            await session.publish_packed(WORK, "edge", garbage)
        old = pack(Result(id=b"x" * 16, node="vandal", tier=Tier.EDGE))
        assert old
        newer = b"\x83\xa1v\x63\xa2id\xc4\x10" + b"y" * 16 + b"\xa6origin\xa6vandal"
        await session.publish_packed(WORK, "edge", newer)
        async with asyncio.timeout(10):
            answer = await anext(aiter(results))

    assert answer.error is not None
    assert (answer.id, answer.error.code) == (b"y" * 16, "unsupported-version")
    assert (await client.infer(b"still fine", tier=Tier.EDGE)).error is None


async def test_a_killed_edge_costs_no_outcome_and_service_resumes_with_its_return(
    client: Client,
    broker_url: str,
    nodes: dict[str, subprocess.Popen[bytes]],
    text_bundle: Bundle,
    tmp_path: Path,
) -> None:
    await follow_plan(client, chain(text_bundle, (2, 4, 6), "int8", 7003))
    nodes["edge"].kill()
    nodes["edge"].wait(timeout=10)
    results = [await client.infer(b"hard to tell", deadline=1.5) for _ in range(8)]
    assert all((result.answer is None) != (result.error is None) for result in results)
    async with asyncio.timeout(30):
        while (await client.infer(b"hard to tell", deadline=1.5)).answer is None:
            pass  # until the broker has told of the will

    nodes["edge"] = start(broker_url, "edge", "edge", tmp_path / "edge.log")
    async with asyncio.timeout(60):
        while (await client.infer(b"hard to tell", deadline=5)).degraded:
            pass
    assert (await client.infer(b"hard to tell", deadline=5)).tier is Tier.CLOUD


async def test_a_node_that_is_stopped_says_so_at_once(
    client: Client, broker_url: str, tmp_path: Path
) -> None:
    extra = start(broker_url, "edge-two", "edge", tmp_path / "edge-two.log")
    async with asyncio.timeout(60):
        await client.presence.wait_for("edge-two")
    extra.send_signal(signal.SIGTERM)
    assert extra.wait(timeout=2) == 0

    async with asyncio.timeout(5):
        await client.presence.wait_for(
            lambda table: (b := table.get("edge-two")) is not None and b.state == "lost"
        )
