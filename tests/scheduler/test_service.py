import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from structlog.testing import capture_logs

from tierline_broker import (
    NODE,
    ORDER,
    PLAN,
    PRICE,
    PROFILE,
    RAW_INPUT,
    TELEMETRY,
    ConnectError,
    ModelCard,
    Order,
    Plan,
    PointCard,
    Requirement,
    Route,
    Session,
    Stage,
    Subscription,
    Tier,
    connect,
    requiring,
    running,
)
from tierline_scheduler import Objective, SchedulerConfig, rounds, run_scheduler

SECONDS = 20
OBJECTIVE = Objective(deadline=0.2)


def config(url: str, site: str, **fields: Any) -> SchedulerConfig:
    given = {"objective": OBJECTIVE, "silence": 60.0, "round_seconds": 0.2}
    return SchedulerConfig(name="scheduler", broker=url, site=site, **{**given, **fields})


@dataclass
class Fakes:
    """Nodes that only publish records; one session speaks for all of them."""

    kit: Any
    session: Session
    plans: Subscription[Plan]

    async def join(self, tier: Tier, card: ModelCard, slowdown: float, **report: Any) -> None:
        name = f"{tier}-0"
        await self.session.retain(PROFILE, name, self.kit.profile(name, tier, card, slowdown))
        await self.session.retain(NODE, name, self.kit.birth(name, tier))
        await self.report(tier, **report)

    async def join_all(self, card: ModelCard) -> None:
        await self.join(Tier.CLOUD, card, 1.0)
        await self.join(Tier.EDGE, card, 3.0)
        await self.join(Tier.MOBILE, card, 10.0, arrival_rate=5.0)

    async def report(self, tier: Tier, *links: Any, **fields: Any) -> None:
        name = f"{tier}-0"
        await self.session.publish(TELEMETRY, name, self.kit.telemetry(name, tier, *links, **fields))

    async def leave(self, tier: Tier) -> None:
        await self.session.retain(NODE, f"{tier}-0", self.kit.birth(f"{tier}-0", tier, state="lost"))

    async def plan(self, *, edge: bool) -> Plan:
        """Wait for a plan with or without the edge."""
        async for found in self.plans:
            if edge == any(stage.tier is Tier.EDGE for stage in found.route.stages):
                return found
        raise AssertionError("a subscription never ends")


@asynccontextmanager
async def fakes(kit: Any, url: str, site: str) -> AsyncGenerator[Fakes]:
    async with connect(url, name="fakes", site=site) as session, session.subscribe(PLAN) as plans:
        yield Fakes(kit, session, plans)


async def test_a_plan_is_published_retained_and_changes_at_once_when_a_node_dies(
    kit: Any, broker_url: str, site: str
) -> None:
    async with asyncio.timeout(SECONDS), fakes(kit, broker_url, site) as nodes:
        # A round of its own would come far too late to be the cause of anything here.
        slow = config(broker_url, site, round_seconds=600.0)
        async with running(run_scheduler(slow), name="scheduler"):
            await nodes.join_all(kit.text.card)
            with_edge = await nodes.plan(edge=True)
            await nodes.leave(Tier.EDGE)
            without = await nodes.plan(edge=False)

            async with connect(broker_url, name="late", site=site) as late, late.subscribe(PLAN) as retained:
                assert await anext(retained) == without

    assert with_edge.node == "mobile-0"
    assert with_edge.model == kit.text.card.digest
    assert without.version > with_edge.version
    assert "cannot be carried out any more" in without.reason


async def test_a_drained_node_is_planned_around_and_taken_back(kit: Any, broker_url: str, site: str) -> None:
    async with (
        asyncio.timeout(SECONDS),
        fakes(kit, broker_url, site) as nodes,
        running(run_scheduler(config(broker_url, site, round_seconds=600.0)), name="scheduler"),
    ):
        await nodes.join_all(kit.text.card)
        await nodes.plan(edge=True)
        for tier in Tier:
            await nodes.report(tier, arrival_rate=5.0 if tier is Tier.MOBILE else 0.0)
        await nodes.session.retain(ORDER, "edge-0", Order(node="edge-0", drain=True))
        await nodes.plan(edge=False)
        await nodes.session.retain(ORDER, "edge-0", Order(node="edge-0"))
        await nodes.plan(edge=True)
        await nodes.session.retain(ORDER, "edge-0", Order(node="edge-0", remove=True))
        await nodes.plan(edge=False)


