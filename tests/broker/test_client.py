import asyncio
import os
import socket

import pytest

from tierline_broker import NODE, ConnectError, DeadlineError, Tier, connect, connect_client
from tierline_broker.wire import MAX_WHOLE_BYTES

SECONDS = 30


async def test_an_input_comes_back_as_one_result(broker_url, site, mobile, toy_node):
    async with (
        asyncio.timeout(SECONDS),
        toy_node(broker_url, site, mobile) as node,
        connect_client(broker_url, site=site) as client,
    ):
        result = await client.infer(b"a gorgeous, witty film", deadline=5.0)

        assert result.answer.label == "22"
        assert result.error is None
        (work,) = node.seen
        assert (work.codec, work.layer, work.attempt, work.tier, work.model) == ("input", 0, 1, None, "")
        assert 4.0 < work.deadline <= 5.0
        assert client.counters == {"requests": 1, "answered": 1, "retries": 0}
        assert client.in_flight == 0


async def test_many_at_once_each_get_their_own_result_and_none_twice(broker_url, site, birth, toy_node):
    async with (
        asyncio.timeout(SECONDS),
        toy_node(broker_url, site, birth("phone", tier=Tier.MOBILE, window=8)),
        connect_client(broker_url, site=site) as client,
    ):
        slots = asyncio.Semaphore(32)

        async def ask(size):
            async with slots:
                return (await client.infer(os.urandom(size), deadline=20.0)).answer

        async with asyncio.TaskGroup() as tasks:
            asked = {size: tasks.create_task(ask(size)) for size in range(1, 401)}

        assert all(task.result().label == str(size) for size, task in asked.items())
        assert client.counters["answered"] == 400
        assert not client.counters.keys() & {"failed", "duplicates", "late", "unexpected"}


async def test_without_any_node_there_is_a_typed_failure_at_the_deadline(broker_url, site):
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(SECONDS), connect_client(broker_url, site=site) as client:
        started = loop.time()
        result = await client.infer(b"text", deadline=0.1)

        assert 0.1 <= loop.time() - started < 2.0
        assert result.error.code == "no-node"
        assert "start it with `tierline node`" in result.error.message

        result = await client.infer(b"text", deadline=0.1, node="attic")
        assert "no node attic" in result.error.message
        assert client.counters["failed"] == 2


async def test_a_request_without_credit_fails_with_that_reason(broker_url, site, birth):
    async with (
        asyncio.timeout(SECONDS),
        connect(broker_url, name="phone", site=site) as session,
        connect_client(broker_url, site=site) as client,
    ):
        await session.retain(NODE, "phone", birth("phone", tier=Tier.MOBILE, window=0))
        result = await client.infer(b"text", deadline=0.2)

        assert result.error.code == "deadline"
        assert "no credit" in result.error.message


async def test_the_lowest_ready_tier_with_credit_is_asked_unless_a_node_is_named(
    broker_url, site, birth, toy_node
):
    async with (
        asyncio.timeout(SECONDS),
        toy_node(broker_url, site, birth("cloud", tier=Tier.CLOUD)) as cloud,
        toy_node(broker_url, site, birth("phone", tier=Tier.MOBILE, window=1)) as phone,
        connect_client(broker_url, site=site) as client,
    ):
        await client.presence.wait_for("cloud")
        await client.presence.wait_for("phone")
        assert (await client.infer(b"text", tier=Tier.CLOUD)).node == "phone"
        assert phone.seen[0].tier is Tier.CLOUD
        assert (await client.infer(b"text", node="cloud")).node == "cloud"

        phone.silent = True
        phone.came.clear()
        async with asyncio.TaskGroup() as tasks:
            phone.receiver._window = 0  # grants no more
            tasks.create_task(client.infer(b"first", deadline=0.5))
            await phone.came.wait()
            second = tasks.create_task(client.infer(b"second", deadline=5.0))
        assert second.result().node == "cloud"
        assert len(cloud.seen) == 2


@pytest.mark.skipif(not hasattr(socket, "TCP_QUICKACK"), reason="only Linux has quick acknowledgements")
async def test_a_broker_with_nagle_s_algorithm_on_delays_no_answer(start_mosquitto, mobile, toy_node):
    """Credits and answers share a connection: 40 ms each without our quick acknowledgements."""
    loop = asyncio.get_running_loop()
    url = await start_mosquitto("set_tcp_nodelay false")
    async with (
        asyncio.timeout(SECONDS),
        toy_node(url, "default", mobile),
        connect_client(url) as client,
    ):
        seconds = []

        async def ask_some():
            for _ in range(25):
                started = loop.time()
                await client.infer(b"text", deadline=10.0)
                seconds.append(loop.time() - started)
                await asyncio.sleep(0.006)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(4):
                tasks.create_task(ask_some())

        assert sum(second > 0.035 for second in seconds) < 0.1 * len(seconds)


async def test_an_input_that_is_too_large_is_refused_here(broker_url, site):
    async with asyncio.timeout(SECONDS), connect_client(broker_url, site=site) as client:
        result = await client.infer(bytes(MAX_WHOLE_BYTES + 1))

        assert result.error.code == "too-large"


@pytest.mark.parametrize("deadline", [0, -1, -0.001, float("nan"), float("-inf")])
async def test_a_deadline_that_is_no_time_to_come_is_the_caller_s_mistake(
    broker_url, site, mobile, deadline, toy_node
):
    async with (
        asyncio.timeout(SECONDS),
        toy_node(broker_url, site, mobile) as node,
        connect_client(broker_url, site=site) as client,
    ):
        with pytest.raises(
            DeadlineError, match=r"deadline of \S+ s cannot be kept; give a number .* above 0"
        ):
            await client.infer(b"text", deadline=deadline)

        assert client.counters == {}
        assert (await client.infer(b"text", deadline=float("inf"))).answer.label == "4"
        assert len(node.seen) == 1


async def test_a_cancelled_request_leaves_nothing_behind(broker_url, site, mobile, toy_node):
    async with (
        asyncio.timeout(SECONDS),
        toy_node(broker_url, site, mobile) as node,
        connect_client(broker_url, site=site) as client,
    ):
        node.silent = True
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.infer(b"text", deadline=20.0)

        assert client.in_flight == 0


async def test_a_client_without_a_broker_is_one_clear_error(unused_port):
    with pytest.raises(ConnectError, match="tierline broker"):
        async with asyncio.timeout(SECONDS), connect_client(f"mqtt://127.0.0.1:{unused_port}", patience=0.3):
            pytest.fail("there is no broker")


async def test_request_ids_grow_with_time(broker_url, site, mobile, toy_node):
    async with (
        asyncio.timeout(SECONDS),
        toy_node(broker_url, site, mobile) as node,
        connect_client(broker_url, site=site) as client,
    ):
        for _ in range(3):
            await client.infer(b"text")
            await asyncio.sleep(0.002)

        ids = [work.id for work in node.seen]
        assert ids == sorted(ids)
        assert len(set(ids)) == 3
