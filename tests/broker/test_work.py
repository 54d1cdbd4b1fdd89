import asyncio
import os

import aiomqtt
import pytest

from tierline_broker import NODE, WORK, CreditError, PublishError, Tier, running

SECONDS = 20


async def drain(receiver):
    async for _ in receiver:
        pass


async def test_work_arrives_with_its_sender_and_what_is_left_of_its_deadline(
    broker_url, site, work, birth, receiving, sending
):
    async with (
        asyncio.timeout(SECONDS),
        receiving(broker_url, site, birth("edge")) as receiver,
        sending(broker_url, site, incarnation=7) as sender,
    ):
        await sender.presence.wait_for("edge")
        sent = work(b"x" * 1000, sender="nobody", deadline=3.0)
        report = await sender.send(sent, "edge", deadline=3.0)
        found = await anext(receiver)

        assert (found.sender, found.sender_incarnation, found.sequence) == ("phone", 7, 1)
        assert 2.0 < found.deadline < 3.0
        assert (found.id, found.payload) == (sent.id, sent.payload)
        assert report.sent_bytes > 1000
        assert (report.parts, report.sequence, report.link_seconds) == (1, 1, 0.0)
        assert receiver.arrived <= asyncio.get_running_loop().time()


@pytest.mark.parametrize("mirrored", [False, True])
async def test_work_goes_out_with_its_headers_mirrored_where_that_was_asked_for(
    broker_url, site, work, birth, mirrored, receiving, sending
):
    host, port = broker_url.removeprefix("mqtt://").split(":")
    async with (
        asyncio.timeout(SECONDS),
        aiomqtt.Client(host, int(port), protocol=aiomqtt.ProtocolVersion.V5) as tool,
        receiving(broker_url, site, birth("edge")),
        sending(broker_url, site, mirror_headers=mirrored) as sender,
    ):
        await tool.subscribe(WORK.of(site, "edge"), qos=1)
        await sender.presence.wait_for("edge")
        sent = work(sender="who-sent-it-before", layer=3)
        await sender.send(sent, "edge", deadline=3.0)
        message = await anext(tool.messages)

        user = dict(getattr(message.properties, "UserProperty", ()))
        expected = {"id": sent.id.hex(), "sender": "phone", "origin": "phone", "layer": "3"}
        assert bool(user) == mirrored
        assert (expected.items() <= user.items()) == mirrored


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
async def test_two_megabytes_travel_in_parts_and_arrive_whole(
    kind, request, site, work, birth, receiving, sending
):
    url = request.getfixturevalue("broker_url" if kind == "mosquitto" else "embedded_broker_url")
    async with (
        asyncio.timeout(SECONDS),
        receiving(url, site, birth("edge", window=4)) as receiver,
        sending(url, site) as sender,
    ):
        await sender.presence.wait_for("edge")
        sent = work(os.urandom(2_000_000))
        async with asyncio.TaskGroup() as tasks:
            sending_it = tasks.create_task(sender.send(sent, "edge", deadline=10.0))
            found = await anext(receiver)

        assert found.payload == sent.payload
        assert found.part is None
        assert sending_it.result().parts == receiver.counters["parts"] == 8


async def test_work_that_comes_twice_is_taken_once_and_another_attempt_again(
    broker_url, site, work, birth, receiving, sending
):
    async with (
        asyncio.timeout(SECONDS),
        receiving(broker_url, site, birth("edge")) as receiver,
        sending(broker_url, site) as sender,
    ):
        await sender.presence.wait_for("edge")
        sent = work()
        for repeated in (sent, sent, sent.model_copy(update={"attempt": 2})):
            await sender.send(repeated, "edge", deadline=5.0)

        assert [(await anext(receiver)).attempt for _ in range(2)] == [1, 2]
        assert receiver.counters["duplicates"] == 1


async def test_malformed_work_is_told_with_whom_to_answer_and_disturbs_nothing(
    broker_url, site, work, birth, receiving, sending
):
    errors = []
    async with (
        asyncio.timeout(SECONDS),
        receiving(
            broker_url, site, birth("edge"), on_malformed=lambda _, error: errors.append(error)
        ) as receiver,
        sending(broker_url, site) as sender,
    ):
        await sender.presence.wait_for("edge")
        await sender.session.publish(WORK, "edge", bad := work().model_copy(update={"attempt": 1000}))
        await sender.send(sent := work(), "edge", deadline=5.0)

        assert (await anext(receiver)).id == sent.id
        assert [(error.code, error.request_id, error.origin) for error in errors] == [
            ("bad-record", bad.id, "phone")
        ]