async def test_what_a_client_requires_is_planned_for_at_once(kit: Any, broker_url: str, site: str) -> None:
    lax = Objective(deadline=5.0, accuracy_drop=1.0)
    wanted = Requirement(client="app", node="mobile-0", deadline=0.2, accuracy=kit.text.card.accuracy - 0.01)
    async with (
        asyncio.timeout(SECONDS),
        fakes(kit, broker_url, site) as nodes,
        running(run_scheduler(config(broker_url, site, objective=lax)), name="scheduler"),
    ):
        await nodes.join_all(kit.text.card)
        before = await anext(nodes.plans)
        for tier in Tier:
            await nodes.report(tier, arrival_rate=1.0 if tier is Tier.MOBILE else 0.0)
        async with requiring(nodes.session, wanted):
            while (after := await anext(nodes.plans)).deadline != 0.2:
                pass

    assert after.predicted_seconds < 0.2
    assert after.predicted_accuracy >= kit.text.card.accuracy - 0.0101 > before.predicted_accuracy


async def test_plans_carry_other_ways_and_shared_nodes_their_prices(
    kit: Any, broker_url: str, site: str
) -> None:
    async with (
        asyncio.timeout(SECONDS),
        fakes(kit, broker_url, site) as nodes,
        nodes.session.subscribe(PRICE) as prices,
        running(run_scheduler(config(broker_url, site)), name="scheduler"),
    ):
        await nodes.join_all(kit.text.card)
        found = await nodes.plan(edge=True)
        for tier in Tier:
            await nodes.report(tier, arrival_rate=5.0 if tier is Tier.MOBILE else 0.0)
        told = {}
        while set(told) != {"edge-0", "cloud-0"} or told["edge-0"].busy == 0:
            price = await anext(prices)
            told[price.node] = price

    ways = [tuple(stage.node for stage in one.route.stages) for one in found.fallbacks]
    assert ways[0] == tuple(stage.node for stage in found.route.stages)
    assert len(set(ways[:4])) == 4
    assert len(found.fallbacks) > 4
    assert all(one.route.stages[0].layer == one.wait == 0 for one in found.fallbacks[4:])
    alone = next(one for one in found.fallbacks if len(one.route.stages) == 1)
    assert (alone.sent_bytes, alone.uses, alone.cost) == (0, {}, 0.0)
    assert told["edge-0"].wait > 0


async def test_changes_are_logged_with_their_reason(kit: Any, broker_url: str, site: str) -> None:
    logged = asyncio.Event()

    def watch(_: Any, __: str, event: Any) -> Any:
        if event["event"] == "plan_changed":
            logged.set()
        return event

    with capture_logs(processors=[watch]) as logs:
        async with (
            asyncio.timeout(SECONDS),
            fakes(kit, broker_url, site) as nodes,
            running(run_scheduler(config(broker_url, site)), name="scheduler"),
        ):
            await nodes.join_all(kit.text.card)
            found = await anext(nodes.plans)
            await logged.wait()  # which may be after the plan is here

    first = next(entry for entry in logs if entry["event"] == "plan_changed")
    assert first["log_level"] == "info"
    assert first["node"] == "mobile-0"
    assert first["reason"] == found.reason
    assert first["route"].startswith("input to mobile-0 until")


async def test_a_scheduler_that_starts_again_goes_on_from_the_plan_in_force(
    kit: Any, broker_url: str, site: str
) -> None:
    async with asyncio.timeout(SECONDS), fakes(kit, broker_url, site) as nodes:
        async with running(run_scheduler(config(broker_url, site)), name="first"):
            await nodes.join_all(kit.text.card)
            before = await nodes.plan(edge=True)
        async with running(run_scheduler(config(broker_url, site)), name="second"):
            await nodes.leave(Tier.EDGE)
            after = await nodes.plan(edge=False)

    assert after.version == before.version + 1


