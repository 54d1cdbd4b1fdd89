import asyncio
import time

import aiomqtt
import pytest

from tierline_broker import NODE, TELEMETRY, WORK, PublishError, connect, follow, pack

SECONDS = 20


@pytest.fixture
async def broker(start_broker):
    """A broker of this test's own, and a way to have it again on its port after a kill."""
    first = await start_broker(kind="mosquitto")

    class Killable:
        url = first.url
        current = first

        async def kill(self):
            await self.current.kill()

        async def restart(self):
            self.current = await start_broker(kind="mosquitto", port=first.port)

    return Killable()


async def test_after_a_crash_of_the_broker_subscriptions_and_retained_state_are_back(broker, work, birth):
    async with (
        asyncio.timeout(SECONDS),
        connect(broker.url, name="edge") as edge,
        connect(broker.url, name="phone") as phone,
        edge.subscribe(WORK, "edge") as works,
        phone.subscribe(NODE) as births,
    ):
        await edge.retain(NODE, "edge", birth("edge"))
        assert await anext(births) == birth("edge")

        await broker.kill()
        await edge.lost()
        await phone.lost()
        assert not edge.up
        await broker.restart()
        await phone.connected()

        assert await anext(births) == birth("edge")
        assert await edge.connected() == 2
        await phone.publish(WORK, "edge", sent := work())
        assert await anext(works) == sent
        assert (edge.counters["losses"], edge.counters["connects"]) == (1, 2)


async def test_state_that_was_retained_or_cleared_without_a_connection_is_so_after_the_next(broker, birth):
    async with (
        asyncio.timeout(SECONDS),
        connect(broker.url, name="edge") as edge,
        connect(broker.url, name="phone") as phone,
    ):
        await edge.retain(NODE, "old", birth("old"))
        await broker.kill()
        await edge.lost()
        await phone.lost()
        await edge.retain(NODE, "edge", birth("edge"))
        await edge.clear(NODE, "old")
        async with phone.subscribe(NODE) as births:
            assert phone.counters["subscribe_deferred"] == 1
            await broker.restart()

            assert (await anext(births)).node == "edge"
            await edge.connected()
            await edge.publish(NODE, "last", birth("last"))
            assert (await anext(births)).node == "last"


async def test_a_publish_without_a_connection_fails_at_once_and_says_why(broker, work):
    async with asyncio.timeout(SECONDS), connect(broker.url, name="phone") as phone:
        await broker.kill()
        await phone.lost()
        with pytest.raises(PublishError, match="not connected to mqtt://127") as caught:
            await phone.publish(WORK, "edge", work())

        assert caught.value.lost
        assert phone.counters["publish_failed"] == 1


async def test_a_publish_in_flight_fails_with_its_connection_and_not_after_its_time_out(broker, work):
    async with asyncio.timeout(SECONDS), connect(broker.url, name="phone") as phone:
        broker.current.pause()
        async with asyncio.TaskGroup() as tasks:
            publishing = tasks.create_task(failure(phone.publish(WORK, "edge", work())))
            await asyncio.sleep(0)
            started = time.monotonic()
            await broker.kill()

        assert isinstance(publishing.result(), PublishError)
        assert publishing.result().lost
        assert time.monotonic() - started < 1.0


async def failure(publishing):
    try:
        await publishing
    except PublishError as error:
        return error


async def test_a_broker_that_hangs_fails_a_publish_within_seconds_and_may_come_back(broker, work, birth):
    async with (
        asyncio.timeout(SECONDS),
        connect(broker.url, name="phone") as phone,
        phone.subscribe(TELEMETRY, "phone"),
    ):
        broker.current.pause()
        with pytest.raises(PublishError, match="did not answer"):
            await phone.publish(WORK, "edge", work())
        broker.current.resume()

        await phone.publish(NODE, "phone", birth("phone"))


async def test_leaving_a_broker_that_hangs_takes_no_longer_than_two_seconds(broker, birth):
    async with asyncio.timeout(SECONDS):
        async with (
            connect(broker.url, name="edge", will=birth("edge", state="lost")) as edge,
            edge.subscribe(WORK, "edge"),
            follow(edge),
        ):
            broker.current.pause()
            started = time.monotonic()

        assert time.monotonic() - started < 2.0
        broker.current.resume()


async def test_trying_to_connect_again_can_be_cancelled(broker):
    async with asyncio.timeout(SECONDS), connect(broker.url, name="phone") as phone:
        await broker.kill()
        await phone.lost()


async def test_a_node_that_starts_again_ends_what_is_left_of_its_earlier_life(broker, birth):
    """The will of a connection that still looks alive to the broker comes before the new birth, not after."""
    host, port = broker.url.removeprefix("mqtt://").split(":")
    will = aiomqtt.Will(NODE.of("default", "edge"), pack(birth("edge", state="lost")), qos=1, retain=True)
    earlier = aiomqtt.Client(
        host, int(port), protocol=aiomqtt.ProtocolVersion.V5, identifier="tierline-default-edge-in", will=will
    )
    async with (
        asyncio.timeout(SECONDS),
        connect(broker.url, name="watcher") as watcher,
        watcher.subscribe(NODE) as births,
        earlier,
    ):
        async with connect(broker.url, name="edge") as edge:
            await edge.retain(NODE, "edge", birth("edge", incarnation=2))

            assert [(await anext(births)).state for _ in range(2)] == ["lost", "ready"]
        with pytest.raises(aiomqtt.MqttError):
            await anext(earlier.messages)
