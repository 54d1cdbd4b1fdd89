import asyncio
import signal
import subprocess
import sys

import aiomqtt
import pytest

from tierline_broker import (
    NODE,
    TELEMETRY,
    WORK,
    AddressError,
    ConnectError,
    RefusedError,
    Telemetry,
    Tier,
    connect,
    follow,
    write_password_file,
)

SECONDS = 10
NODE_TO_KILL = """
import asyncio, sys
from tierline_broker import NODE, Birth, connect

async def main(url, site):
    birth = Birth(node="edge", tier="edge", state="ready", incarnation=1)
    will = birth.model_copy(update={"state": "lost"})
    async with connect(url, name="edge", site=site, will=will) as session:
        await session.retain(NODE, "edge", birth)
        await asyncio.Event().wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def test_a_record_published_on_a_node_s_topic_reaches_its_subscriber(broker_url, site, work):
    async with (
        asyncio.timeout(SECONDS),
        connect(broker_url, name="edge", site=site) as edge,
        connect(broker_url, name="phone", site=site) as phone,
        edge.subscribe(WORK, "edge") as incoming,
    ):
        sent = work(b"hello")
        await phone.publish(WORK, "edge", sent, expiry=5.0)

        assert await anext(incoming) == sent
        assert phone.counters["published"] == edge.counters["received"] == 1
        assert phone.up
        assert phone.generation == 1


async def test_retained_state_reaches_who_comes_later_until_it_is_cleared(broker_url, site, birth):
    async with asyncio.timeout(SECONDS), connect(broker_url, name="edge", site=site) as edge:
        await edge.retain(NODE, "edge", birth("edge"))
        async with connect(broker_url, name="one", site=site) as one, one.subscribe(NODE) as births:
            assert await anext(births) == birth("edge")

            await edge.clear(NODE, "edge")
            await edge.retain(NODE, "edge", birth("edge", incarnation=2))
            assert (await anext(births)).incarnation == 2  # the clearing itself is no record
            assert one.counters["cleared"] == 1

            await edge.clear(NODE, "edge")
        async with connect(broker_url, name="two", site=site) as two, two.subscribe(NODE) as births:
            await two.retain(NODE, "two", birth("two"))
            assert (await anext(births)).node == "two"


async def test_sites_do_not_hear_each_other(broker_url, site, birth):
    async with (
        asyncio.timeout(SECONDS),
        connect(broker_url, name="a", site=site) as here,
        connect(broker_url, name="a", site=f"{site}-other") as there,
        here.subscribe(NODE) as births,
    ):
        await there.publish(NODE, "a", birth("a"))
        await here.publish(NODE, "b", birth("b"))

        assert (await anext(births)).node == "b"


async def test_two_subscriptions_to_one_filter_both_get_every_record(broker_url, site, birth):
    async with (
        asyncio.timeout(SECONDS),
        connect(broker_url, name="a", site=site) as session,
        session.subscribe(NODE) as one,
    ):
        async with session.subscribe(NODE) as two:
            await session.publish(NODE, "a", birth("a"))
            assert await anext(one) == await anext(two) == birth("a")
        await session.publish(NODE, "b", birth("b"))

        assert await anext(one) == birth("b")
        assert two.delivered == 1


async def test_what_comes_for_a_filter_that_was_left_is_counted_as_unexpected(broker_url, site, birth):
    async with asyncio.timeout(SECONDS), connect(broker_url, name="a", site=site) as session:
        async with session.subscribe(NODE):
            pass
        session.handlers().message(NODE.of(site, "b"), b"late")

        assert session.counters["unexpected"] == 1


async def test_a_bad_message_is_counted_and_answered_to_its_origin_if_it_names_one(broker_url, site, work):
    errors = []
    async with (
        asyncio.timeout(SECONDS),
        connect(broker_url, name="edge", site=site) as edge,
        edge.subscribe(WORK, "edge", on_malformed=lambda _, error: errors.append(error)) as incoming,
    ):
        await edge.publish_packed(WORK, "edge", b"no record")
        await edge.publish(WORK, "edge", sent := work())

        assert await anext(incoming) == sent
        assert [error.code for error in errors] == ["malformed"]


async def test_a_slow_consumer_s_losses_are_counted_where_they_happen(broker_url, site, work, birth):
    async with (
        asyncio.timeout(SECONDS),
        connect(broker_url, name="edge", site=site) as edge,
        connect(broker_url, name="phone", site=site) as phone,
        edge.subscribe(WORK, "edge", limit=5) as works,
        edge.subscribe(TELEMETRY, "edge", limit=5) as reports,
        edge.subscribe(NODE) as births,
    ):
        for queue in range(8):
            await phone.publish(WORK, "edge", work(layer=queue))
            await phone.publish(TELEMETRY, "edge", report(queue))
        await phone.publish(NODE, "phone", birth("phone"))
        await anext(births)  # sent last, so all the others are here

        assert (works.dropped, works.depth) == (3, 5)
        assert (reports.dropped, reports.depth) == (3, 5)
        assert edge.counters["dropped_work"] == edge.counters["dropped_telemetry"] == 3
        assert [(await anext(works)).layer for _ in range(5)] == [0, 1, 2, 3, 4]
        assert [(await anext(reports)).queue for _ in range(5)] == [3, 4, 5, 6, 7]


def report(queue):
    return Telemetry(
        node="edge", tier=Tier.EDGE, incarnation=1, queue=queue, speed=1.0, busy=0.0, arrival_rate=0.0
    )


@pytest.mark.parametrize("mirrored", [False, True])
async def test_work_carries_the_properties_that_brokers_act_on(broker_url, site, work, mirrored):
    host, port = broker_url.removeprefix("mqtt://").split(":")
    async with (
        asyncio.timeout(SECONDS),
        aiomqtt.Client(host, int(port), protocol=aiomqtt.ProtocolVersion.V5) as tool,
        connect(broker_url, name="phone", site=site, mirror_headers=mirrored) as phone,
    ):
        await tool.subscribe(f"tierline/1/{site}/#", qos=1)
        sent = work(layer=3)
        await phone.publish(WORK, "edge", sent, expiry=4.2)
        message = await anext(tool.messages)

        assert message.properties.ContentType == "application/vnd.tierline+msgpack;v=1"
        assert message.properties.MessageExpiryInterval == 5
        user = dict(getattr(message.properties, "UserProperty", ()))
        assert ({"id": sent.id.hex(), "layer": "3", "origin": "phone"}.items() <= user.items()) == mirrored
        assert bool(user) == mirrored


async def test_a_broker_that_is_not_there_is_one_clear_error_within_seconds(unused_port):
    with pytest.raises(ConnectError, match="start one with `tierline broker`"):
        async with (
            asyncio.timeout(SECONDS),
            connect(f"mqtt://127.0.0.1:{unused_port}", name="a", patience=0.5),
        ):
            pytest.fail("there is no broker")


async def test_a_port_that_accepts_and_never_answers_is_a_connect_error(birth):
    connections = []
    server = await asyncio.start_server(lambda _, writer: connections.append(writer), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    with pytest.raises(ConnectError, match=r"no answer within 0\.3 s"):
        async with asyncio.timeout(SECONDS), connect(f"mqtt://127.0.0.1:{port}", name="a", patience=0.3):
            pytest.fail("that is no broker")

    assert connections
    for writer in connections:
        writer.close()
    server.close()


async def test_a_host_that_has_no_address_is_a_connect_error():
    with pytest.raises(ConnectError):
        async with asyncio.timeout(SECONDS), connect("mqtt://no-such-host.invalid", name="a", patience=0.5):
            pytest.fail("there is no such host")


async def test_tls_is_refused_with_what_is_to_come():
    with pytest.raises(AddressError, match="comes with joining"):
        async with connect("mqtts://127.0.0.1", name="a"):
            pytest.fail("there is no TLS yet")


async def test_a_wrong_password_is_refused_at_once_and_the_right_one_is_not(start_broker, tmp_path, site):
    passwords = tmp_path / "passwords"
    write_password_file(passwords, {"anna": "right"})
    broker = await start_broker(kind="mosquitto", password_file=passwords)
    url = broker.url.replace("mqtt://", "mqtt://anna:wrong@")

    with pytest.raises(RefusedError, match="mqtt://USER:PASSWORD@HOST") as caught:
        async with asyncio.timeout(SECONDS), connect(url, name="a", site=site, patience=60):
            pytest.fail("the password is wrong")

    assert "wrong" not in str(caught.value)
    async with asyncio.timeout(SECONDS), connect(url, name="a", site=site, password="right") as session:
        assert session.up


async def test_a_clean_end_says_the_last_will(broker_url, site, birth):
    async with (
        asyncio.timeout(SECONDS),
        connect(broker_url, name="watcher", site=site) as watcher,
        watcher.subscribe(NODE) as births,
    ):
        async with connect(broker_url, name="edge", site=site, will=birth("edge", state="lost")) as edge:
            await edge.retain(NODE, "edge", birth("edge"))
            assert (await anext(births)).state == "ready"

        assert (await anext(births)).state == "lost"


async def test_the_broker_says_the_last_will_of_a_killed_node(broker_url, site):
    async with (
        asyncio.timeout(30),
        connect(broker_url, name="watcher", site=site) as watcher,
        follow(watcher) as presence,
    ):
        node = subprocess.Popen([sys.executable, "-c", NODE_TO_KILL, broker_url, site])  # noqa: ASYNC220
        try:
            await presence.wait_for("edge")
            node.send_signal(signal.SIGKILL)

            await presence.wait_for(lambda table: table.births["edge"].state == "lost")
        finally:
            node.kill()
            node.wait()
