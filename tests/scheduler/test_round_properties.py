"""What holds of the rounds of the service, whatever the deployment."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tierline_broker import Plan, Tier
from tierline_scheduler import ClusterState, Objective, Reluctance, apply, run_round
from tierline_scheduler.planner import assess, ledger_of, mobiles

UPLINKS = st.sampled_from([1e5, 5e5, 2.5e6])


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_whatever_the_deployment_rounds_are_the_same_for_the_same_and_overrun_nobody(
    kit: Any, data: st.DataObject
) -> None:
    rates = st.floats(0.2, 6.0)
    state = kit.deployment(
        kit.text.card, mobiles=data.draw(st.integers(2, 4)), rate=data.draw(rates), uplink=data.draw(UPLINKS)
    )
    objective = Objective(deadline=data.draw(st.floats(0.1, 1.0)))
    names = data.draw(st.permutations(sorted(state.nodes)))
    mixed = replace(state, nodes={name: state.nodes[name] for name in names})

    once = run_round(state, objective, Reluctance(), {})
    again = run_round(mixed, objective, Reluctance(), {})

    assert once.changed == again.changed
    for plan in once.changed.values():
        state = apply(state, plan, 0.0)
    late = [plan for plan in once.changed.values() if "nothing meets" in plan.reason]
    if not late:
        busy = run_round(state, objective, Reluctance(), once.standings).prices
        assert max(price.busy for price in busy.values()) <= objective.max_utilisation + 1e-6


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_more_time_or_a_faster_link_never_costs_a_round_more(kit: Any, data: st.DataObject) -> None:
    deadline, uplink = data.draw(st.floats(0.1, 0.8)), data.draw(UPLINKS)
    longer, faster = data.draw(st.floats(1.0, 3.0)), data.draw(st.floats(1.0, 5.0))

    def work(seconds: float, rate: float) -> tuple[bool, float]:
        state = kit.deployment(kit.text.card, rate=2.0, uplink=rate)
        (plan,) = run_round(state, Objective(deadline=seconds), Reluctance(), {}).changed.values()
        return "nothing meets" in plan.reason, plan.predicted_cloud_seconds

    missed, usual = work(deadline, uplink)
    if not missed:
        for missed, seconds in (work(longer * deadline, uplink), work(deadline, faster * uplink)):
            assert not missed
            assert seconds <= usual + 1e-9


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 10_000))
@example(seed=83)  # a mobile node leaves an edge at its price, to others who then do not come
def test_a_round_never_costs_a_fleet_more_than_its_plans_in_force_and_the_price_of_its_changes(
    kit: Any, seed: int
) -> None:
    rng, reluctance = Random(seed), Reluctance()
    mobiles_here, edges = rng.randint(2, 6), rng.randint(1, 2)
    drawn = (Objective(deadline=rng.uniform(0.1, 1)), Objective.balanced(0.5, deadline=rng.uniform(0.1, 1)))
    objective = rng.choice(drawn)
    state = planned(kit, rng, mobiles_here, edges, objective)
    state, standings = disturbed(kit, rng, state, edges), {}
    for _ in range(3):
        decided = run_round(state, objective, reluctance, standings)
        forced = {name: plan for name, plan in decided.changed.items() if not reluctant(plan)}
        least = work(state, objective, {**state.plans, **forced})
        after = {**state.plans, **decided.changed}
        changes = sum(rate(state, name) for name in set(decided.changed) - set(forced))
        price = changes * reluctance.switch_seconds * objective.late_cost / reluctance.horizon

        assert work(state, objective, after) <= least + price + 1e-6
        standings, state = decided.standings, replace(state, plans=after, now=state.now + 1)


def planned(kit: Any, rng: Random, count: int, edges: int, objective: Objective) -> ClusterState:
    """Unequal mobile nodes with plans in force."""
    state = kit.deployment(
        kit.text.card,
        mobiles=count,
        edges=edges,
        rate=rng.choice([0.5, 2.0, 5.0, 8.0]),
        uplink=rng.choice([1e5, 5e5, 2.5e6]),
    )
    for k in range(count):
        slow = kit.profile(f"mobile-{k}", Tier.MOBILE, kit.text.card, rng.choice([4.0, 10.0, 25.0]))
        state = apply(state, slow, 0.0)
    return replace(state, plans=run_round(state, objective, Reluctance(), {}).changed)


def disturbed(kit: Any, rng: Random, state: ClusterState, edges: int) -> ClusterState:
    """The same with other links, other rates and edges that have become slower or faster."""
    names, rates = [f"edge-{k}" for k in range(edges)], [5e4, 2e5, 1e6, 5e6]
    for mobile in mobiles(state):
        links = [kit.link(name, rng.choice(rates)) for name in (*names, "cloud-0")]
        report = kit.telemetry(
            mobile.name, Tier.MOBILE, *links, arrival_rate=rng.choice([0.3, 1.0, 3.0, 8.0])
        )
        for _ in range(6):
            state = apply(state, report, state.now + 1)
    for name in names:
        report = kit.telemetry(
            name, Tier.EDGE, kit.link("cloud-0", 12.5e6), speed=rng.choice([0.7, 1.5, 3.0])
        )
        for _ in range(4):
            state = apply(state, report, state.now)
    return state


def reluctant(plan: Plan) -> bool:
    """Whether a plan was changed for what it saves, and not because the one before could not stay."""
    return any(why in plan.reason for why in ("saves ", "would miss the", "faster at the same work"))


def work(state: ClusterState, objective: Objective, plans: Mapping[str, Plan]) -> float:
    """What all samples cost a second under these plans together, late ones paid for."""
    state = replace(state, plans=plans)
    ledger, total = ledger_of(state, objective), 0.0
    for name, plan in plans.items():
        found = assess(state, plan, objective, ledger.traffic(name))
        total += 0.0 if found is None else rate(state, name) * found.expected
    return total


def rate(state: ClusterState, name: str) -> float:
    arrivals = state.nodes[name].arrivals
    assert arrivals is not None
    return arrivals.value
