import asyncio
import os

from tierline_broker import RESULT, Tier, connect_client, pack

SECONDS = 30


async def test_a_node_that_never_answers_is_named_in_the_failure(broker_url, site, mobile, toy_node):
    async with (
        asyncio.timeout(SECONDS),
        toy_node(broker_url, site, mobile) as node,
        connect_client(broker_url, site=site) as client,
    ):
        node.silent = True
        result = await client.infer(b"text", deadline=0.3)

        assert result.error.code == "deadline"
        assert result.error.message.startswith("phone gave no answer")
        assert len(node.seen) == 1

        await node.session.publish(RESULT, client.session.name, node.answer(node.seen[0]))
        await counted(client, "late")
        await node.session.publish(
            RESULT, client.session.name, node.answer(node.seen[0].model_copy(update={"id": b"0" * 16}))
        )
        await counted(client, "unexpected")


async def counted(client, name):
    while client.counters[name] == 0:  # noqa: ASYNC110 (counters have no event)
        await asyncio.sleep(0.005)


async def test_a_result_that_comes_twice_counts_once(broker_url, site, mobile, toy_node):
    async with (
        asyncio.timeout(SECONDS),
        toy_node(broker_url, site, mobile) as node,
        connect_client(broker_url, site=site) as client,
    ):
        node.answers = 2
        assert (await client.infer(b"text")).answer.label == "4"
        await counted(client, "duplicates")

        assert client.counters["answered"] == 1


async def test_a_result_that_cannot_be_read_is_a_typed_failure_at_once(broker_url, site, mobile, toy_node):
    async with (
        asyncio.timeout(SECONDS),
        toy_node(broker_url, site, mobile) as node,
        connect_client(broker_url, site=site) as client,
        asyncio.TaskGroup() as tasks,
    ):
        node.silent = True
        asking = tasks.create_task(client.infer(b"text", deadline=20.0))
        await node.came.wait()
        data = pack(node.answer(node.seen[0])).replace(b"\xa1v\x01", b"\xa1v\x07")
        await node.session.publish_packed(RESULT, client.session.name, data)

        assert (await asking).error.code == "unsupported-version"


async def test_a_request_moves_on_when_its_node_is_lost(broker_url, site, birth, toy_node):
    async with (
        asyncio.timeout(SECONDS),
        connect_client(broker_url, site=site) as client,
        asyncio.TaskGroup() as tasks,
    ):
        async with toy_node(broker_url, site, birth("phone", tier=Tier.MOBILE)) as phone:
            phone.silent = True
            asking = tasks.create_task(client.infer(b"text", deadline=20.0))
            await phone.came.wait()
        async with toy_node(broker_url, site, birth("tablet", tier=Tier.MOBILE)) as tablet:
            result = await asking

        assert result.node == "tablet"
        assert tablet.seen[0].attempt == 2
        assert tablet.seen[0].deadline < 20.0
        assert client.counters["retries"] == 1


async def test_a_request_is_sent_again_when_a_node_further_out_that_may_have_it_is_lost(
    broker_url, site, birth, toy_node
):
    async with (
        asyncio.timeout(SECONDS),
        toy_node(broker_url, site, birth("phone", tier=Tier.MOBILE)) as phone,
        connect_client(broker_url, site=site) as client,
        asyncio.TaskGroup() as tasks,
    ):
        async with toy_node(broker_url, site, birth("edge", tier=Tier.EDGE)):
            await client.presence.wait_for("edge")
            phone.silent = True
            asking = tasks.create_task(client.infer(b"text", deadline=20.0))
            await phone.came.wait()
            phone.silent = False

        assert (await asking).answer.label == "4"
        assert [work.attempt for work in phone.seen] == [1, 2]


async def test_every_request_gets_its_result_although_the_broker_crashes(start_broker, mobile, toy_node):
    broker = await start_broker(kind="mosquitto")
    async with (
        asyncio.timeout(SECONDS),
        toy_node(broker.url, "default", mobile) as node,
        connect_client(broker.url) as client,
    ):

        async def ask_some():
            return [(await client.infer(os.urandom(50), deadline=20.0)).answer for _ in range(40)]

        async with asyncio.TaskGroup() as tasks:
            asking = [tasks.create_task(ask_some()) for _ in range(8)]
            await node.came.wait()
            await broker.kill()
            await client.session.lost()
            await start_broker(kind="mosquitto", port=broker.port)

        assert all(answer is not None for task in asking for answer in task.result())
        assert client.counters["answered"] == 320
        assert client.session.counters["losses"] == 1
