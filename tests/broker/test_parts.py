import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierline_broker.parts import HEADER_ROOM, Assembly, Seen, key_of, part_size, split
from tierline_broker.records import Answer, Part, Tier
from tierline_broker.wire import MAX_MESSAGE_BYTES, MAX_PAYLOAD_BYTES, PART_BYTES, pack


def test_a_payload_up_to_the_limit_travels_whole(work):
    sent = work(bytes(MAX_PAYLOAD_BYTES))

    assert list(split(sent)) == [sent]


def test_a_larger_payload_travels_in_parts_that_fit_into_messages(work):
    parts = list(split(work(bytes(MAX_PAYLOAD_BYTES + 1), tier=Tier.CLOUD)))

    assert [part.part.index for part in parts] == [0, 1, 2]
    assert [len(part.payload) for part in parts] == [PART_BYTES, PART_BYTES, 1]
    assert all(len(pack(part)) < MAX_MESSAGE_BYTES for part in parts)


def test_only_the_first_part_carries_what_describes_the_sample(work):
    best = Answer(output=(1.0,), label="x", confidence=0.5, layer=2)
    first, *others = split(work(bytes(600_000), best=best))

    assert first.best == best
    assert all(other.best is None for other in others)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_parts_in_any_order_make_the_whole_again(work, order):
    sent = work(
        random.Random(order).randbytes(2_000_000), best=Answer(output=(), label="", confidence=0, layer=1)
    )
    parts = list(split(sent))
    random.Random(order).shuffle(parts)
    assembly = Assembly(4_000_000)

    wholes = [assembly.add(part, now=0.0) for part in parts]

    assert wholes[:-1] == [None] * (len(parts) - 1)
    assert wholes[-1] == sent
    assert assembly.held == 0


def test_two_wholes_at_once_are_kept_apart(work):
    one, two = work(b"1" * 600_000), work(b"2" * 600_000)
    assembly = Assembly(4_000_000)
    found = [assembly.add(part, 0.0) for pair in zip(split(one), split(two), strict=True) for part in pair]

    assert [whole for whole in found if whole] == [one, two]


def test_a_part_that_comes_twice_is_counted_and_changes_nothing(work):
    sent = work(bytes(600_000))
    first, second, third = split(sent)
    assembly = Assembly(4_000_000)

    assert [assembly.add(part, 0.0) for part in (first, first, second)] == [None] * 3
    assert assembly.add(third, 0.0) == sent
    assert assembly.counters["parts_repeated"] == 1


def test_a_whole_whose_rest_does_not_come_is_given_up_at_its_deadline(work):
    first, *_ = split(work(bytes(600_000), deadline=2.0))
    assembly = Assembly(4_000_000)
    assembly.add(first, now=10.0)

    assembly.expire(11.9)
    assert assembly.held == PART_BYTES

    assembly.expire(12.0)
    assert assembly.held == 0
    assert assembly.counters["wholes_abandoned"] == 1


def test_the_byte_limit_holds_and_the_oldest_whole_gives_way(work):
    assembly = Assembly(1_000_000)
    for _ in range(10):
        for part in list(split(work(bytes(900_000))))[:3]:
            assembly.add(part, 0.0)
            assert assembly.held <= 1_000_000

    assert assembly.counters["wholes_abandoned"] == 9


def test_a_whole_over_the_byte_limit_is_refused_at_its_first_part(work):
    assembly = Assembly(500_000)

    assert assembly.add(next(split(work(bytes(600_000)))), 0.0) is None
    assert assembly.held == 0
    assert assembly.counters["wholes_too_large"] == 1


def test_unfinished_wholes_are_bounded_in_number(work):
    assembly = Assembly(10**9)
    for _ in range(1500):
        assembly.add(work(b"x", part=Part(index=0, count=2, total=2)), 0.0)

    assert assembly.held == 1000


@pytest.mark.parametrize(
    ("part", "payload"),
    [
        (Part(index=5, count=3, total=600_000), b"x"),
        (Part(index=1, count=4, total=600_000), b"x"),
        (Part(index=1, count=3, total=600_001), b"x"),
        (Part(index=1, count=3, total=600_000), bytes(600_000)),
        (Part(index=1, count=3, total=600_000), b""),
    ],
)
def test_a_part_that_contradicts_its_whole_is_counted_and_ignored(work, part, payload):
    sent = work(bytes(600_000))
    first, second, third = split(sent)
    assembly = Assembly(4_000_000)
    assembly.add(first, 0.0)

    assert assembly.add(second.model_copy(update={"part": part, "payload": payload}), 0.0) is None
    assert assembly.counters["parts_inconsistent"] == 1
    assert [assembly.add(piece, 0.0) for piece in (second, third)] == [None, sent]


def test_parts_that_do_not_add_up_make_no_whole(work):
    assembly = Assembly(4_000_000)
    header = work(b"ab", part=Part(index=0, count=2, total=10))

    assert assembly.add(header, 0.0) is None
    assert assembly.add(header.model_copy(update={"part": Part(index=1, count=2, total=10)}), 0.0) is None
    assert assembly.held == 0
    assert assembly.counters["parts_inconsistent"] == 1


def test_the_broker_s_limit_makes_the_parts_smaller():
    assert part_size(None) is None
    assert part_size(10**9) is None
    assert part_size(128 * 1024) == 128 * 1024 - HEADER_ROOM
    assert part_size(600) == 16 * 1024


@given(st.integers(1, 5000), st.integers(2, 700))
def test_any_payload_in_any_part_size_comes_back(work, total, size):
    sent = work(random.Random(total).randbytes(total))
    assembly = Assembly(10_000)

    *unfinished, whole = [assembly.add(part, 0.0) for part in split(sent, size)]

    assert whole == sent
    assert not any(unfinished)


def test_the_same_request_again_is_known_and_another_attempt_is_not(work):
    seen = Seen()
    sent = work()
    seen.add(key_of(sent))

    assert key_of(sent.model_copy(update={"sequence": 99})) in seen
    assert key_of(sent.model_copy(update={"attempt": 2})) not in seen


def test_only_so_many_keys_are_remembered():
    seen = Seen(limit=3)
    for key in "abcd":
        seen.add(key)

    assert [key for key in "abcd" if key in seen] == ["b", "c", "d"]