async def test_an_emulated_link_is_waited_for_and_seen_in_the_estimate(
    broker_url, site, work, birth, receiving, sending
):
    crossed = []

    async def link(peer, size):
        crossed.append((peer, size))
        await asyncio.sleep(0.03 + size / 1e6)

    async with (
        asyncio.timeout(SECONDS),
        receiving(broker_url, site, birth("edge")) as receiver,
        sending(broker_url, site, link=link) as sender,
        running(drain(receiver), name="drain"),
    ):
        await sender.presence.wait_for("edge")
        for _ in range(5):
            report = await sender.send(work(bytes(30_000)), "edge", deadline=5.0)
            await sender.send(work(), "edge", deadline=5.0)
        await until(lambda: sender.links() and sender.links()[0].observations == 10)
        (known,) = sender.links()

        assert crossed[0] == ("edge", report.sent_bytes)
        assert report.link_seconds >= 0.06
        assert known.rtt + 30_000 / known.bytes_per_second == pytest.approx(0.06, rel=0.5)
        assert known.rtt == pytest.approx(0.03, rel=0.5)
        assert known.age < 5.0


async def test_a_link_too_slow_for_the_deadline_is_a_publish_error_at_the_deadline(
    broker_url, site, work, birth, receiving, sending
):
    async def link(peer, size):
        await asyncio.sleep(60)

    async with (
        asyncio.timeout(SECONDS),
        receiving(broker_url, site, birth("edge")),
        sending(broker_url, site, link=link) as sender,
    ):
        await sender.presence.wait_for("edge")
        for size in (10, 100_000):
            with pytest.raises(PublishError, match="not out before its deadline"):
                await sender.send(work(bytes(size)), "edge", deadline=0.05)

        assert sender.links() == ()


async def until(holds):
    """Wait for other tasks to bring something about."""
    while not holds():  # noqa: ASYNC110 (counters have no event)
        await asyncio.sleep(0.005)


async def test_a_probe_measures_the_link_and_is_nobody_s_work(
    broker_url, site, work, birth, receiving, sending
):
    async with (
        asyncio.timeout(SECONDS),
        receiving(broker_url, site, birth("edge", tier=Tier.CLOUD)) as receiver,
        sending(broker_url, site) as sender,
        running(drain(receiver), name="drain"),
    ):
        await sender.presence.wait_for("edge")
        assert sender.links() == ()
        for _ in range(2):
            await sender.probe("edge")
        await until(lambda: sender.links() and sender.links()[0].observations == 4)

        assert receiver.counters["probes"] == sender.counters["probes"] == 4
        assert receiver.counters.get("taken", 0) == 0
        assert sender.links()[0].peer == "edge"

        await sender.session.publish(NODE, "edge", birth("edge", state="lost"))
        await sender.presence.wait_for(lambda table: not table.ready())
        assert sender.links() == ()
        with pytest.raises(CreditError):
            await sender.probe("edge")


async def test_work_under_way_when_the_broker_crashes_is_published_again_and_taken_once(
    start_broker, work, birth, receiving, sending
):
    broker = await start_broker(kind="mosquitto")
    async with (
        asyncio.timeout(SECONDS),
        receiving(broker.url, "default", birth("edge")) as receiver,
        sending(broker.url, "default") as sender,
    ):
        await sender.presence.wait_for("edge")
        await sender.send(work(), "edge", deadline=5.0)
        await anext(receiver)
        back = asyncio.Event()
        sender.presence.listeners.append(lambda *_: back.set())
        broker.pause()
        async with asyncio.TaskGroup() as tasks:
            under_way = tasks.create_task(sender.send(sent := work(), "edge", deadline=10.0))
            await asyncio.sleep(0)
            await broker.kill()
            await sender.session.lost()
            await start_broker(kind="mosquitto", port=broker.port)
        await under_way
        assert sender.counters["republished"] == 1

        # Where the receiver came back after the message, its birth says when to try again.
        await back.wait()
        await sender.send(sent, "edge", deadline=10.0)
        await sender.send(last := work(), "edge", deadline=10.0)
        assert [(await anext(receiver)).id for _ in range(2)] == [sent.id, last.id]


async def test_a_broker_that_stays_away_is_a_publish_error_at_the_deadline(
    start_broker, work, birth, sending
):
    broker = await start_broker(kind="mosquitto")
    async with asyncio.timeout(SECONDS), sending(broker.url, "default") as sender:
        await sender.session.publish(NODE, "edge", birth("edge", window=2))
        await sender.presence.wait_for("edge")
        await broker.kill()
        await sender.session.lost()
        with pytest.raises(PublishError, match="not out before its deadline"):
            await sender.send(work(), "edge", deadline=0.2)
        with pytest.raises(PublishError):
            await sender.send(work(), "edge", deadline=0.1)

        # With the last credit gone and no broker, not even the question for more gets out.
        with pytest.raises(CreditError):
            await sender.send(work(), "edge", deadline=1.3)
        assert sender.counters["nudges"] == 1
