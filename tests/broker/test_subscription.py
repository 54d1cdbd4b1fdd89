import asyncio

import pytest

from tierline_broker import MAX_MESSAGE_BYTES, NODE, TELEMETRY, WORK, Subscription, Telemetry, Tier, pack


def telemetry(queue):
    return Telemetry(
        node="pi", tier=Tier.EDGE, incarnation=1, queue=queue, speed=1.0, busy=0.0, arrival_rate=0.0
    )


async def test_records_come_out_in_the_order_they_came_in(work):
    subscription = Subscription(WORK, limit=10)
    sent = [work() for _ in range(3)]
    for record in sent:
        assert not subscription.put(WORK.of("home", "pi"), pack(record))

    assert subscription.depth == 3
    assert [await anext(subscription) for _ in range(3)] == sent
    assert (subscription.delivered, subscription.dropped, subscription.depth) == (3, 0, 0)


async def test_work_that_finds_the_queue_full_is_refused_and_counted(work):
    subscription = Subscription(WORK, limit=2)
    sent = [work() for _ in range(4)]

    assert [subscription.put("t", pack(record)) for record in sent] == [0, 0, 1, 1]
    assert [await anext(subscription) for _ in range(2)] == sent[:2]
    assert subscription.drops == {"too-many": 2}
    assert subscription.dropped == 2


async def test_of_telemetry_the_oldest_gives_way_and_is_counted():
    subscription = Subscription(TELEMETRY, limit=2)
    for queue in range(4):
        subscription.put(TELEMETRY.of("home", "pi"), pack(telemetry(queue)))

    assert [(await anext(subscription)).queue for _ in range(2)] == [2, 3]
    assert subscription.dropped == 2


async def test_work_that_would_fill_the_memory_is_refused_and_counted_until_there_is_room(work):
    subscription = Subscription(WORK, limit=10_000, byte_limit=1_000_000)
    data = pack(work(bytes(400_000)))

    assert [subscription.put("t", data) for _ in range(4)] == [0, 0, 1, 1]
    assert subscription.held == 2 * (len(data) + 1)
    assert subscription.drops == {"too-many-bytes": 2}

    await anext(subscription)
    assert subscription.put("t", data) == 0
    for _ in range(2):
        await anext(subscription)
    assert (subscription.held, subscription.depth) == (0, 0)


async def test_a_topic_counts_as_bytes_too(work):
    subscription = Subscription(WORK, limit=10_000, byte_limit=100_000)

    assert [subscription.put("t" * 60_000, pack(work())) for _ in range(2)] == [0, 1]


async def test_of_telemetry_as_many_old_ones_give_way_as_the_bytes_of_the_new_one_take():
    small = [pack(telemetry(queue)) for queue in range(10)]
    big = pack(telemetry(99).model_copy(update={"drops": {f"reason-{n}": n for n in range(30)}}))
    topic = TELEMETRY.of("home", "pi")
    room = len(topic) + len(small[0])
    subscription = Subscription(TELEMETRY, limit=100, byte_limit=10 * room)

    lost = sum(subscription.put(topic, data) for data in [*small, big])

    assert lost == subscription.drops["too-many-bytes"] == -(-(len(topic) + len(big)) // room)
    assert subscription.held <= 10 * room
    assert [(await anext(subscription)).queue for _ in range(11 - lost)] == [*range(lost, 10), 99]


async def test_a_message_for_which_there_is_no_room_even_alone_is_dropped():
    subscription = Subscription(TELEMETRY, limit=100, byte_limit=10)

    assert subscription.put("", pack(telemetry(1))) == 1
    assert (subscription.dropped, subscription.depth) == (1, 0)


async def test_a_message_larger_than_any_record_is_dropped_at_once_and_counted(work):
    subscription = Subscription(WORK, limit=10)

    assert subscription.put("t", bytes(MAX_MESSAGE_BYTES + 1)) == 1
    assert subscription.put("t", bytes(MAX_MESSAGE_BYTES)) == 0
    assert subscription.drops == {"too-large": 1}
    assert subscription.depth == 1


async def test_a_waiting_iterator_wakes_for_a_message(work):
    subscription = Subscription(WORK, limit=2)
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(anext(subscription))
        await asyncio.sleep(0)
        subscription.put("t", pack(sent := work()))

    assert waiting.result() == sent


async def test_cancelling_a_waiting_iterator_loses_nothing(work):
    subscription = Subscription(WORK, limit=2)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0):
            await anext(subscription)
    subscription.put("t", pack(sent := work()))

    assert await anext(subscription) == sent


async def test_a_bad_message_is_counted_told_and_ends_nothing(work):
    told = []
    subscription = Subscription(
        WORK, limit=10, on_malformed=lambda topic, error: told.append((topic, error.code))
    )
    for data in (b"\xc1", b"\x81\xa1v\x02", b"\x80", pack(sent := work())):
        subscription.put("some/topic", data)

    assert await anext(subscription) == sent
    assert subscription.malformed == {"malformed": 1, "unsupported-version": 2}
    assert told == [
        ("some/topic", code) for code in ("malformed", "unsupported-version", "unsupported-version")
    ]


async def test_a_record_that_speaks_for_another_node_is_refused(birth):
    subscription = Subscription(NODE, limit=10)
    subscription.put(NODE.of("home", "edge"), pack(birth("cloud")))
    subscription.put(NODE.of("home", "edge"), pack(birth("edge")))

    assert (await anext(subscription)).node == "edge"
    assert subscription.malformed == {"wrong-topic": 1}
