"""Planning with the samples that come, not with those that were measured: windows, mixes, plans."""

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from tierline_broker import ExitCard, ExitReport, ModelCard, PointCard, Pool, PoolCard, RouteCard, Tier
from tierline_scheduler import ClusterState, Objective, Reluctance, apply, run_round
from tierline_scheduler.candidates import as_route, from_route
from tierline_scheduler.followed import followed
from tierline_scheduler.mix import LEAST, Mix, Watch, follow, settle, watch
from tierline_scheduler.model import read_card

EASY, MEDIUM, HARD = Pool
MEASURED = {EASY: 0.6, MEDIUM: 0.2, HARD: 0.2}
RIGHT = {2: {EASY: 0.95, MEDIUM: 0.7, HARD: 0.5}, 6: {EASY: 0.95, MEDIUM: 0.75, HARD: 0.6}}


def setting(gain: float, *leave: Pool) -> RouteCard:
    """Samples of these pools leave at exit 2, the others at 6."""
    shares = {pool: (1.0, 0.0) if pool in leave else (0.0, 1.0) for pool in Pool}
    right = {pool: RIGHT[2 if pool in leave else 6][pool] for pool in Pool}
    return RouteCard(
        exits=(2, 6),
        thresholds=(0.9,),
        shares=tuple(sum(MEASURED[p] * shares[p][k] for p in Pool) for k in (0, 1)),
        accuracy=sum(MEASURED[p] * right[p] for p in Pool),
        gains=(gain,),
        pools={p: PoolCard(shares=shares[p], accuracy=right[p]) for p in Pool},
    )


def alone(layer: int) -> RouteCard:
    pools = {p: PoolCard(shares=(1.0,), accuracy=RIGHT[layer][p]) for p in Pool}
    accuracy = sum(MEASURED[p] * RIGHT[layer][p] for p in Pool)
    return RouteCard(exits=(layer,), thresholds=(), shares=(1.0,), accuracy=accuracy, pools=pools)


CARD = ModelCard(
    digest="d",
    name="made-up",
    blocks=6,
    input_bytes=100,
    points=tuple(PointCard(layer=k, frame_bytes={"raw": 40_000, "int8": 10_000}) for k in range(1, 6)),
    exits=(2, 6),
    accuracy=alone(6).accuracy,
    routes=(alone(2), alone(6), setting(0.0, EASY), setting(0.07, EASY, MEDIUM), setting(0.3, *Pool)),
    router="r",
    pools=MEASURED,
    exit_cards=(ExitCard(layer=2, confidence=0.8, overclaim=0.01),),
)
MODEL = read_card(CARD)
OBJECTIVE = Objective(accuracy_drop=0.012, deadline=5.0)


def report(easy: int, medium: int, hard: int, **fields: float) -> ExitReport:
    return ExitReport(layer=2, pools={EASY: easy, MEDIUM: medium, HARD: hard}, **fields)


def test_a_window_forgets_and_counts_nothing_twice() -> None:
    first = watch(Watch(), [report(100, 0, 0)])
    same = watch(first, [report(100, 0, 0)])
    later = watch(same, [report(100, 0, 1000)])

    assert first.pools[EASY] == 100
    assert (same.pools, same.quiet) == (first.pools, 1)
    assert later.pools[HARD] == pytest.approx(200)
    assert later.pools[EASY] < 1
    assert later.quiet == 0


def test_counts_that_fall_are_no_samples() -> None:
    fallen = watch(watch(Watch(), [report(100, 50, 0, checked=9, claimed=8.0)]), [report(1, 0, 0)])

    assert fallen.pools[EASY] == 100
    assert fallen.checks[2].checked == 9


def test_what_chance_explains_is_not_followed() -> None:
    rng, mix, seen = Random(1), Mix(), [0, 0, 0]
    window = Watch()
    for _ in range(300):
        for pool in rng.choices(range(3), [0.6, 0.2, 0.2], k=rng.randrange(12)):
            seen[pool] += 1
        window = watch(window, [report(*seen)])
        mix = settle(MODEL, mix, window, [window])
        assert mix == Mix()


def test_a_mix_that_moves_is_followed_in_few_steps_and_back_again() -> None:
    rng, mix, seen, window = Random(2), Mix(), [0, 0, 0], Watch()
    adopted = [mix]
    for shares in ([0.6, 0.2, 0.2], [0.1, 0.2, 0.7], [0.6, 0.2, 0.2]):
        for _ in range(100):
            for pool in rng.choices(range(3), shares, k=8):
                seen[pool] += 1
            window = watch(window, [report(*seen)])
            mix = settle(MODEL, mix, window, [window])
            adopted += [mix] if mix != adopted[-1] else []
        if shares[2] == 0.7:
            assert dict(mix.pools)[HARD] == pytest.approx(0.7, abs=0.11)
    assert mix == Mix() or dict(mix.pools)[HARD] == pytest.approx(0.2, abs=0.11)
    assert 3 <= len(adopted) <= 15


def test_routes_are_reweighted_by_pool() -> None:
    mix = Mix(pools=((EASY, 0.1), (MEDIUM, 0.1), (HARD, 0.8)))
    found = follow(MODEL, mix)
    moved = next(card for card in found.routes[2, 6] if card.gains == (0.07,))

    assert moved.shares == pytest.approx((0.2, 0.8))
    assert moved.accuracy == pytest.approx(0.1 * 0.95 + 0.1 * 0.7 + 0.8 * 0.6)
    assert found.accuracy == pytest.approx(0.1 * 0.95 + 0.1 * 0.75 + 0.8 * 0.6)
    assert found.key != MODEL.key
    assert follow(MODEL, Mix()) is MODEL


