import pytest

from tierline_broker.receipts import Receipts

RTT, RATE = 0.02, 1e6


class Uplink:
    """A device whose peers share one way out: bytes leave one after the other, then travel."""

    def __init__(self):
        self.receipts = Receipts()
        self.free_at = 0.0
        self.rate = RATE
        self.numbers = {}

    def send(self, peer, size, now, rtt=RTT):
        number = self.numbers[peer] = self.numbers.get(peer, 0) + 1
        self.receipts.sent(peer, number, size, now)
        self.free_at = max(self.free_at, now) + size / self.rate
        return number, self.free_at + rtt

    def receive(self, peer, number, arrived, held=0.0):
        self.receipts.received(peer, [(number, held)], arrived + held)


def test_a_quiet_link_is_measured_by_its_receipts():
    uplink = Uplink()
    for turn in range(10):
        for size in (200, 25_000):
            uplink.receive("edge", *uplink.send("edge", size, turn + size * 1e-5))

    report = uplink.receipts.report("edge", now=20.0)

    assert report.rtt == pytest.approx(RTT, rel=0.05)
    assert report.bytes_per_second == pytest.approx(RATE, rel=0.05)
    assert report.observations == 20
    assert report.age == pytest.approx(20.0 - 9.295, abs=0.01)


def test_the_time_a_receiver_held_a_receipt_back_is_not_the_link_s():
    uplink = Uplink()
    for turn in range(10):
        for size in (200, 25_000):
            number, arrived = uplink.send("edge", size, turn + size * 1e-5)
            uplink.receive("edge", number, arrived, held=0.3)

    assert uplink.receipts.report("edge", 20.0).rtt == pytest.approx(RTT, rel=0.05)


def test_waiting_behind_our_own_messages_is_not_the_link_s_slowness():
    uplink = Uplink()
    for turn in range(10):
        uplink.receive("edge", *uplink.send("edge", 200, 2.0 * turn))
        burst = [uplink.send("edge", 25_000, 2.0 * turn + 1) for _ in range(16)]
        for number, arrived in burst:
            uplink.receive("edge", number, arrived)

    report = uplink.receipts.report("edge", 20.0)

    assert report.bytes_per_second == pytest.approx(RATE, rel=0.1)
    assert report.rtt == pytest.approx(RTT, rel=0.2)


def test_waiting_behind_messages_to_another_peer_is_not_the_link_s_slowness():
    uplink = Uplink()
    for turn in range(20):
        at = float(turn)
        for peer, rtt in (("edge", 0.01), ("cloud", 0.05)):
            uplink.receive(peer, *uplink.send(peer, 200, at, rtt))
        burst = [
            (peer, uplink.send(peer, 25_000, at + 0.2, rtt))
            for peer, rtt in [("cloud", 0.05), ("edge", 0.01)] * 4
        ]
        for peer, (number, arrived) in sorted(burst, key=lambda sent: sent[1][1]):
            uplink.receive(peer, number, arrived)

    for peer in ("edge", "cloud"):
        assert uplink.receipts.report(peer, 20.0).bytes_per_second == pytest.approx(RATE, rel=0.1)


def test_several_receipts_in_one_credit_are_each_timed():
    uplink = Uplink()
    sent = [uplink.send("edge", 10_000, float(turn)) for turn in range(5)]
    uplink.receipts.received("edge", [(number, 10 - arrived) for number, arrived in sent], 10.0)

    assert uplink.receipts.report("edge", 10.0).observations == 5


def test_a_link_that_turns_ten_times_slower_in_the_midst_of_traffic_is_followed():
    uplink = Uplink()
    for turn in range(40):
        if turn == 30:
            uplink.rate = RATE / 10
        at = 5.0 * turn
        uplink.receive("edge", *uplink.send("edge", 200, at))
        for number, arrived in [uplink.send("edge", 25_000, at + 1) for _ in range(2)]:
            uplink.receive("edge", number, arrived)

    assert uplink.receipts.report("edge", 200.0).bytes_per_second == pytest.approx(RATE / 10, rel=0.1)


def test_what_was_published_again_says_nothing():
    receipts = Receipts()
    receipts.sent("edge", 1, 1000, 0.0)
    receipts.lost("edge", 1)
    receipts.received("edge", [(1, 0.0), (7, 0.0)], 1.0)
    receipts.lost("cloud", 1)

    assert receipts.report("edge", 1.0) is None
    assert receipts.peers() == []


def test_what_was_sent_behind_a_message_of_unknown_fate_says_nothing():
    receipts = Receipts()
    for number in range(1, 5):
        receipts.sent("edge", number, 1000, float(number))
    receipts.lost("edge", 1)
    receipts.received("edge", [(2, 0.9), (3, 0.5), (4, 0.1)], 4.2)

    assert receipts.report("edge", 5.0).observations == 2


def test_a_missing_receipt_holds_the_others_up_for_two_seconds_only():
    receipts = Receipts()
    receipts.sent("cloud", 1, 1000, 0.0)
    for number in range(1, 4):
        receipts.sent("edge", number, 1000, 0.1 * number)
    receipts.received("edge", [(1, 0.1), (2, 0.0)], 0.5)
    assert receipts.report("edge", 1.0) is None

    receipts.received("edge", [(3, 1.6)], 2.1)

    assert receipts.report("edge", 3.0).observations == 2


