"""Two real node processes on a real Mosquitto: as the link between them degrades, the codec changes."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from tests.nodes.pair import Phone, client_of, phone_and, shape
from tierline_broker import (
    PLAN,
    TELEMETRY,
    Client,
    Plan,
    Pool,
    Result,
    Route,
    Stage,
    Tier,
)
from tierline_models import Bundle, PointBudget

SITE = "codec-choice"
SLOWDOWN = "50"  # of the phone: coding well takes it long enough that a fast link does not repay it
SLOW = 400_000.0  # bytes a second; much slower, and a phone does without it (test_stall.py)
LAYER = 4
TIERS = dict.fromkeys(Pool, Tier.CLOUD)

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def phone(broker_url: str, tmp_path: Path) -> Generator[Phone]:
    with phone_and(Tier.CLOUD, broker_url, tmp_path / "log", "--slowdown", SLOWDOWN, site=SITE) as found:
        yield found


@pytest.fixture
async def client(broker_url: str, phone: Phone) -> AsyncGenerator[Client]:
    async with client_of(Tier.CLOUD, broker_url, site=SITE, within=60) as found:
        yield found


def plan_for(bundle: Bundle) -> Plan:
    """Everything is computed up to a split point on the phone, and answered in the cloud."""
    stages = (
        Stage(tier=Tier.MOBILE, node="phone", layer=LAYER, codec="input"),
        Stage(tier=Tier.CLOUD, node="cloud", layer=6, codec="int8"),
    )
    route = Route(stages=stages, easy=1.0, medium=1.0, tiers=TIERS)
    return Plan(node="phone", model=bundle.digest, version=5, route=route)


def handed_on(result: Result) -> str:
    """The codec in which the cloud node got the sample."""
    assert [step.node for step in result.steps] == ["phone", "cloud"], result
    return result.steps[1].codec


async def test_as_the_link_degrades_the_codec_changes_and_the_labels_do_not(
    client: Client, phone: Phone, text_bundle: Bundle
) -> None:
    model = text_bundle.model
    samples = [sample.data for sample in text_bundle.samples("test", 3)]
    texts = [b" ".join(samples[k : k + 5]) for k in range(0, 60, 5)]
    await client.session.publish(PLAN, "phone", plan_for(text_bundle))

    async with client.session.subscribe(TELEMETRY, "phone") as reports:
        fast = [await client.infer(text) for text in texts[:5]]
        shape(phone, SLOW)
        slow = [await client.infer(text) for text in texts]
        async with asyncio.timeout(10):
            async for report in reports:
                if sum(use.sent for use in report.codecs.values()) == len(fast) + len(slow):
                    break

    best = min(
        (
            codec
            for codec, one in budget(text_bundle).codecs.items()
            if one.error <= budget(text_bundle).error_budget
        ),
        key=lambda codec: budget(text_bundle).codecs[codec].frame_bytes,
    )
    # Something quicker and larger; always, but for what a busy machine makes of a link.
    assert sum(handed_on(result) != best for result in fast) >= 3, list(map(handed_on, fast))
    assert {handed_on(result) for result in slow[-3:]} == {best}
    for text, result in zip([*texts[:5], *texts], [*fast, *slow], strict=True):
        assert result.answer is not None
        assert result.answer.label == model.exit(6, model.run(model.preprocess(text), 0, 6)).label
    told = [(one.steps[1].codec, one.steps[1].received_bytes) for one in (*fast, *slow)]
    for codec, use in report.codecs.items():
        sizes = [size for name, size in told if name == codec]
        assert (use.sent, use.sent_bytes) == (len(sizes), sum(sizes))
        assert use.encode_seconds > 0
        assert use.array_bytes > use.sent_bytes or codec == "raw"
    assert report.notes == {"codec-refined": sum(codec != "int8" for codec, _ in told)}


def budget(bundle: Bundle) -> PointBudget:
    """What was measured at the split point."""
    return next(one for one in bundle.codings.budgets if one.layer == LAYER)
