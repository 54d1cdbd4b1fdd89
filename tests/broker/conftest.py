"""Works, births, senders, receivers and toy nodes for the broker component's tests."""

import asyncio
import itertools
import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tierline_broker import (
    NODE,
    RAW_INPUT,
    RESULT,
    Answer,
    Birth,
    PublishError,
    Receiver,
    Result,
    Sender,
    Session,
    Tier,
    Work,
    connect,
    follow,
    open_receiver,
    open_sender,
    running,
)
from tierline_broker.mosquitto import find_mosquitto
from tierline_broker.process import answers

_numbers = itertools.count(1)


def make_work(payload: bytes = b"text", **fields: object) -> Work:
    """Return work with its own id; `fields` replace the defaults."""
    known = {
        "id": os.urandom(16),
        "origin": "phone",
        "sender": "phone",
        "sender_incarnation": 1,
        "sequence": next(_numbers),
        "model": "",
        "layer": 0,
        "codec": RAW_INPUT,
        "deadline": 5.0,
        "payload": payload,
    }
    return Work.model_validate(known | fields)


def make_birth(node: str, tier: Tier | None = Tier.EDGE, **fields: object) -> Birth:
    """Return the birth of a ready node; `fields` replace the defaults."""
    known = {"node": node, "tier": tier, "state": "ready", "incarnation": 1, "window": 16}
    return Birth.model_validate(known | fields)


@pytest.fixture(scope="session")
def work() -> Callable[..., Work]:
    return make_work


@pytest.fixture(scope="session")
def birth() -> Callable[..., Birth]:
    return make_birth


@asynccontextmanager
async def open_receiving(url: str, site: str, birth: Birth, **options: Any) -> AsyncGenerator[Receiver]:
    """A receiver that has announced itself."""
    async with (
        connect(url, name=birth.node, site=site, will=birth.model_copy(update={"state": "lost"})) as session,
        open_receiver(session, birth.incarnation, window=birth.window, **options) as receiver,
    ):
        await session.retain(NODE, birth.node, birth)
        yield receiver


@asynccontextmanager
async def open_sending(
    url: str, site: str, *, incarnation: int = 1, name: str = "phone", link: Any = None, **options: Any
) -> AsyncGenerator[Sender]:
    """A sender that follows who is there."""
    async with (
        connect(url, name=name, site=site, **options) as session,
        follow(session) as presence,
        open_sender(session, incarnation, presence, link=link) as sender,
    ):
        sender.presence, sender.session = presence, session
        yield sender


class ToyNode:
    """A node that answers each input with its length; a test may change how."""

    def __init__(self, session: Session, receiver: Receiver, birth: Birth) -> None:
        self.session = session
        self.receiver = receiver
        self.birth = birth
        self.seen: list[Work] = []
        self.came = asyncio.Event()
        self.answers = 1  # how often
        self.silent = False

    def answer(self, work: Work) -> Result:
        found = Answer(output=(1.0,), label=str(len(work.payload)), confidence=1.0, layer=0)
        return Result(id=work.id, node=self.birth.node, tier=self.birth.tier, answer=found)

    async def serve(self) -> None:
        async for work in self.receiver:
            self.seen.append(work)
            self.came.set()
            for _ in range(0 if self.silent else self.answers):
                try:
                    await self.session.publish(RESULT, work.origin, self.answer(work), expiry=5.0)
                except PublishError:
                    await self.session.connected()


@asynccontextmanager
async def open_toy_node(url: str, site: str, birth: Birth) -> AsyncGenerator[ToyNode]:
    async with (
        connect(url, name=birth.node, site=site, will=birth.model_copy(update={"state": "lost"})) as session,
        open_receiver(session, birth.incarnation, window=birth.window) as receiver,
    ):
        node = ToyNode(session, receiver, birth)
        async with running(node.serve(), name=birth.node):
            await session.retain(NODE, birth.node, birth)
            yield node


@pytest.fixture(scope="session")
def receiving() -> Callable[..., AbstractAsyncContextManager[Receiver]]:
    return open_receiving


@pytest.fixture(scope="session")
def sending() -> Callable[..., AbstractAsyncContextManager[Sender]]:
    return open_sending


@pytest.fixture(scope="session")
def toy_node() -> Callable[..., AbstractAsyncContextManager[ToyNode]]:
    return open_toy_node


@pytest.fixture
def mobile() -> Birth:
    return make_birth("phone", tier=Tier.MOBILE)


async def connect_by_hand(port: int, user: str = "", password: str = "") -> int:
    """Connect with MQTT 5 by hand and return the broker's reason code."""
    flags, body = 0x02, b"\x00\x00"
    if user:
        flags |= 0xC0
        for text in (user.encode(), password.encode()):
            body += len(text).to_bytes(2) + text
    packet = b"\x00\x04MQTT\x05" + bytes([flags]) + b"\x00\x05\x00" + body
    async with asyncio.timeout(5):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(bytes([0x10, len(packet) & 0x7F | 0x80, len(packet) >> 7]) + packet)
            return (await reader.readexactly(4))[3]
        finally:
            writer.close()


@pytest.fixture(scope="session")
def connack() -> Callable[..., Awaitable[int]]:
    return connect_by_hand


@pytest.fixture
def unused_port() -> int:
    """A port of this machine on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def start_mosquitto(tmp_path: Path, unused_port: int) -> AsyncGenerator[Callable[..., Awaitable[str]]]:
    """Start one Mosquitto that is configured as somebody else might: `await start_mosquitto("line", ...)`."""
    processes = []

    async def start(*lines: str) -> str:
        config = tmp_path / "mosquitto.conf"
        config.write_text(
            "\n".join([f"listener {unused_port} 127.0.0.1", "allow_anonymous true", *lines, ""])
        )
        processes.append(
            await asyncio.create_subprocess_exec(
                str(find_mosquitto()), "-c", str(config), stderr=asyncio.subprocess.DEVNULL
            )
        )
        async with asyncio.timeout(10):
            while not await answers("127.0.0.1", unused_port):
                assert processes[0].returncode is None
        return f"mqtt://127.0.0.1:{unused_port}"

    yield start
    for process in processes:
        process.terminate()
        await process.wait()
