import asyncio

import pytest

from tierline_broker import RESULT, WORK, PublishError, Result, Tier, connect, pack

SECONDS = 10


async def test_what_the_broker_would_not_take_is_refused_before_it_costs_the_connection(
    start_mosquitto, work
):
    url = await start_mosquitto("max_packet_size 40000")
    async with asyncio.timeout(SECONDS), connect(url, name="phone") as phone:
        assert phone.maximum_packet_size == 40_000
        with pytest.raises(PublishError, match="more than the broker takes") as caught:
            await phone.publish(WORK, "edge", work(bytes(50_000)))

        assert not caught.value.lost
        await phone.publish(WORK, "edge", work(bytes(30_000)))
        assert phone.generation == 1


async def test_mirrored_headers_count_towards_what_the_broker_takes(start_mosquitto, work):
    url = await start_mosquitto("max_packet_size 40000")
    sent = work(bytes(30_000), codec="x" * 900)
    sent = sent.model_copy(update={"payload": bytes(30_000 + 39_700 - len(pack(sent)))})
    async with asyncio.timeout(SECONDS), connect(url, name="phone", mirror_headers=True) as phone:
        with pytest.raises(PublishError, match="more than the broker takes"):
            await phone.publish(WORK, "edge", sent)

        assert phone.up
    async with asyncio.timeout(SECONDS), connect(url, name="phone") as phone:
        await phone.publish(WORK, "edge", sent)


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
async def test_a_large_result_travels_over_either_broker(kind, request, site):
    url = request.getfixturevalue("broker_url" if kind == "mosquitto" else "embedded_broker_url")
    sent = Result(
        id=b"0" * 16,
        node="edge",
        tier=Tier.EDGE,
        answer={"output": [0.5] * 40_000, "label": "x", "confidence": 1, "layer": 1},
    )
    async with (
        asyncio.timeout(SECONDS),
        connect(url, name="phone", site=site) as phone,
        phone.subscribe(RESULT, "phone") as results,
    ):
        await phone.publish(RESULT, "phone", sent)

        assert await anext(results) == sent
