import asyncio

import pytest
from structlog.testing import capture_logs

from tierline_broker import connect, connection
from tierline_broker.backoff import FIRST_SECONDS

SECONDS = 20
CONNACK = b"\x20\x03\x00\x00\x00"
SESSION_TAKEN_OVER = b"\xe0\x01\x8e"


@pytest.fixture
def waits(monkeypatch):
    """The most seconds before each new connect; none is waited for."""
    asked = asyncio.Queue()
    monkeypatch.setattr(connection.random, "uniform", lambda low, high: asked.put_nowait(high) or low)
    return asked


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
async def test_two_programs_of_one_name_soon_leave_each_other_alone_and_say_the_cure(
    kind, request, site, waits
):
    url = request.getfixturevalue("broker_url" if kind == "mosquitto" else "embedded_broker_url")
    with capture_logs() as logs:
        async with (
            asyncio.timeout(SECONDS),
            connect(url, name="edge", site=site),
            connect(url, name="edge", site=site),
        ):
            asked = [await waits.get() for _ in range(12)]

    assert asked[0] == FIRST_SECONDS
    assert max(asked) >= 2**5 * FIRST_SECONDS  # of the two, one has lost at least six times
    told = [log for log in logs if "choose another --name" in log.get("reason", "")]
    assert told
    assert told[-1]["client"] == f"tierline-{site}-edge"


async def test_a_broker_that_says_so_makes_the_cure_known_at_the_first_loss(waits):
    async def take_over(reader, writer):
        connect_packet = await reader.read(1000)
        writer.write(CONNACK + (SESSION_TAKEN_OVER if b"edge-in" in connect_packet else b""))
        await reader.read()
        writer.close()

    broker = await asyncio.start_server(take_over, "127.0.0.1", 0)
    port = broker.sockets[0].getsockname()[1]
    with capture_logs() as logs:
        async with asyncio.timeout(SECONDS), connect(f"mqtt://127.0.0.1:{port}", name="edge"):
            await waits.get()
    broker.close()

    lost = next(log for log in logs if log["event"] == "broker_lost")
    assert lost["reason"] == "another program uses this name; choose another --name"
    assert lost["log_level"] == "warning"