async def test_the_scheduler_says_that_it_is_there_and_when_it_goes(
    kit: Any, broker_url: str, site: str
) -> None:
    async with (
        asyncio.timeout(SECONDS),
        connect(broker_url, name="watcher", site=site) as watcher,
        watcher.subscribe(NODE, "scheduler") as births,
    ):
        async with running(run_scheduler(config(broker_url, site)), name="scheduler"):
            here = await anext(births)
        gone = await anext(births)

    assert (here.role, here.tier, here.state) == ("scheduler", None, "ready")
    assert (gone.role, gone.state, gone.incarnation) == ("scheduler", "lost", here.incarnation)


async def test_bad_records_are_counted_and_end_nothing(kit: Any, broker_url: str, site: str) -> None:
    card = kit.text.card.model_copy(update={"exits": (2, 4)})
    with capture_logs() as logs:
        async with (
            asyncio.timeout(SECONDS),
            fakes(kit, broker_url, site) as nodes,
            running(run_scheduler(config(broker_url, site)), name="scheduler"),
        ):
            await nodes.join_all(kit.text.card)
            await nodes.plan(edge=True)
            await nodes.session.publish(PROFILE, "edge-0", kit.profile("edge-0", Tier.EDGE, card))
            for topic in (NODE, PROFILE, TELEMETRY, PLAN):
                await nodes.session.publish_packed(topic, "edge-0", b"\xc1 no record")
            await nodes.leave(Tier.EDGE)
            await nodes.plan(edge=False)

    refused = [entry for entry in logs if entry["event"] == "record_refused"]
    assert "exits must rise" in refused[0]["reason"]
    assert refused[0]["node"] == "edge-0"


async def test_a_retained_plan_of_the_last_version_there_is_ends_no_scheduler(
    kit: Any, broker_url: str, site: str
) -> None:
    last = 2**63 - 1
    with capture_logs() as logs:
        async with asyncio.timeout(SECONDS), fakes(kit, broker_url, site) as nodes:
            stage = Stage(tier=Tier.MOBILE, node="mobile-0", layer=6, codec="input")
            route = Route(stages=(stage,))
            forged = Plan(node="mobile-0", model=kit.text.card.digest, version=last, route=route)
            await nodes.session.retain(PLAN, "mobile-0", forged)
            assert await nodes.plan(edge=False) == forged
            async with running(run_scheduler(config(broker_url, site)), name="scheduler"):
                await nodes.join_all(kit.text.card)
                found = await nodes.plan(edge=True)

    assert found.version < last
    refused = [entry for entry in logs if entry["event"] == "record_refused"]
    assert refused[0]["node"] == "mobile-0"
    assert f"version {last}" in refused[0]["reason"]


async def test_a_codec_without_end_in_a_profile_ends_no_scheduler(
    kit: Any, broker_url: str, site: str
) -> None:
    # An input that only an activation can stand in for on the way: the tempting codec would be planned.
    heavy = kit.population(blocks=6, exits=(2, 4, 6), input_bytes=1_000_000).card
    points = tuple(PointCard(layer=k, frame_bytes={"x" * 2000: 1, "int8": 19_000}) for k in range(1, 6))
    card = heavy.model_copy(update={"points": points})
    async with (
        asyncio.timeout(SECONDS),
        fakes(kit, broker_url, site) as nodes,
        running(run_scheduler(config(broker_url, site)), name="scheduler"),
    ):
        await nodes.join_all(card)
        found = await nodes.plan(edge=True)

    assert {stage.codec for stage in found.route.stages} == {RAW_INPUT, "int8"}


