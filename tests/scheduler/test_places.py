"""Who is in time at an edge with room for one of two: many rounds, on records as real nodes send them."""

from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest

from tierline_broker import Requirement, RouteCard, Tier
from tierline_scheduler import ClusterState, Objective, Reluctance, apply, run_round
from tierline_scheduler.planner import ledger_of

DEADLINE, RATE, SECONDS = 2.0, 4.0, 12
OBJECTIVE = Objective(deadline=DEADLINE, accuracy_drop=0.01, expected_rate=RATE)
NAMES = ("mobile-0", "mobile-1")
SLOW = 2 * DEADLINE / 2 / 0.004  # both blocks that a phone holds take it two deadlines
FULL = 0.72 * 6 / 4  # share of its time that the edge takes for all blocks of one phone; 4 of 6 are enough


def scene(kit: Any, priorities: tuple[float, float], full: float = FULL) -> ClusterState:
    """Two phones that need the edge, before anybody was heard of."""
    routes = (((2,), (), 0.80), ((4,), (), 0.90), ((6,), (), 0.905), ((2, 4), (0.8,), 0.90))
    shares = {1: (1.0,), 2: (0.8, 0.2)}
    card = kit.text.card.model_copy(
        update={
            "routes": tuple(
                RouteCard(exits=e, thresholds=t, shares=shares[len(e)], accuracy=a) for e, t, a in routes
            )
        }
    )
    state = kit.apply(ClusterState(), kit.birth("edge-0", Tier.EDGE))
    state = kit.apply(state, kit.profile("edge-0", Tier.EDGE, card, full / RATE / (6 * 0.004)))
    for name, priority in zip(NAMES, priorities, strict=True):
        slow = kit.profile(name, Tier.MOBILE, card, SLOW, max_layer=2, block_seconds=(0.004 * SLOW,) * 2)
        wanted = Requirement(client=f"of-{name}", node=name, deadline=DEADLINE, priority=priority, valid=600)
        for record in (kit.birth(name, Tier.MOBILE), slow, wanted):
            state = kit.apply(state, record)
    return state


@dataclass
class Edge:
    """What a real edge does meanwhile: it works off what comes, and loads its model first."""

    loading: int
    backlog: float = 0.0  # seconds

    def work(self, at: int, asked: float) -> float:
        """Return how busy it says that it is in a second in which this is asked of it."""
        asked += 0.6 if at < self.loading else 0.0
        busy = 1.0 if at == 0 and self.loading else min(1.0, asked + self.backlog)
        self.backlog = max(0.0, self.backlog + asked - 1)
        return busy


def served(kit: Any, state: ClusterState, *, loading: int, seed: int = 0) -> tuple[list[set[str]], int]:
    """Return whose samples the edge does all of, second by second, and how many plans were made."""
    rng, edge, found, plans = Random(seed), Edge(loading), list[set[str]](), 0
    standings: Any = {}
    for at in range(SECONDS):
        sent = {name: sum(rng.random() < RATE / 50 for _ in range(50)) for name in NAMES}
        asked = sum(use(state, name, sent[name]) for name in NAMES)
        speed = max(0.5, rng.gauss(1.3 if at < loading else 1.0, 0.05))
        busy = edge.work(at, asked)
        report = kit.telemetry("edge-0", Tier.EDGE, busy=busy, queue=int(edge.backlog * RATE), speed=speed)
        state = apply(state, report, float(at))
        for name in NAMES:
            link = kit.link("edge-0", 2e7 * rng.lognormvariate(0, 0.1), observations=at + 1)
            state = apply(state, kit.telemetry(name, Tier.MOBILE, link, arrival_rate=sent[name]), float(at))
        decided = run_round(state, OBJECTIVE, Reluctance(), standings)
        standings, plans = decided.standings, plans + len(decided.changed)
        for plan in decided.changed.values():
            state = apply(state, plan, float(at))
        found.append({name for name in NAMES if state.plans[name].route.stages[0].layer == 0})
    return found, plans


def use(state: ClusterState, name: str, sent: float) -> float:
    """The seconds that these samples of a phone keep the edge busy under its plan."""
    asked = ledger_of(state, OBJECTIVE).entries.get(name, {}).get("edge-0")
    arrivals = state.nodes[name].arrivals
    if asked is None:
        return 0.0
    return asked.utilisation * sent / max(RATE, 0.0 if arrivals is None else arrivals.value)


@pytest.mark.parametrize("loading", [0, 3])
@pytest.mark.parametrize("important", NAMES)
def test_the_more_important_has_the_edge_whether_or_not_it_is_busy_with_something_else_at_first(
    kit: Any, loading: int, important: str
) -> None:
    priorities = (10.0, 1.0) if important == NAMES[0] else (1.0, 10.0)

    found, plans = served(kit, scene(kit, priorities), loading=loading)

    assert found.count({important}) >= SECONDS - 1
    assert plans <= 3


@pytest.mark.parametrize("seed", [0, 1])
def test_of_two_that_matter_alike_one_has_the_edge_rather_than_both_too_little_of_it(
    kit: Any, seed: int
) -> None:
    found, plans = served(kit, scene(kit, (1.0, 1.0)), loading=3, seed=seed)

    assert sum(len(one) == 1 for one in found) >= SECONDS - 1
    assert plans <= 4


def test_of_two_for_whom_an_edge_is_too_slow_the_less_important_takes_as_little_of_it_as_it_can(
    kit: Any,
) -> None:
    state = scene(kit, (1.0, 10.0), full=2.4 * FULL)
    for name in NAMES:
        state = kit.apply(state, kit.telemetry(name, Tier.MOBILE, kit.link("edge-0", 2e7), arrival_rate=4.0))
    state = kit.apply(state, kit.telemetry("edge-0", Tier.EDGE, busy=0.2))

    plans = run_round(state, OBJECTIVE, Reluctance(), {}).changed

    assert [plans[name].route.stages[0].layer for name in NAMES] == [2, 0]


def test_a_loading_edge_pushes_nobody_to_a_phone_many_times_too_slow(kit: Any) -> None:
    state = scene(kit, (10.0, 1.0))
    for name in NAMES:
        state = kit.apply(state, kit.telemetry(name, Tier.MOBILE, kit.link("edge-0", 2e7), arrival_rate=4.0))
    state = kit.apply(state, kit.telemetry("edge-0", Tier.EDGE, busy=1.0, queue=4))

    plans = run_round(state, OBJECTIVE, Reluctance(), {}).changed

    assert plans["mobile-0"].route.stages[0].layer == 0
    assert plans["mobile-1"].route.stages[0].layer == 2  # what it cannot do there in time, it does here


def test_the_order_of_records_and_names_does_not_matter(kit: Any) -> None:
    state = scene(kit, (10.0, 1.0))
    for name in NAMES:
        state = kit.apply(state, kit.telemetry(name, Tier.MOBILE, kit.link("edge-0", 2e7), arrival_rate=4.0))
    state = kit.apply(state, kit.telemetry("edge-0", Tier.EDGE, busy=0.4, queue=1))
    mixed = replace(state, nodes=dict(reversed(state.nodes.items())))

    once, again = (run_round(one, OBJECTIVE, Reluctance(), {}).changed for one in (state, mixed))

    assert once == again
