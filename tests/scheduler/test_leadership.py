from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from tierline_broker import Birth, Leader
from tierline_scheduler.leadership import Office, claim, hear, meet

PATIENCE = 3.0
ANN, BOB = Office(name="ann", incarnation=10), Office(name="bob", incarnation=20)


def first(office: Office) -> Leader:
    found = claim(office, 0.0, PATIENCE)
    assert found is not None
    return found


def scheduler(name: str, incarnation: int, state: str = "ready") -> Birth:
    return Birth.model_validate(
        {"node": name, "role": "scheduler", "state": state, "incarnation": incarnation}
    )


def test_where_nobody_leads_a_scheduler_claims_and_leads_once_it_hears_itself() -> None:
    ours = first(ANN)

    assert ours == Leader(node="ann", incarnation=10, term=1)
    assert not ANN.leads(0.0, PATIENCE)
    assert hear(ANN, ours, 0.0).leads(1.0, PATIENCE)


@given(order=st.permutations([first(ANN), first(BOB), Leader(node="cat", incarnation=5, term=1)]))
def test_of_claims_made_at_once_all_agree_on_one_in_whatever_order_they_hear_them(
    order: list[Leader],
) -> None:
    offices = [
        reduce(lambda known, one: hear(known, one, 0.0), order, office)
        for office in (ANN, BOB, Office(name="cat", incarnation=5))
    ]

    assert [office.leads(0.0, PATIENCE) for office in offices] == [False, True, False]


def test_a_newcomer_leaves_a_leader_that_is_heard_of_alone() -> None:
    watching = hear(BOB, first(ANN), 0.0)

    assert claim(watching, PATIENCE, PATIENCE) is None
    assert claim(hear(watching, first(ANN), 2.0), 2.0 + PATIENCE, PATIENCE) is None


def test_a_leader_that_says_goodbye_or_is_silent_for_long_is_followed_by_another_term() -> None:
    watching, successor = hear(BOB, first(ANN), 0.0), Leader(node="bob", incarnation=20, term=2)

    assert claim(meet(watching, scheduler("ann", 10, "lost")), 0.1, PATIENCE) == successor
    assert claim(watching, PATIENCE + 0.1, PATIENCE) == successor
    assert claim(meet(watching, scheduler("ann", 11)), 0.1, PATIENCE) == successor
    # The will of an earlier life, and news of others, say nothing.
    assert claim(meet(watching, scheduler("ann", 9, "lost")), 0.1, PATIENCE) is None
    assert claim(meet(watching, scheduler("cat", 1, "lost")), 0.1, PATIENCE) is None


def test_a_leader_that_hung_does_not_act_until_it_hears_itself_again() -> None:
    leading = hear(ANN, first(ANN), 0.0)
    late = PATIENCE + 0.1

    assert not leading.leads(late, PATIENCE)
    assert claim(leading, late, PATIENCE) == first(ANN)
    assert hear(leading, first(ANN), late).leads(late, PATIENCE)
    succeeded = hear(leading, Leader(node="bob", incarnation=20, term=2), late)
    assert not hear(succeeded, first(ANN), late).leads(late, PATIENCE)
    assert claim(succeeded, late, PATIENCE) is None


def test_a_program_that_starts_again_takes_over_from_its_own_former_life() -> None:
    again = hear(Office(name="ann", incarnation=11), first(ANN), 0.0)

    assert not again.ours
    assert claim(meet(again, scheduler("ann", 11)), 0.0, PATIENCE) == Leader(
        node="ann", incarnation=11, term=2
    )
