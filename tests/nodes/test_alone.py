from typing import Any

import pytest

from tierline_broker import (
    RAW_INPUT,
    Birth,
    Fallback,
    LinkReport,
    Plan,
    Presence,
    Price,
    Route,
    Stage,
    Tier,
)  # fmt: skip
from tierline_nodes.alone import route_now

TIERS = {"phone": Tier.MOBILE, "near": Tier.EDGE, "far": Tier.EDGE, "cloud": Tier.CLOUD}


def route(*names: str) -> Route:
    return Route(
        stages=tuple(
            Stage(tier=TIERS[name], node=name, layer=k + 1, codec=RAW_INPUT) for k, name in enumerate(names)
        )
    )


def way(*names: str, seconds: float, cost: float = 0.0, sent_bytes: int = 10_000) -> Fallback:
    alone = len(names) == 1
    return Fallback(
        route=route(*names), seconds=seconds, cost=cost, sent_bytes=0 if alone else sent_bytes,
        uses=dict.fromkeys(names[1:], 0.01),
    )  # fmt: skip


NEAR, FAR = way("phone", "near", seconds=0.1), way("phone", "far", seconds=0.12)
CLOUD, ALONE = way("phone", "cloud", seconds=0.05, cost=0.02), way("phone", seconds=0.9)
PLAN = Plan(
    node="phone", model="m", version=3, route=NEAR.route, deadline=0.5, fallbacks=(NEAR, FAR, CLOUD, ALONE)
)


def presence(**states: str) -> Presence:
    found = Presence()
    for name in ("phone", "near", "far", "cloud", "planner"):
        state = states.get(name, "ready")
        role = "scheduler" if name == "planner" else "node"
        found.apply(
            Birth.model_validate(
                {"node": name, "tier": TIERS.get(name), "role": role, "state": state, "incarnation": 1}
            )
        )
    return found


def choose(
    there: Presence,
    *,
    prices: Any = None,
    rate: float = 1e6,
    plan: Plan = PLAN,
    doubted: bool = False,
    wait: float = 0.0,
) -> Route:
    def link(peer: str) -> LinkReport:
        return LinkReport(peer=peer, bytes_per_second=rate, rtt=0.01, age=0.0, observations=1)

    return route_now(plan, there, prices or {}, link, doubted=doubted, wait=wait)


def test_while_a_scheduler_plans_the_plan_holds() -> None:
    assert choose(presence(), rate=1.0) is PLAN.route


def test_a_plan_whose_link_has_stalled_since_is_not_followed() -> None:
    assert choose(presence(), rate=1e3, doubted=True) == ALONE.route
    assert choose(presence(), rate=1e6, doubted=True) == NEAR.route


def test_without_other_ways_or_any_scheduler_ever_the_plan_holds() -> None:
    bare = PLAN.model_copy(update={"fallbacks": ()})
    never = presence()
    del never.births["planner"]

    assert choose(presence(planner="lost", near="lost"), plan=bare) is bare.route
    assert choose(never, rate=1.0) is PLAN.route


@pytest.mark.parametrize("state", ["lost", "draining"])
def test_a_node_that_is_gone_is_left_at_once(state: str) -> None:
    assert choose(presence(near=state)) == FAR.route
    assert choose(presence(near=state, far=state)) == CLOUD.route
    assert choose(presence(near=state, far=state, cloud=state)) == ALONE.route


def test_alone_the_cheapest_way_within_the_deadline_is_taken_at_the_last_prices() -> None:
    gone = presence(planner="lost")
    dear = {"near": Price(node="near", wait=0.0, price=1.0)}
    busy = {"near": Price(node="near", wait=1.0)}

    assert choose(gone) == NEAR.route
    assert choose(gone, prices=dear) == FAR.route
    assert choose(gone, prices=busy) == FAR.route


def test_alone_a_link_that_breaks_down_leaves_the_fastest_way() -> None:
    assert choose(presence(planner="lost"), rate=1e3) == ALONE.route
    tight = PLAN.model_copy(update={"deadline": 0.05})
    assert choose(presence(planner="lost"), plan=tight) == CLOUD.route


def test_a_node_on_which_too_many_wait_takes_another_way_until_there_is_room() -> None:
    here = PLAN.model_copy(update={"route": ALONE.route, "predicted_seconds": 0.3, "wait": 0.1})
    slow = way("phone", seconds=0.3).model_copy(update={"wait": 0.1})
    passes = CLOUD.model_copy(update={"route": passing("cloud")})
    busy = here.model_copy(update={"fallbacks": (slow, NEAR, passes)})

    assert choose(presence(), plan=busy, wait=0.1) is busy.route
    assert choose(presence(), plan=busy, wait=0.2) is busy.route  # 0.4 s of 0.5
    assert choose(presence(), plan=busy, wait=0.25) == NEAR.route  # it computes here, but little
    assert choose(presence(), plan=busy, wait=0.4) == passes.route  # costs more, and waits for nobody here


def test_a_node_on_which_too_many_wait_stays_where_no_way_is_faster() -> None:
    here = PLAN.model_copy(
        update={"route": ALONE.route, "predicted_seconds": 0.3, "wait": 0.1, "fallbacks": (ALONE, NEAR)}
    )

    assert choose(presence(), plan=here, wait=2.0, rate=1e2) is here.route
    assert choose(presence(), plan=here, wait=2.0) == NEAR.route  # late as well, by less


def test_a_plan_that_is_tight_from_the_beginning_is_followed() -> None:
    tight = PLAN.model_copy(update={"predicted_seconds": 0.48, "wait": 0.05})

    assert choose(presence(), plan=tight, wait=0.055) is tight.route


def passing(name: str) -> Route:
    stages = [stage.model_copy(update={"layer": k}) for k, stage in enumerate(route("phone", name).stages)]
    return Route(stages=tuple(stages))
