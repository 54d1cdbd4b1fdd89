import asyncio
import os

import pytest

from tierline_broker import (
    CREDIT,
    NODE,
    PROBE,
    WORK,
    Credit,
    CreditError,
    connect,
    open_receiver,
    pack,
    running,
)

SECONDS = 20


async def drain(receiver):
    async for _ in receiver:
        pass


async def test_no_more_travels_than_the_receiver_has_granted(
    broker_url, site, work, birth, receiving, sending
):
    async with (
        asyncio.timeout(SECONDS),
        receiving(broker_url, site, birth("edge", window=3)) as receiver,
        sending(broker_url, site) as sender,
    ):
        await sender.presence.wait_for("edge")
        assert sender.credit("edge") == 3
        for _ in range(3):
            await sender.send(work(), "edge", deadline=5.0)
        assert sender.credit("edge") == 0
        with pytest.raises(CreditError, match="no credit before the deadline"):
            await sender.send(work(), "edge", deadline=0.2)

        async with asyncio.TaskGroup() as tasks:
            waiting = [tasks.create_task(sender.send(work(layer=n), "edge", deadline=5.0)) for n in (7, 8)]
            for _ in range(3):
                await anext(receiver)
        assert [(await anext(receiver)).layer for _ in waiting] == [7, 8]  # first come, first served
        assert receiver.depth == 0
        assert sender.counters["unsent"] == 1


async def test_many_senders_and_messages_lose_and_repeat_nothing(
    broker_url, site, work, birth, receiving, sending
):
    async with (
        asyncio.timeout(SECONDS),
        receiving(broker_url, site, birth("edge", window=4)) as receiver,
        sending(broker_url, site, name="one") as one,
        sending(broker_url, site, name="two") as two,
    ):
        await one.presence.wait_for("edge")
        await two.presence.wait_for("edge")
        works = [work(os.urandom(500)) for _ in range(200)]
        async with asyncio.TaskGroup() as tasks:
            for n, sent in enumerate(works):
                tasks.create_task((one, two)[n % 2].send(sent, "edge", deadline=10.0))
            found = [await anext(receiver) for _ in works]

        assert {w.id: w.payload for w in found} == {w.id: w.payload for w in works}
        assert receiver.counters["taken"] == 200
        assert receiver.counters.get("duplicates", 0) == receiver.counters["dropped"] == 0
        assert receiver.counters["grants"] < 200  # several messages in one


async def test_a_peer_that_is_not_there_is_refused_at_once(broker_url, site, work, sending):
    async with asyncio.timeout(SECONDS), sending(broker_url, site) as sender:
        assert sender.credit("edge") == 0
        with pytest.raises(CreditError, match="edge is not known here"):
            await sender.send(work(), "edge", deadline=60.0)


async def test_who_waits_for_a_peer_that_goes_is_told_at_once(
    broker_url, site, work, birth, receiving, sending
):
    async with asyncio.timeout(SECONDS), sending(broker_url, site) as sender:
        async with receiving(broker_url, site, birth("edge", window=1)):
            await sender.presence.wait_for("edge")
            await sender.send(work(), "edge", deadline=60.0)
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(refusal(sender.send(work(), "edge", deadline=60.0)))
                await asyncio.sleep(0)
                await sender.session.publish(NODE, "edge", birth("edge", state="draining"))

        assert str(waiting.result()) == "edge is draining; send to another node"


async def refusal(sending):
    with pytest.raises(CreditError) as caught:
        await sending
    return caught.value


async def test_a_cancelled_wait_for_credit_blocks_nobody_behind_it(
    broker_url, site, work, birth, receiving, sending
):
    async with (
        asyncio.timeout(SECONDS),
        receiving(broker_url, site, birth("edge", window=1)) as receiver,
        sending(broker_url, site) as sender,
    ):
        await sender.presence.wait_for("edge")
        await sender.send(work(), "edge", deadline=5.0)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await sender.send(work(), "edge", deadline=5.0)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sender.send(sent := work(), "edge", deadline=5.0))
            await anext(receiver)

        assert (await anext(receiver)).id == sent.id


async def test_a_receiver_s_new_life_takes_a_window_more(broker_url, site, work, birth, receiving, sending):
    async with asyncio.timeout(SECONDS), sending(broker_url, site) as sender:
        async with receiving(broker_url, site, birth("edge", window=2)):
            await sender.presence.wait_for("edge")
            for _ in range(2):
                await sender.send(work(), "edge", deadline=5.0)
        async with receiving(broker_url, site, birth("edge", window=2, incarnation=2)) as receiver:
            await sender.presence.wait_for(lambda table: table.births["edge"].incarnation == 2)
            for _ in range(4):
                await sender.send(work(), "edge", deadline=5.0)
                await anext(receiver)


