"""Who goes without where a shared edge has room for one: from what clients require to the plans in force."""

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from tierline_broker import (
    NODE,
    PLAN,
    PROFILE,
    TELEMETRY,
    Plan,
    Requirement,
    Session,
    Tier,
    connect,
    requiring,
    running,
)
from tierline_scheduler import Objective, SchedulerConfig, run_scheduler

OBJECTIVE = Objective(deadline=0.5, accuracy_drop=0.005)
MOBILES = ("mobile-0", "mobile-1")
NODES = {**dict.fromkeys(MOBILES, (Tier.MOBILE, 25.0)), "edge-0": (Tier.EDGE, 4.0)}
"""What each is, and how many times slower than a reference."""


@pytest.mark.parametrize("important", MOBILES)
async def test_of_two_clients_on_an_edge_with_room_for_one_the_more_important_keeps_its_deadline(
    kit: Any, broker_url: str, site: str, important: str
) -> None:
    wanted = {
        name: Requirement(
            client=f"of-{name}", node=name, deadline=0.5, priority=10.0 if name == important else 1.0
        )
        for name in MOBILES
    }
    settings = SchedulerConfig(
        name="planner", broker=broker_url, site=site, objective=OBJECTIVE, silence=60.0, round_seconds=0.2
    )
    seen: dict[str, Plan] = {}
    (other,) = set(MOBILES) - {important}
    async with (
        asyncio.timeout(20),
        connect(broker_url, name="of-mobile-0", site=site) as first,
        connect(broker_url, name="of-mobile-1", site=site) as second,
        connect(broker_url, name="nodes", site=site) as nodes,
        nodes.subscribe(PLAN) as plans,
        requiring(first, wanted["mobile-0"]),
        requiring(second, wanted["mobile-1"]),
        running(run_scheduler(settings), name="scheduler"),
        running(speak(kit, nodes), name="nodes"),
    ):
        while other not in seen or "nothing meets the deadline" not in seen[other].reason:
            plan = await anext(plans)
            seen[plan.node] = plan
        with suppress(TimeoutError):
            async with asyncio.timeout(1):  # some rounds more, which may change a plan once more
                plan = await anext(plans)
                seen[plan.node] = plan

    assert "within 0.5 s" in seen[important].reason
    assert seen[important].predicted_seconds < 0.5
    assert any(stage.node == "edge-0" for stage in seen[important].route.stages)
    assert "nothing meets the deadline" in seen[other].reason


async def speak(kit: Any, session: Session) -> None:
    """Say, as two phones and an edge would, what each is and four times a second how it is."""
    for name, (tier, slowdown) in NODES.items():
        await session.retain(PROFILE, name, kit.profile(name, tier, kit.text.card, slowdown))
        await session.retain(NODE, name, kit.birth(name, tier))
    while True:
        for name, (tier, _) in NODES.items():
            sent = ([kit.link("edge-0", 2e7)], 4.0) if tier is Tier.MOBILE else ([], 0.0)
            await session.publish(TELEMETRY, name, kit.telemetry(name, tier, *sent[0], arrival_rate=sent[1]))
        await asyncio.sleep(0.25)
