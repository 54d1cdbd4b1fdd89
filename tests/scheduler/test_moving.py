"""Mobile nodes leave a crowded edge for idle ones, each once, by the rounds alone."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from tests.scheduler.test_service import SECONDS, config
from tierline_broker import (
    NODE,
    ORDER,
    PLAN,
    PROFILE,
    TELEMETRY,
    Order,
    Plan,
    Session,
    Tier,
    connect,
    running,
)
from tierline_scheduler import ClusterState, Objective, Reluctance, apply, run_round, run_scheduler
from tierline_scheduler.planner import assess, ledger_of

OBJECTIVE = Objective(deadline=0.3, accuracy_drop=0.005)
COUNT, ROUNDS = 12, 3


@pytest.fixture(scope="module")
def crowded(kit: Any) -> ClusterState:
    """All planned with one edge, too slow for so many, as when the other two were not there."""
    alone = kit.deployment(kit.text.card, mobiles=COUNT, clouds=0, rate=1.3)
    plans = run_round(alone, OBJECTIVE, Reluctance(), {}).changed
    return replace(kit.deployment(kit.text.card, mobiles=COUNT, edges=3, clouds=0, rate=1.3), plans=plans)


def edge_of(plan: Plan) -> str:
    """The edge that a plan uses; empty if none."""
    return next((stage.node for stage in plan.route.stages if stage.tier is Tier.EDGE), "")


def late(state: ClusterState) -> int:
    """How many plans in force do not keep their limits."""
    ledger = ledger_of(state, OBJECTIVE)
    found = (assess(state, plan, OBJECTIVE, ledger.traffic(name)) for name, plan in state.plans.items())
    return sum(one is None or not one.feasible for one in found)


def moved(state: ClusterState) -> tuple[ClusterState, list[str]]:
    """Return the state after some rounds, and who changed its edge, as often as it did."""
    standings: Any = {}
    movers: list[str] = []
    for at in range(ROUNDS):
        decided = run_round(state, OBJECTIVE, Reluctance(), standings)
        changed = decided.changed
        movers += [name for name, plan in changed.items() if edge_of(plan) != edge_of(state.plans[name])]
        standings = decided.standings
        state = replace(state, plans={**state.plans, **changed}, now=at + 1.0)
    return state, movers


def test_a_crowd_spreads_over_idle_edges_and_nobody_moves_twice(crowded: ClusterState) -> None:
    after, movers = moved(crowded)
    used = [edge_of(plan) for plan in after.plans.values()]

    assert late(crowded) >= 3
    assert late(after) == 0
    assert len(movers) == len(set(movers)) >= COUNT / 2
    assert all(used.count(f"edge-{k}") >= 3 for k in range(3))


def test_who_is_pinned_stays_and_a_drained_edge_gets_nobody(crowded: ClusterState) -> None:
    pinned = [name for name, plan in crowded.plans.items() if edge_of(plan)][:2]
    state = crowded
    for order in (*(Order(node=name, pin=True) for name in pinned), Order(node="edge-2", drain=True)):
        state = apply(state, order, 0.0)

    after, movers = moved(state)

    assert movers
    assert not set(pinned) & set(movers)
    assert "edge-2" not in {edge_of(plan) for plan in after.plans.values()}


NODES = {"edge-0": (Tier.EDGE, 3.0), "edge-1": (Tier.EDGE, 3.0)} | {
    f"mobile-{k}": (Tier.MOBILE, 25.0) for k in range(4)
}
"""What each is, and how many times slower than a reference."""


async def speak(kit: Any, session: Session) -> None:
    """Say what each is, and four times a second how it is."""
    for name, (tier, slowdown) in NODES.items():
        await session.retain(PROFILE, name, kit.profile(name, tier, kit.text.card, slowdown))
        await session.retain(NODE, name, kit.birth(name, tier))
    links = [kit.link(name) for name, (tier, _) in NODES.items() if tier is Tier.EDGE]
    while True:
        for name, (tier, _) in NODES.items():
            said = (links, 4.0) if tier is Tier.MOBILE else ([], 0.0)
            await session.publish(TELEMETRY, name, kit.telemetry(name, tier, *said[0], arrival_rate=said[1]))
        await asyncio.sleep(0.25)


async def test_a_running_scheduler_spreads_nodes_over_an_edge_that_comes_back(
    kit: Any, broker_url: str, site: str
) -> None:
    used: dict[str, str] = {}
    async with (
        asyncio.timeout(SECONDS),
        connect(broker_url, name="nodes", site=site) as session,
        session.subscribe(PLAN) as told,
        running(speak(kit, session), name="nodes"),
    ):

        async def until(edges: set[str]) -> None:
            while set(used.values()) - {""} != edges or len(used) < 4:
                plan = await anext(told)
                used[plan.node] = edge_of(plan)

        await session.retain(ORDER, "edge-1", Order(node="edge-1", drain=True))
        async with running(run_scheduler(config(broker_url, site, objective=OBJECTIVE)), name="scheduler"):
            await until({"edge-0"})
            await session.retain(ORDER, "edge-1", Order(node="edge-1"))
            await until({"edge-0", "edge-1"})