def test_drift_is_charged_to_what_leaves_early() -> None:
    watched = watch(Watch(), [report(500, 0, 0, checked=500, claimed=450.0, granted=350.0)])
    mix = settle(MODEL, Mix(), None, [watched])
    found = follow(MODEL, mix)

    assert dict(mix.drift)[2] == pytest.approx(0.2 - 0.01 - 0.06, abs=0.02)
    late, early = (next(c for c in found.routes[2, 6] if c.gains == (gain,)) for gain in (0.0, 0.3))
    assert late.accuracy == pytest.approx(setting(0.0, EASY).accuracy - 0.6 * dict(mix.drift)[2])
    assert early.accuracy < late.accuracy
    assert found.routes[6,] == MODEL.routes[6,]


def test_an_exit_that_claims_no_more_than_it_did_has_not_drifted() -> None:
    watched = watch(Watch(), [report(500, 0, 0, checked=200, claimed=160.0, granted=157.0)])

    assert settle(MODEL, Mix(), None, [watched]) == Mix()


def test_a_route_of_gains_comes_back_as_the_candidate_that_it_was(kit: Any) -> None:
    state = kit.deployment(CARD, edges=0)
    decided = run_round(state, OBJECTIVE, Reluctance(), {})
    route = decided.changed["mobile-0"].route
    found = from_route(MODEL, route)

    assert route.router == "r"
    assert route.gains == (0.07,)  # hard samples go on
    assert found is not None
    assert as_route(found, tuple(stage.node for stage in route.stages)) == route


def seen_by(kit: Any, state: ClusterState, name: str, one: ExitReport, now: float) -> ClusterState:
    tier = state.nodes[name].tier
    assert tier is not None
    peers = ("edge-0", "cloud-0") if tier is Tier.MOBILE else ()
    said = kit.telemetry(name, tier, *(kit.link(peer) for peer in peers), arrival_rate=5.0, exits=(one,))
    return followed(apply(state, said, now))


def test_a_harder_mix_moves_the_gain_that_is_wanted(kit: Any) -> None:
    """Of more medium samples, letting them go costs more than may be lost."""
    state, standings = kit.deployment(CARD, edges=0), {}
    first = run_round(state, OBJECTIVE, Reluctance(), standings)
    plan = first.changed["mobile-0"]
    state = apply(state, plan, 1.0)
    for second in range(2, 40):
        state = seen_by(kit, state, "mobile-0", report(2 * second, 7 * second, second), float(second))
    later = run_round(state, OBJECTIVE, Reluctance(), first.standings)
    moved = later.changed["mobile-0"]

    assert plan.route.gains == (0.07,)
    assert plan.mix == {}
    assert moved.mix[MEDIUM] == pytest.approx(0.7)
    assert moved.route.gains == (0.0,)
    assert "accuracy limit is broken" in moved.reason
    assert "70% medium" in moved.reason
    assert moved.predicted_accuracy >= state.nodes["mobile-0"].model.accuracy - OBJECTIVE.accuracy_drop


def test_a_phone_that_sees_nothing_is_planned_for_with_what_the_next_node_sees(kit: Any) -> None:
    state = kit.deployment(CARD, edges=0)
    plan = run_round(state, OBJECTIVE, Reluctance(), {}).changed["mobile-0"]
    stages = (plan.route.stages[0].model_copy(update={"layer": 0}), *plan.route.stages[1:])
    state = apply(
        state, plan.model_copy(update={"route": plan.route.model_copy(update={"stages": stages})}), 1
    )
    ahead = stages[1].node
    state = seen_by(kit, state, ahead, report(10, 10, 10 * int(LEAST)), 2.0)

    assert dict(state.nodes["mobile-0"].mix.pools)[HARD] > 0.9
    assert state.nodes[ahead].mix == Mix()


def test_a_new_life_begins_with_the_model_as_it_was_measured(kit: Any) -> None:
    state = seen_by(kit, kit.deployment(CARD, edges=0), "mobile-0", report(0, 0, 500), 2.0)
    node = state.nodes["mobile-0"]
    assert node.birth is not None
    assert node.model != node.base

    again = apply(state, node.birth.model_copy(update={"incarnation": 2}), 3.0).nodes["mobile-0"]
    assert (again.model, again.mix, again.watch) == (node.base, Mix(), Watch())


def test_a_card_without_pools_is_planned_with_as_it_is() -> None:
    plain = replace(MODEL, pools={})

    assert follow(plain, Mix(pools=((EASY, 0.0), (MEDIUM, 0.0), (HARD, 1.0)))) is plain


@pytest.mark.parametrize(
    "fields", [{"gains": (0.1, 0.2)}, {"pools": {EASY: {"shares": (1.0,), "accuracy": 1.0}}}]
)
def test_a_card_that_contradicts_itself_is_refused(fields: dict[str, object]) -> None:
    wrong = RouteCard.model_validate(setting(0.0, EASY).model_dump() | fields)

    with pytest.raises(ValueError, match="route over"):
        read_card(CARD.model_copy(update={"routes": (alone(6), wrong)}))