async def test_a_node_that_cannot_be_decided_for_is_logged_once_and_the_others_get_their_plans(
    kit: Any, broker_url: str, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decide, failures = rounds.choose_in_fleet, asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()

    def choose(state: Any, mobile: Any, *others: Any) -> Any:
        if mobile.name == "mobile-1":
            loop.call_soon_threadsafe(failures.release)
            raise ZeroDivisionError("forged")
        return decide(state, mobile, *others)

    monkeypatch.setattr(rounds, "choose_in_fleet", choose)
    with capture_logs() as logs:
        async with (
            asyncio.timeout(SECONDS),
            fakes(kit, broker_url, site) as nodes,
            running(run_scheduler(config(broker_url, site)), name="scheduler"),
        ):
            await nodes.session.retain(
                PROFILE, "mobile-1", kit.profile("mobile-1", Tier.MOBILE, kit.text.card)
            )
            await nodes.session.retain(NODE, "mobile-1", kit.birth("mobile-1", Tier.MOBILE))
            for _ in range(3):
                await failures.acquire()
            await nodes.join_all(kit.text.card)
            found = await nodes.plan(edge=True)

    assert found.node == "mobile-0"
    failed = [entry for entry in logs if entry["event"] == "decision_failed"]
    assert [(entry["node"], entry["log_level"]) for entry in failed] == [("mobile-1", "error")]
    assert "forged" in failed[0]["reason"]


async def test_a_node_that_falls_silent_is_left_out_until_it_speaks(
    kit: Any, broker_url: str, site: str
) -> None:
    async with asyncio.timeout(SECONDS), fakes(kit, broker_url, site) as nodes:

        async def speak(tiers: list[Tier]) -> None:
            while True:
                for tier in tiers:
                    await nodes.report(tier, arrival_rate=5.0 if tier is Tier.MOBILE else 0.0)
                await asyncio.sleep(0.1)

        speaking = [Tier.MOBILE, Tier.CLOUD]
        impatient = config(broker_url, site, silence=1.0)
        async with (
            running(run_scheduler(impatient), name="scheduler"),
            running(speak(speaking), name="speak"),
        ):
            await nodes.join_all(kit.text.card)
            await nodes.plan(edge=True)
            await nodes.plan(edge=False)
            speaking.append(Tier.EDGE)
            await nodes.plan(edge=True)


async def test_a_mobile_node_without_any_possible_plan_is_reported_once(
    kit: Any, broker_url: str, site: str
) -> None:
    reported = asyncio.Event()

    def watch(_: Any, __: str, event: Any) -> Any:
        if event["event"] == "plan_impossible":
            reported.set()
        return event

    with capture_logs(processors=[watch]) as logs:
        async with (
            asyncio.timeout(SECONDS),
            fakes(kit, broker_url, site) as nodes,
            running(run_scheduler(config(broker_url, site)), name="scheduler"),
        ):
            profile = kit.profile("mobile-0", Tier.MOBILE, kit.text.card, max_layer=0)
            await nodes.session.retain(PROFILE, "mobile-0", profile)
            await nodes.session.retain(NODE, "mobile-0", kit.birth("mobile-0", Tier.MOBILE))
            await reported.wait()
            await nodes.join(Tier.CLOUD, kit.text.card, 1.0)
            await nodes.plan(edge=False)

    assert sum(entry["event"] == "plan_impossible" for entry in logs) == 1


async def test_a_broker_that_dies_and_comes_back_finds_the_plans_again(
    kit: Any, start_broker: Any, site: str
) -> None:
    async with asyncio.timeout(SECONDS):
        broker = await start_broker(kind="mosquitto")
        async with (
            fakes(kit, broker.url, site) as nodes,
            running(run_scheduler(config(broker.url, site)), name="scheduler"),
        ):
            await nodes.join_all(kit.text.card)
            before = await nodes.plan(edge=True)
            await broker.kill()
            await nodes.session.lost()
            await start_broker(kind="mosquitto", port=broker.port)
            again = await nodes.plan(edge=True)

    # A broker without memory: the scheduler, which has one, publishes what it had.
    assert again == before


async def test_without_a_broker_the_scheduler_says_so() -> None:
    with pytest.raises(ConnectError, match="no MQTT broker answers"):
        async with asyncio.timeout(SECONDS):
            await run_scheduler(config("mqtt://127.0.0.1:1", "nowhere"))
