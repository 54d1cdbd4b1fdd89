"""The ways in which a hop is measured: through Tierline, over aiomqtt alone on two connections, or on one."""

import os
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import aiomqtt
import numpy as np
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from tierline_broker import (
    NODE,
    Answer,
    Birth,
    Pool,
    Route,
    Stage,
    Step,
    Tier,
    Work,
    connect,
    follow,
    open_receiver,
    open_sender,
    parse_address,
)
from tierline_codecs import encode

DEADLINE = 10.0
CONTENT_TYPE = "application/vnd.tierline+msgpack;v=1"

Trip = Callable[[], Awaitable[object]]
"""Sends the activation and returns when it is back."""


def activation() -> bytes:
    """Return the frame of 64 tokens of 384 floats, eight bits each: 24,872 bytes."""
    return bytes(encode(np.random.default_rng(1).normal(size=(1, 64, 384)).astype("f4"), "int8-lz4"))


def work(payload: bytes) -> Work:
    """Return work as a mobile node sends it on: a route ahead, a step behind, an early answer in hand."""
    return Work(
        id=os.urandom(16),
        origin="bench-mobile",
        sender="bench-mobile",
        sender_incarnation=1,
        sequence=0,
        model="0123456789abcdef" * 4,
        layer=2,
        codec="int8-lz4",
        plan=1,
        deadline=DEADLINE,
        route=Route(
            stages=(Stage(tier=Tier.EDGE, node="bench-edge", layer=4, codec="int8-lz4"),),
            easy=0.9,
            medium=0.7,
            tiers={Pool.EASY: Tier.MOBILE, Pool.MEDIUM: Tier.EDGE, Pool.HARD: Tier.EDGE},
        ),
        steps=(Step(node="bench-mobile", tier=Tier.MOBILE, first=0, last=2, compute=0.01),),
        best=Answer(output=(0.25, -0.25), label="positive", confidence=0.6, layer=2),
        payload=payload,
    )


def say_ready() -> None:
    """Tell the process that started us that messages may come."""
    print("ready", flush=True)


# -- through Tierline --------------------------------------------------------------------------------------


@asynccontextmanager
async def node(url: str, name: str, tier: Tier) -> AsyncGenerator[tuple[Any, Any, Any]]:
    """Hold what a node has of the broker: sender, receiver, presence."""
    birth = Birth(node=name, tier=tier, state="ready", incarnation=1)
    async with (
        connect(url, name=name, site="bench", will=birth.model_copy(update={"state": "lost"})) as session,
        follow(session) as presence,
        open_receiver(session, 1) as receiver,
        open_sender(session, 1, presence) as sender,
    ):
        await session.retain(NODE, name, birth)
        yield sender, receiver, presence


async def echo_tierline(url: str) -> None:
    """Send back what arrives, as an edge node would send it on."""
    async with node(url, "bench-edge", Tier.EDGE) as (sender, receiver, _):
        say_ready()
        async for one in receiver:
            await sender.send(one, one.origin, deadline=one.deadline)


@asynccontextmanager
async def trips_tierline(url: str) -> AsyncGenerator[tuple[Trip, int]]:
    """Yield a trip through Tierline, and how many bytes its messages have."""
    payload = activation()
    async with node(url, "bench-mobile", Tier.MOBILE) as (sender, receiver, presence):
        await presence.wait_for("bench-edge")

        async def trip() -> int:
            sent = await sender.send(work(payload), "bench-edge", deadline=DEADLINE)
            back = await anext(receiver)
            assert back.payload == payload
            return int(sent.sent_bytes)

        yield trip, await trip()


# -- over aiomqtt alone ------------------------------------------------------------------------------------


@asynccontextmanager
async def bare(url: str, topic: str, *, two: bool) -> AsyncGenerator[tuple[aiomqtt.Client, aiomqtt.Client]]:
    """Hold the connection that publishes and the one that hears: two without delay, or one by default."""
    address = parse_address(url)
    nodelay = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)] if two else None

    def client() -> aiomqtt.Client:
        return aiomqtt.Client(
            address.host, address.port, protocol=aiomqtt.ProtocolVersion.V5, socket_options=nodelay
        )

    async with AsyncExitStack() as stack:
        hears = await stack.enter_async_context(client())
        says = await stack.enter_async_context(client()) if two else hears
        await hears.subscribe(topic, qos=1)
        yield says, hears


def properties() -> Properties:
    """Return the properties that Tierline's work carries, built for each message as Tierline does."""
    built = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    built.MessageExpiryInterval = int(DEADLINE)
    built.ContentType = CONTENT_TYPE
    return built


async def echo_bare(url: str, *, two: bool) -> None:
    """Send back what arrives."""
    async with bare(url, f"bench/there/{two}", two=two) as (says, hears):
        say_ready()
        async for message in hears.messages:
            await says.publish(f"bench/back/{two}", message.payload, qos=1, properties=properties())


@asynccontextmanager
async def trips_bare(url: str, size: int, *, two: bool) -> AsyncGenerator[Trip]:
    """Yield a trip of `size` bytes over aiomqtt alone."""
    payload = os.urandom(size)
    async with bare(url, f"bench/back/{two}", two=two) as (says, hears):

        async def trip() -> None:
            await says.publish(f"bench/there/{two}", payload, qos=1, properties=properties())
            message = await anext(hears.messages)
            assert message.payload == payload

        await trip()
        yield trip


ECHOES: dict[str, Callable[[str], Coroutine[Any, Any, None]]] = {
    "tierline": echo_tierline,
    "bare": lambda url: echo_bare(url, two=True),
    "default": lambda url: echo_bare(url, two=False),
}