def test_a_peer_that_is_gone_holds_nothing_up():
    receipts = Receipts()
    receipts.sent("cloud", 1, 1000, 0.0)
    receipts.sent("edge", 1, 1000, 0.1)
    receipts.sent("edge", 2, 1000, 0.3)
    receipts.gone("cloud")
    receipts.received("edge", [(1, 0.2), (2, 0.0)], 0.5)

    assert receipts.report("edge", 1.0).observations == 1


def test_a_message_that_took_another_way_out_is_timed_by_itself():
    receipts = Receipts()
    for turn in range(10):
        receipts.sent("cloud", turn, 100_000, 10.0 * turn)
        receipts.sent("edge", turn, 5_000, 10.0 * turn)
        receipts.received("edge", [(turn, 0.0)], 10.0 * turn + 0.01)
        receipts.received("cloud", [(turn, 0.0)], 10.0 * turn + 1.0)

    known = receipts.estimate("edge")

    assert known.rtt + 5_000 / known.bytes_per_second == pytest.approx(0.01, rel=0.01)


def test_a_receipt_from_before_the_sending_is_ignored():
    receipts = Receipts()
    receipts.sent("edge", 1, 1000, 5.0)
    receipts.received("edge", [(1, 30.0)], 6.0)

    assert receipts.report("edge", 6.0) is None


def test_messages_without_receipts_are_forgotten_in_the_end():
    receipts = Receipts()
    for number in range(9000):
        receipts.sent("edge", number, 100, float(number))
    receipts.received("edge", [(0, 0.0)], 9001.0)
    receipts.received("edge", [(8999, 0.0)], 9001.0)
    assert receipts.report("edge", 9001.0) is None

    receipts.sent("edge", 9001, 100, 9001.0)
    receipts.received("edge", [(9001, 0.0)], 9001.5)

    assert receipts.report("edge", 9002.0).observations == 1


def test_a_link_that_breaks_down_is_known_before_anything_arrives():
    uplink = Uplink()
    for turn in range(10):
        for size in (200, 25_000):
            uplink.receive("edge", *uplink.send("edge", size, turn + size * 1e-5))
    before = uplink.receipts.report("edge", 10.0)
    uplink.rate = RATE / 50
    for second in range(3):
        uplink.send("edge", 100_000, 11.0 + second)  # five seconds each, all given up in the end

    seen = []
    for second in range(5):
        uplink.receipts.overdue(11.5 + second)
        seen.append(uplink.receipts.report("edge", 11.5 + second))

    assert seen[0] == before.model_copy(update={"age": seen[0].age})
    assert seen[1].observations == before.observations + 1
    assert [one.stalled for one in seen] == [False, True, True, True, True]
    assert seen[-1].bytes_per_second < RATE / 10
    assert seen[-1].age == 0.0


def busy_uplink(*peers):
    uplink = Uplink()
    for turn in range(10):
        for size in (200, 25_000):
            for peer in peers:
                uplink.receive(peer, *uplink.send(peer, size, turn + size * 1e-5))
    return uplink


def test_a_stall_is_told_once_and_of_all_peers_that_share_the_way_out():
    uplink = busy_uplink("edge", "cloud", "near")
    uplink.send("edge", 25_000, 20.0)
    uplink.receive("near", *uplink.send("near", 100, 20.1))

    assert uplink.receipts.overdue(20.4) == ()
    assert set(uplink.receipts.overdue(20.6)) == {"edge", "cloud"}
    assert uplink.receipts.overdue(20.7) == ()
    assert uplink.receipts.stalled("cloud")
    assert uplink.receipts.report("cloud", 21.0).bytes_per_second == pytest.approx(25_000 / 0.68, rel=0.05)
    assert not uplink.receipts.stalled("near")


def test_a_bound_tightens_with_time_and_gives_way_to_the_first_that_arrives():
    uplink = busy_uplink("edge")
    number, _ = uplink.send("edge", 25_000, 20.0)
    rates = []
    for now in (20.6, 21.0, 21.8):
        uplink.receipts.overdue(now)
        rates.append(uplink.receipts.report("edge", now).bytes_per_second)
    uplink.receive("edge", number, 21.9)
    uplink.receive("edge", *uplink.send("edge", 25_000, 30.0))

    assert rates == pytest.approx([25_000 / (t - RTT) for t in (0.6, 1.0, 1.8)], rel=0.05)
    assert not uplink.receipts.stalled("edge")
    assert uplink.receipts.report("edge", 31.0).bytes_per_second > rates[-1]


def test_a_receipt_that_was_lost_is_no_stall():
    uplink = busy_uplink("edge")
    uplink.send("edge", 25_000, 20.0)
    uplink.receive("edge", *uplink.send("edge", 25_000, 20.1))

    assert uplink.receipts.overdue(25.0) == ()


def test_a_large_message_that_takes_its_usual_time_says_nothing_yet():
    uplink = Uplink()
    for turn in range(10):
        for size in (200, 25_000):
            uplink.receive("edge", *uplink.send("edge", size, turn + size * 1e-5))
    uplink.send("edge", 2_000_000, 20.0)

    uplink.receipts.overdue(22.5)

    assert uplink.receipts.report("edge", 22.5).observations == 20
