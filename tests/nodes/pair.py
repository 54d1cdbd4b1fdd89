"""Two real node processes: a phone whose link can be shaped while it runs, and the node it hands on to."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from tierline_broker import Client, Tier, connect_client

Phone = subprocess.Popen[bytes]


@contextmanager
def phone_and(tier: Tier, broker: str, log: Path, *of_phone: str, site: str) -> Generator[Phone]:
    """Run the node `phone`, with these arguments of its own, and a node of another tier, named after that."""
    command = [sys.executable, "-m", "tierline", "node", "--site", site, "--broker", broker]
    with log.open("ab") as out:
        other = subprocess.Popen(
            [*command, "--tier", tier, "--name", tier], stderr=out, stdin=subprocess.DEVNULL
        )
        mobile = [*command, "--tier", "mobile", "--name", "phone", "--emulate", "-", *of_phone]
        phone = subprocess.Popen(mobile, stderr=out, stdin=subprocess.PIPE)
    yield phone
    assert phone.stdin is not None
    phone.stdin.close()
    other.send_signal(signal.SIGTERM)
    assert [phone.wait(timeout=10), other.wait(timeout=10)] == [0, 0]


@asynccontextmanager
async def client_of(tier: Tier, broker: str, *, site: str, within: float) -> AsyncGenerator[Client]:
    """Connect, and wait so many seconds at most for both."""
    async with connect_client(broker, site=site) as client:
        async with asyncio.timeout(within):
            for one in (Tier.MOBILE, tier):
                await client.presence.wait_for(one)
        yield client


def shape(phone: Phone, rate: float | None) -> None:
    """Let its uplink carry so many bytes a second, or what it can."""
    assert phone.stdin is not None
    phone.stdin.write(json.dumps({"uplink_bytes_per_second": rate}).encode() + b"\n")
    phone.stdin.flush()