async def test_a_sender_s_new_life_starts_its_numbers_anew(broker_url, site, work, birth, receiving, sending):
    async with asyncio.timeout(SECONDS), receiving(broker_url, site, birth("edge", window=2)) as receiver:
        for life in (1, 2):
            async with sending(broker_url, site, incarnation=life) as sender:
                await sender.presence.wait_for("edge")
                for number in range(1, 6):
                    await sender.send(work(), "edge", deadline=5.0)
                    assert (await anext(receiver)).sequence == number


async def test_work_lost_on_the_way_costs_credit_only_until_the_sender_asks(
    broker_url, site, work, birth, sending
):
    async with asyncio.timeout(SECONDS), sending(broker_url, site) as sender:
        await sender.session.publish(NODE, "edge", birth("edge", window=2))
        await sender.presence.wait_for("edge")
        for _ in range(2):
            await sender.send(work(), "edge", deadline=5.0)  # nobody is subscribed yet
        async with (
            connect(broker_url, name="edge", site=site) as session,
            open_receiver(session, 1, window=2) as receiver,
            running(drain(receiver), name="drain"),
        ):
            await sender.send(work(), "edge", deadline=10.0)

        assert sender.counters["nudges"] == 1


async def test_a_ready_peer_that_takes_nothing_costs_no_more_than_the_deadline(
    broker_url, site, work, birth, receiving, sending
):
    loop = asyncio.get_running_loop()
    async with (
        asyncio.timeout(SECONDS),
        receiving(broker_url, site, birth("shut", window=0)) as shut,
        receiving(broker_url, site, birth("edge")) as receiver,
        sending(broker_url, site) as sender,
    ):
        await sender.presence.wait_for("shut")
        await sender.presence.wait_for("edge")
        started = loop.time()
        async with asyncio.TaskGroup() as tasks:
            refused = [
                tasks.create_task(refusal(sender.send(work(), "shut", deadline=s))) for s in (0.1, 1.4)
            ]
            await sender.send(work(), "edge", deadline=5.0)
            await anext(receiver)
            assert not refused[1].done()  # it holds up nobody else's work

            await refused[0]
            assert loop.time() - started >= 0.1
            assert not refused[1].done()
        assert 1.4 <= loop.time() - started < 5.0
        assert sender.credit("shut") == 0
        assert (shut.depth, shut.counters.get("taken", 0)) == (1, 0)  # the question for credit


async def test_credits_for_others_and_false_ones_are_ignored(
    broker_url, site, work, birth, receiving, sending
):
    async with (
        asyncio.timeout(SECONDS),
        receiving(broker_url, site, birth("edge", window=1)) as receiver,
        sending(broker_url, site) as sender,
    ):
        await sender.presence.wait_for("edge")
        await sender.send(work(), "edge", deadline=5.0)
        grant = Credit(receiver="edge", receiver_incarnation=1, sender="phone", sender_incarnation=1,
                       granted=50, received=1)  # fmt: skip
        for change in (
            {"sender_incarnation": 9},  # for another life of ours
            {"receiver": "stranger"},
            {"receiver_incarnation": 0},
            {"received": 40},  # what was never sent
            {"sender": "edge"},  # not the topic's owner
        ):
            await sender.session.publish(CREDIT, "phone", grant.model_copy(update=change))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(sender.send(work(), "edge", deadline=5.0))
            await anext(receiver)
        await anext(receiver)

        assert sender.counters["credits_for_another"] == 2
        assert sender.credit("edge") <= 1


async def test_a_sender_that_floods_without_credit_costs_no_more_than_the_queue(
    broker_url, site, work, birth, receiving
):
    async with (
        asyncio.timeout(SECONDS),
        receiving(broker_url, site, birth("edge", window=2)) as receiver,
        connect(broker_url, name="rude", site=site) as rude,
    ):
        for number in range(50):
            await rude.publish(WORK, "edge", work(sender="rude", sequence=number, codec=PROBE))
        await rude.publish(WORK, "edge", work(sender="rude", sequence=2**63 - 1))

        assert (await anext(receiver)).sequence == 2**63 - 1


async def test_a_sender_that_floods_with_large_messages_fills_no_memory(broker_url, site, work):
    async with (
        asyncio.timeout(SECONDS),
        connect(broker_url, name="edge", site=site) as session,
        open_receiver(session, 1) as receiver,
    ):
        data, network = pack(work(bytes(512 * 1024))), session.handlers()
        for _ in range(300):
            network.message(WORK.of(site, "edge"), data)

        assert receiver.depth * len(data) <= 64 * 1024 * 1024
        assert receiver.counters["dropped_too-many-bytes"] == 300 - receiver.depth
        assert session.counters["dropped_work"] == receiver.counters["dropped"] == 300 - receiver.depth
