from tierline_broker.backoff import (
    FIRST_SECONDS,
    MOST_SECONDS,
    RIVAL_MOST_SECONDS,
    RIVAL_STABLE_SECONDS,
    STABLE_SECONDS,
    Backoff,
)


def test_the_wait_doubles_with_every_failure_up_to_the_most():
    backoff = Backoff()

    waits = [backoff.failed(None) for _ in range(40)]

    assert waits[:4] == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS, 8 * FIRST_SECONDS]
    assert set(waits[8:]) == {MOST_SECONDS}
    assert not backoff.suspicious


def test_a_connection_that_is_soon_lost_again_does_not_begin_anew():
    backoff = Backoff()

    waits = [backoff.failed(stood) for stood in (100.0, 0.1, None, 0.9 * STABLE_SECONDS)]

    assert waits == [FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS, 8 * FIRST_SECONDS]


def test_a_connection_that_stood_for_a_while_begins_anew():
    backoff = Backoff()
    for _ in range(10):
        backoff.failed(0.1)
    assert backoff.suspicious

    assert backoff.failed(STABLE_SECONDS) == FIRST_SECONDS
    assert not backoff.suspicious


def test_a_rival_is_left_the_name_for_longer_than_a_broker_is_given_to_come_back():
    backoff = Backoff()

    waits = [backoff.failed(stood, rival=True) for stood in [0.1] * 12 + [RIVAL_STABLE_SECONDS / 2]]

    assert waits[0] == FIRST_SECONDS
    assert waits[-3:] == [RIVAL_MOST_SECONDS] * 3
    assert backoff.failed(RIVAL_STABLE_SECONDS, rival=True) == FIRST_SECONDS


def test_losses_are_suspicious_only_in_a_row_and_soon_after_the_connect():
    backoff = Backoff()
    for stood in (0.1, 0.1, 0.1, STABLE_SECONDS, 0.1, None, 0.1, 0.1):
        backoff.failed(stood)
        assert not backoff.suspicious

    backoff.failed(0.1)
    assert backoff.suspicious
