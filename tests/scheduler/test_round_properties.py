"""What holds of the rounds of the service, whatever the deployment."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tierline_scheduler import Objective, Reluctance, apply, run_round

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
