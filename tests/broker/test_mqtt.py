import asyncio
import gc
import re
from pathlib import Path

import pytest

import tierline_broker
from tierline_broker import WORK, PublishError, connect, parse_address
from tierline_broker.mqtt import open_link

SECONDS = 20


def test_only_one_module_knows_the_mqtt_library():
    folder = Path(tierline_broker.__file__).parent
    knowing = {
        path.name
        for path in folder.glob("*.py")
        if re.search(r"^\s*(import|from) (aiomqtt|paho)", path.read_text(), re.M)
    }

    assert knowing == {"mqtt.py"}


async def test_what_the_broker_forbids_is_an_error_and_not_a_silence(start_mosquitto, tmp_path):
    heard = []
    (tmp_path / "acl").write_text("topic readwrite open/#\n")
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)  # Mosquitto reads it as a user of its own
    url = await start_mosquitto(f"acl_file {tmp_path}/acl")
    async with (
        asyncio.timeout(SECONDS),
        open_link(parse_address(url), "a", message=lambda *message: heard.append(message)) as link,
    ):
        await link.listen("open/+", qos=1)
        with pytest.raises(PublishError, match="Not authorized") as caught:
            await link.put("closed/a", b"1", qos=1, retain=False, properties=None)
        assert not caught.value.lost

        await link.put("open/a", b"2", qos=1, retain=False, properties=None)
        await link.put("open/a", b"3", qos=0, retain=False, properties=None)
        while len(heard) < 2:  # noqa: ASYNC110 (the callback has no event)
            await asyncio.sleep(0.005)
        assert heard == [("open/a", b"2"), ("open/a", b"3")]


async def test_many_publishes_at_once_wait_for_the_broker_s_few_places(start_mosquitto):
    url = await start_mosquitto("max_inflight_messages 1")
    async with (
        asyncio.timeout(SECONDS),
        open_link(parse_address(url), "a", message=lambda *_: None) as link,
        asyncio.TaskGroup() as tasks,
    ):
        for number in range(100):
            tasks.create_task(
                link.put("open/a", bytes(number * 1000), qos=1, retain=False, properties=None),
                name=str(number),
            )


async def test_a_connect_that_is_cancelled_at_any_moment_leaves_nothing_behind(broker_url, site):
    loop = asyncio.get_running_loop()
    before = len(asyncio.all_tasks())
    stood = 0
    for step in range(40):
        try:
            async with asyncio.timeout(step * 0.0005), connect(broker_url, name="a", site=site) as session:
                stood += session.up
                await asyncio.Event().wait()
        except TimeoutError:
            pass
    async with asyncio.timeout(SECONDS):
        # A connect in the executor cannot be stopped; it ends by itself, and then nothing is open.
        await loop.run_in_executor(None, lambda: None)
        while len(asyncio.all_tasks()) > before:  # noqa: ASYNC110 (tasks of a library)
            await asyncio.sleep(0.01)
    gc.collect()  # a socket that nobody closed would be a warning here, and warnings are errors

    assert 0 < stood < 40


async def test_after_the_connection_broke_nothing_can_be_published_or_subscribed(start_broker, work):
    broker = await start_broker(kind="mosquitto")
    async with (
        asyncio.timeout(SECONDS),
        open_link(parse_address(broker.url), "a", message=lambda *_: None) as link,
    ):
        assert link.open
        await broker.kill()
        await link.broken()

        assert not link.open
        with pytest.raises(PublishError):
            await link.put("t", b"", qos=1, retain=False, properties=None)
        with pytest.raises(PublishError):
            await link.listen("t", qos=1)


async def test_work_larger_than_a_socket_takes_at_once_arrives_whole(broker_url, site, work):
    async with (
        asyncio.timeout(SECONDS),
        connect(broker_url, name="a", site=site) as session,
        session.subscribe(WORK, "a") as works,
        asyncio.TaskGroup() as tasks,
    ):
        sent = [work(bytes([number]) * 500_000) for number in range(20)]
        for one in sent:
            tasks.create_task(session.publish(WORK, "a", one))
        found = [await anext(works) for _ in sent]

        assert [one.payload for one in found] == [one.payload for one in sent]
