from hypothesis import given
from hypothesis import strategies as st

from tierline_broker.flow import MAX_WINDOW, Incoming, Outgoing, credited, peer_born, spent, took


def outgoing(**fields):
    return Outgoing(**{"peer_incarnation": 1, "sent": 0, "granted": 4} | fields)


def test_a_birth_opens_the_window_before_any_grant():
    window = peer_born(None, 1, 3)

    assert window.free == 3
    assert spent(window).free == 2
    assert spent(window).sent == 1


def test_a_sender_without_credit_has_nothing_free():
    assert outgoing(sent=4).free == 0
    assert outgoing(sent=5).free == 0


def test_a_grant_is_absolute_and_a_late_one_takes_nothing_back():
    window = credited(outgoing(sent=4), 1, granted=8, received=4)

    assert window.free == 4
    assert credited(window, 1, granted=6, received=2) == window


def test_a_grant_of_an_earlier_life_changes_nothing():
    window = outgoing(peer_incarnation=5, sent=4)

    assert credited(window, 4, granted=100, received=1) == window


def test_a_grant_of_a_new_life_replaces_the_old_one():
    window = credited(outgoing(sent=3, granted=9), 2, granted=5, received=3)

    assert (window.free, window.peer_incarnation) == (2, 2)


def test_a_receipt_for_what_was_never_sent_is_ignored():
    window = outgoing(sent=2)

    assert credited(window, 1, granted=50, received=3) == window


def test_a_grant_reaches_only_so_far():
    assert credited(outgoing(), 1, granted=2**62, received=0).free == MAX_WINDOW
    assert peer_born(None, 1, 10**6).free == MAX_WINDOW


def test_a_new_life_of_the_peer_takes_a_window_more_than_was_ever_sent():
    assert peer_born(outgoing(sent=40, granted=41), 2, 16).free == 16


def test_the_same_life_announced_again_changes_nothing():
    assert peer_born(outgoing(sent=2), 1, 16) == outgoing(sent=2)


def test_taking_a_message_grants_the_next_and_counts_the_lost_as_taken():
    window = took(None, 1, 1, 4)

    assert window.granted == 5
    assert took(window, 1, 3, 4).granted == 7


def test_a_message_out_of_order_takes_no_grant_back():
    window = took(took(None, 1, 5, 4), 1, 3, 4)

    assert window.granted == 9


def test_a_sender_s_new_life_starts_its_numbers_anew_and_its_old_one_is_ignored():
    window = took(took(None, 1, 50, 4), 2, 1, 4)

    assert window == Incoming(sender_incarnation=2, size=4, taken=1)
    assert took(window, 1, 51, 4) == window


@given(st.data())
def test_no_loss_of_messages_or_grants_ever_blocks_a_sender_or_lets_it_overrun(data):
    """Whatever is lost, one message that arrives and one grant that arrives set everything right."""
    size = data.draw(st.integers(1, 5))
    sender, receiver = peer_born(None, 1, size), None
    for _ in range(data.draw(st.integers(1, 40))):
        if not sender.free:
            sender = spent(sender)  # the nudge
            receiver = took(receiver, 1, sender.sent, size)
            sender = credited(sender, 1, receiver.granted, receiver.taken)
            assert sender.free == size
        sender = spent(sender)
        taken = receiver.taken if receiver else 0
        assert sender.sent <= max(sender.granted, taken + size)
        if data.draw(st.booleans()):  # the message arrives
            receiver = took(receiver, 1, sender.sent, size)
            if data.draw(st.booleans()):  # the grant does too
                sender = credited(sender, 1, receiver.granted, receiver.taken)
                assert sender.free == size
