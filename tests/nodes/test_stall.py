"""A real link that collapses under real nodes: what waits is answered on the phone, and nothing is lost."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from pathlib import Path

import pytest

from tests.nodes.pair import Phone, client_of, phone_and, shape
from tierline_broker import (
    PLAN,
    TELEMETRY,
    Client,
    Fallback,
    Plan,
    Pool,
    Route,
    Stage,
    Subscription,
    Telemetry,
    Tier,
)
from tierline_models import Bundle
from tierline_nodes.routing import all_here

SITE = "stall"
SAMPLES = 8
DEADLINE = 40.0
LONG = b"neither good nor bad , and yet it moves " * 12

pytestmark = pytest.mark.timeout(240)


@pytest.fixture
def phone(broker_url: str, tmp_path: Path) -> Generator[Phone]:
    with phone_and(Tier.EDGE, broker_url, tmp_path / "log", site=SITE) as found:
        yield found


@pytest.fixture
async def client(broker_url: str, phone: Phone) -> AsyncGenerator[Client]:
    async with client_of(Tier.EDGE, broker_url, site=SITE, within=100) as found:
        yield found


def plan_for(bundle: Bundle) -> Plan:
    """All samples go on to the edge after block 1, before any exit; else they are answered on the phone."""
    stages = (
        Stage(tier=Tier.MOBILE, node="phone", layer=1, codec="input"),
        Stage(tier=Tier.EDGE, node="edge", layer=6, codec="fp16"),
    )
    route = Route(stages=stages, tiers=dict.fromkeys(Pool, Tier.EDGE))
    alone = Fallback(route=all_here("phone", Tier.MOBILE, 6), seconds=0.05)
    return Plan(node="phone", model=bundle.digest, version=3, route=route, deadline=5.0, fallbacks=(alone,))


async def until_called_back(reports: Subscription[Telemetry]) -> AsyncGenerator[Telemetry]:
    """Yield reports up to the first that counts samples as called back."""
    async for report in reports:
        yield report
        if "called-back" in report.drops:
            return


async def test_what_waits_for_a_link_that_collapses_is_answered_on_the_phone_and_nothing_is_lost(
    client: Client, phone: Phone, text_bundle: Bundle
) -> None:
    async with asyncio.timeout(100), client.session.subscribe(TELEMETRY, "phone") as reports:
        await client.session.publish(PLAN, "phone", plan_for(text_bundle))
        shape(phone, 1e6)
        before = [await client.infer(LONG, deadline=DEADLINE, node="phone") for _ in range(6)]
        shape(phone, 1e3)  # a frame takes over half a minute
        asked = (client.infer(LONG, deadline=DEADLINE, node="phone") for _ in range(SAMPLES))
        started = asyncio.get_running_loop().time()
        waited = await asyncio.gather(*asked)
        seconds = asyncio.get_running_loop().time() - started
        after = await client.infer(LONG, deadline=DEADLINE, node="phone")
        told = [report async for report in until_called_back(reports)]

    assert {one.tier for one in before[1:]} == {Tier.EDGE}
    assert {(one.tier, one.degraded) for one in waited} == {(Tier.MOBILE, True)}
    whys = [one.why for one in waited]
    assert all("the link to edge lets nothing through" in why for why in whys), (set(whys), seconds)
    assert seconds < 10
    assert (after.tier, after.degraded) == (Tier.MOBILE, False)
    early = next(report for report in told if report.early)
    assert [link.stalled for link in early.links] == [True]
    assert early.links[0].bytes_per_second < 1e6
    assert told[-1].drops["called-back"] <= SAMPLES
