"""Who steers a real deployment: clients by what they require, and nodes by themselves once nobody plans."""

import asyncio
import signal
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest

from tests.tierline.conftest import Programs
from tierline import Client, connect
from tierline_broker import NODE, PLAN, PRICE, Birth, Plan, Price, Session, Subscription
from tierline_broker import connect as connect_session

pytestmark = pytest.mark.timeout(180)  # the first test here starts the deployment

SITE = "steering"
NODES = {"phone-1": "mobile", "phone-2": "mobile", "edge-1": "edge", "cloud-1": "cloud"}
DEADLINE = 8.0  # whatever the machine does besides
TEXTS = ("a gorgeous, witty film", "dull", "the result is solemn and horrifying, yet oddly detached")


@pytest.fixture(scope="module")
def programs_here(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[dict[str, Any]]:
    """Two phones that share an edge and a cloud, and a scheduler to which accuracy matters."""
    flags = ("--broker", broker_url, "--site", SITE)
    with Programs(tmp_path_factory.mktemp("steering")) as running:
        small = ("--max-layer", "2")  # one exit, which is not accurate enough for the scheduler
        started: dict[str, Any] = {
            name: running.start(
                "node", "--name", name, "--tier", tier, *(small if tier == "mobile" else ()), *flags
            )
            for name, tier in NODES.items()
        }
        started["scheduler"] = running.start(
            "scheduler", "--name", "planner", "--deadline", str(DEADLINE), "--accuracy-drop", "0.001", *flags
        )
        started["again"] = lambda: running.start("scheduler", "--name", "planner-2", *flags)
        yield started


@pytest.fixture
async def session(broker_url: str, programs_here: dict[str, Any]) -> AsyncGenerator[Session]:
    async with connect_session(broker_url, name="watcher", site=SITE) as found:
        yield found


@pytest.fixture
async def client(broker_url: str, programs_here: dict[str, Any]) -> AsyncGenerator[Client]:
    async with connect(broker_url, site=SITE) as found:
        yield found


async def newest(plans: Subscription[Plan], seen: dict[str, Plan], enough: Any) -> None:
    """Take plans until what is asked of the newest of each node holds."""
    while not enough(seen):
        plan = await anext(plans)
        seen[plan.node] = plan


async def answers(client: Client, node: str) -> list[Any]:
    """Send every text into a node."""
    return [await client.infer(text, deadline=30.0, node=node) for text in TEXTS]


def names_of(found: list[Any]) -> set[str]:
    return {step.node for one in found for step in one.steps}


async def test_what_a_client_requires_changes_its_own_plan_and_answers_and_nobody_else_s(
    session: Session, client: Client
) -> None:
    seen: dict[str, Plan] = {}
    async with asyncio.timeout(120), session.subscribe(PLAN) as plans:
        await newest(plans, seen, lambda seen: {"phone-1", "phone-2"} <= set(seen))
        await settled(plans, seen)
        before, other = seen["phone-1"], seen["phone-2"]
        async with client.require(deadline=6.0, accuracy=0.5, priority=5.0, node="phone-1"):
            await newest(plans, seen, lambda seen: seen["phone-1"].deadline == 6.0)
            await settled(plans, seen)
            required = seen["phone-1"]
            found = await answers(client, "phone-1")
            elsewhere = await answers(client, "phone-2")
        await newest(plans, seen, lambda seen: seen["phone-1"].deadline == DEADLINE)

    assert before.predicted_accuracy > required.predicted_accuracy >= 0.5
    assert required.predicted_seconds <= 6.0
    assert required.route.stages[-1].layer == 2 < before.route.stages[-1].layer  # one early exit will do
    assert {step.plan for one in found for step in one.steps} == {required.version}
    assert seen["phone-2"].deadline == other.deadline == DEADLINE
    # But for what is learnt meanwhile of how samples look.
    assert seen["phone-2"].predicted_accuracy == pytest.approx(other.predicted_accuracy, abs=0.005)
    assert "edge-1" in names_of(elsewhere)
    assert any(stage.node == "edge-1" for stage in seen["phone-1"].route.stages)


async def settled(plans: Subscription[Plan], seen: dict[str, Plan]) -> None:
    """Take plans until none has come for three seconds."""
    while True:
        try:
            async with asyncio.timeout(3):
                plan = await anext(plans)
        except TimeoutError:
            return
        seen[plan.node] = plan


async def test_without_a_scheduler_nodes_choose_by_the_last_prices_and_answers_keep_coming(
    session: Session, client: Client, programs_here: dict[str, Any]
) -> None:
    seen: dict[str, Plan] = {}
    async with asyncio.timeout(120), session.subscribe(PLAN) as plans, session.subscribe(NODE) as births:
        await newest(plans, seen, lambda seen: "phone-1" in seen)
        await settled(plans, seen)
        planned = await answers(client, "phone-1")
        programs_here["scheduler"].process.send_signal(signal.SIGKILL)
        await gone(births, "planner")

        alone = await answers(client, "phone-1")
        await session.retain(PRICE, "edge-1", Price(node="edge-1", wait=3600.0, price=9.0))
        await asyncio.sleep(0.5)
        dear = await answers(client, "phone-1")
        programs_here["edge-1"].process.send_signal(signal.SIGKILL)
        programs_here["cloud-1"].process.send_signal(signal.SIGKILL)
        await gone(births, "cloud-1")
        left = await answers(client, "phone-1")

        programs_here["again"]()
        version = seen["phone-1"].version
        await newest(plans, seen, lambda seen: seen["phone-1"].version > version)

    assert "edge-1" in names_of(planned)
    assert "edge-1" in names_of(alone)
    assert "edge-1" not in names_of(dear)
    assert "cloud-1" in names_of(dear)
    assert names_of(left) == {"phone-1"}
    assert not any(one.degraded for one in (*planned, *alone, *dear))
    assert any(one.degraded for one in left)
    assert all(one.label for one in (*planned, *alone, *dear, *left))
    assert [stage.node for stage in seen["phone-1"].route.stages] == ["phone-1"]


async def gone(births: Subscription[Birth], name: str) -> None:
    """Wait until somebody's last will is there."""
    while (birth := await anext(births)).node != name or birth.state != "lost":
        pass
