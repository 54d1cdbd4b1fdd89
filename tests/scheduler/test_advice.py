from typing import Any

from tierline_broker import Requirement, Tier
from tierline_scheduler import Objective, advice, apply, explain, is_split


def test_where_the_input_is_smaller_than_any_activation_splitting_does_not_help(kit: Any) -> None:
    alternatives = list(explain(kit.deployment(kit.text.card), Objective(deadline=0.2), "mobile-0"))

    cut = min(
        (one for one in alternatives if is_split(one) and one.estimate.feasible),
        key=lambda one: one.estimate.expected,
    )
    assert not is_split(alternatives[0]) or "helps" in advice(alternatives)
    if not is_split(alternatives[0]):
        said = advice(alternatives)
        assert said.startswith("splitting does not help here, because the best split hands 19000 bytes on")
        assert f"{cut.estimate.cloud_seconds * 1000:.2f} ms of cloud work" in said


def test_where_it_helps_both_are_said_in_numbers(kit: Any) -> None:
    state = kit.deployment(kit.image_card(), edges=0, uplink=3e4, rate=0.1)
    slower = apply(state, kit.profile("mobile-0", Tier.MOBILE, kit.image_card(), 30.0), 0.0)
    alternatives = list(explain(slower, Objective(deadline=3.2), "mobile-0"))

    assert is_split(alternatives[0])
    assert advice(alternatives).startswith("splitting helps: ")
    assert "for the best that does not" in advice(alternatives)


def test_a_split_that_breaks_a_limit_is_named_with_it(kit: Any) -> None:
    state = kit.deployment(kit.image_card(), uplink=2e3, rate=0.1)
    fast = apply(state, kit.profile("mobile-0", Tier.MOBILE, kit.image_card(), 1.0), 0.0)
    said = advice(list(explain(fast, Objective(deadline=0.2), "mobile-0")))

    assert said.startswith("splitting does not help here")
    assert "misses the deadline of 0.2 s" in said


def test_where_nothing_keeps_the_limits_it_does_not_say_that_something_does(kit: Any) -> None:
    state = kit.deployment(kit.text.card)
    said = advice(list(explain(state, Objective(deadline=0.001), "mobile-0")))

    assert "breaks a limit" not in said
    assert said.endswith("and neither keeps all limits")


def test_without_anybody_to_split_with_it_says_so(kit: Any) -> None:
    state = kit.deployment(kit.text.card, edges=0, clouds=0)

    alternatives = list(explain(state, Objective(deadline=5.0), "mobile-0"))

    assert advice(alternatives) == "splitting does not help here, because no split can be carried out"


def test_what_clients_require_is_what_alternatives_are_judged_by(kit: Any) -> None:
    state = kit.deployment(kit.text.card)
    strict = apply(state, Requirement(client="app", deadline=0.001), 0.0)

    assert next(explain(state, Objective(deadline=5.0), "mobile-0")).estimate.feasible
    assert not next(explain(strict, Objective(deadline=5.0), "mobile-0")).estimate.feasible
