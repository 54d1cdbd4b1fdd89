"""One MQTT 5 connection over aiomqtt; only this module imports aiomqtt or paho, and changes with them."""

import asyncio
import contextlib
import functools
import logging
import socket
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiomqtt
from paho.mqtt.client import Client as PahoClient
from paho.mqtt.client import MQTTMessage, error_string
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties as PahoProperties
from paho.mqtt.reasoncodes import ReasonCode

from tierline_broker.address import Address
from tierline_broker.errors import ConnectError, PublishError, RefusedError
from tierline_broker.transport import Properties, Will

KEEP_ALIVE = 5
_CALL_SECONDS = 3.0  # publish, subscribe: the broker answers within this or the call fails
_CONNECT_SECONDS = 1.5
_LEAVE_SECONDS = 1.0
_NODELAY = [(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)]
_SILENT = logging.Logger("paho", logging.CRITICAL + 1)  # what matters of it we report ourselves
_TAKEN_OVER = 0x8E  # another connection came with our client identifier; many a broker does not say so
_QUICK_ACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux


@asynccontextmanager
async def open_link(
    address: Address, identifier: str, *, message: Callable[[str, bytes], None], will: Will | None = None
) -> AsyncGenerator["Link"]:
    """Hold one connection to the broker.

    Args:
        address: where, and as whom.
        identifier: the MQTT client identifier.
        message: called with topic and payload of each message, inside the read callback: return at once.
        will: what the broker shall say when the connection is lost.

    Raises:
        ConnectError: it cannot be made.
        RefusedError: the broker does not want us.
    """
    link = Link(address, identifier, message, will)
    try:
        await link.__aenter__()
    except aiomqtt.MqttCodeError as exc:
        link.abandon()
        raise RefusedError(str(address), str(exc.rc)) from exc
    except aiomqtt.MqttError as exc:
        link.abandon()
        raise ConnectError(str(address), str(exc)) from exc
    except BaseException:
        link.abandon()
        raise
    try:
        yield link
    finally:
        try:
            with contextlib.suppress(aiomqtt.MqttError, TimeoutError):
                async with asyncio.timeout(_LEAVE_SECONDS):
                    await link.__aexit__(None, None, None)
        finally:
            link.abandon()


class Link(aiomqtt.Client):
    """One connection; the only place that reaches behind aiomqtt's public face, for these things.

    It hands each message on inside the read callback (aiomqtt's iterator makes a task a message and its queue
    is not bounded); it writes at once (aiomqtt asks the loop twice for every packet, and may ask for a socket
    that is closed); it keeps the broker's limit and its reasons; it can be cancelled at any moment.
    """

    def __init__(
        self, address: Address, identifier: str, message: Callable[[str, bytes], None], will: Will | None
    ) -> None:
        super().__init__(
            address.host,
            address.port,
            username=address.username,
            password=address.password,
            identifier=identifier,
            protocol=aiomqtt.ProtocolVersion.V5,
            will=None if will is None else aiomqtt.Will(will.topic, will.payload, will.qos, will.retain),
            keepalive=KEEP_ALIVE,
            timeout=_CALL_SECONDS,
            socket_options=_NODELAY,
            logger=_SILENT,
        )
        self.maximum_packet_size: int | None = None
        self.taken_over = False
        self._message = message
        self._answers: dict[int, asyncio.Future[None]] = {}
        self._thread = threading.get_ident()
        self._abandoned = False
        self._client.connect_timeout = _CONNECT_SECONDS

    @property
    def open(self) -> bool:
        """Whether there is a socket; False as soon as a write or a read has found the connection lost."""
        return self._client.socket() is not None

    async def broken(self) -> None:
        """Wait until the connection is lost; return then."""
        with contextlib.suppress(aiomqtt.MqttError):
            await anext(self.messages)  # none ever comes this way

    async def put(
        self, topic: str, payload: bytes, *, qos: int, retain: bool, properties: Properties | None
    ) -> None:
        """Publish, and return when the broker has it.

        aiomqtt's own `publish` takes 50 µs more, throws the broker's reason away, and sits out its whole
        time when the connection is lost.

        Raises:
            PublishError: the broker refused it, did not answer, or is lost.
        """
        packed = None if properties is None else _packed(properties)
        info = self._client.publish(topic, payload, qos, retain, packed)
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise PublishError(f"{topic} was not published: {error_string(info.rc)}")
        if qos == 0:
            return
        answer = self._answers[info.mid] = self._loop.create_future()
        timer = self._loop.call_later(_CALL_SECONDS, _refuse, answer, f"{topic}: the broker did not answer")
        try:
            await answer
        finally:
            timer.cancel()
            del self._answers[info.mid]

    async def listen(self, topic_filter: str, *, qos: int) -> None:
        """Subscribe to a filter.

        Raises:
            PublishError: the broker refused it, did not answer, or is lost.
        """
        try:
            codes = await self.subscribe(topic_filter, qos)
        except aiomqtt.MqttError as exc:
            raise PublishError(f"subscribing to {topic_filter} failed: {exc}") from exc
        if any(isinstance(code, ReasonCode) and code.is_failure for code in codes):
            raise PublishError(f"the broker refused a subscription to {topic_filter}: {codes[0]}")

    def ignore(self, topic_filter: str) -> None:
        """Take a subscription back, and do not wait for the answer: nothing depends on it."""
        self._client.unsubscribe(topic_filter)

    def refuse_all(self) -> None:
        """Fail what the broker has not answered, now that it cannot."""
        for answer in self._answers.values():
            _refuse(answer, "the connection to the broker was lost before it had the message", lost=True)

    def abandon(self) -> None:
        """Close whatever is open, also what a connect in the executor opens only now."""
        self._abandoned = True
        self._client.disconnect()
        if self._disconnected.done() and not self._disconnected.cancelled():
            self._disconnected.exception()  # seen, so that asyncio does not report it

    async def _wait_for(self, fut: Awaitable[Any], timeout: float | None) -> Any:
        """Wait as aiomqtt does, but never swallow a cancellation, as `wait_for` of Python 3.11 may."""
        try:
            async with asyncio.timeout(self.timeout if timeout is None else timeout):
                return await fut
        except TimeoutError:
            raise aiomqtt.MqttError("the broker did not answer") from None

    # -- called by paho -------------------------------------------------------------------------------------

    def _on_socket_open(self, client: PahoClient, userdata: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._attach, client, sock)  # a connect runs in the executor

    def _attach(self, client: PahoClient, sock: Any) -> None:
        if self._abandoned or sock.fileno() < 0:
            sock.close()
            return
        self._loop.add_reader(sock.fileno(), self._read, client)
        self._misc_task = self._loop.create_task(self._misc_loop(), name="mqtt-keep-alive")

    def _read(self, client: PahoClient) -> None:
        try:
            client.loop_read()
        except Exception as exc:  # noqa: BLE001 (whatever a broker's bytes do to paho ends this connection)
            if not self._disconnected.done():
                self._disconnected.set_exception(exc)

    def _on_socket_register_write(self, client: PahoClient, userdata: Any, sock: Any) -> None:
        if threading.get_ident() == self._thread:
            self._write(client, sock)
        elif not self._abandoned:  # a connect, in the executor
            self._loop.call_soon_threadsafe(self._write, client, sock)

    def _on_socket_unregister_write(self, client: PahoClient, userdata: Any, sock: Any) -> None:
        if sock.fileno() >= 0:
            self._loop.remove_writer(sock.fileno())

    def _on_disconnect(
        self, client: PahoClient, userdata: Any, flags: Any, reason: ReasonCode, *more: Any
    ) -> None:
        self.taken_over = self.taken_over or reason.value == _TAKEN_OVER  # paho may call twice
        if not self._connected.cancelled():  # else nobody waits any more
            super()._on_disconnect(client, userdata, flags, reason, *more)

    def _write(self, client: PahoClient, sock: Any) -> None:
        """Write now what there is to write, and leave to the loop only what the socket does not take."""
        if sock.fileno() < 0:
            return  # closed meanwhile; its number may belong to another socket by now
        client.loop_write()
        if client.want_write() and sock.fileno() >= 0:
            self._loop.add_writer(sock.fileno(), client.loop_write)

    def _on_connect(self, *args: Any) -> None:
        self.maximum_packet_size = getattr(args[-1], "MaximumPacketSize", None)
        super()._on_connect(*args)

    def _on_message(self, client: PahoClient, userdata: Any, message: MQTTMessage) -> None:
        self._acknowledge()
        self._message(message.topic, bytes(message.payload))

    def _on_publish(self, client: PahoClient, userdata: Any, mid: int, reason: ReasonCode, *_: Any) -> None:
        self._acknowledge()
        answer = self._answers.get(mid)
        if answer is None or answer.done():
            return
        if reason.is_failure:
            _refuse(answer, f"the broker refused the message: {reason}")
        else:
            answer.set_result(None)

    def _on_subscribe(self, *args: Any) -> None:
        self._acknowledge()
        super()._on_subscribe(*args)

    def _on_unsubscribe(self, *_: Any) -> None:
        self._acknowledge()

    def _acknowledge(self) -> None:
        """Have the kernel acknowledge at once what has arrived.

        A broker that leaves Nagle's algorithm on holds its next small packet back until the last one is
        acknowledged, and the kernel takes 40 ms over that unless told, every time, not to.
        """
        connection = self._client.socket()
        if _QUICK_ACK is not None and isinstance(connection, socket.socket):
            connection.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)


def _refuse(answer: asyncio.Future[None], reason: str, *, lost: bool = False) -> None:
    if not answer.done():
        answer.set_exception(PublishError(reason, lost=lost))


class _Packed(PahoProperties):
    """Properties packed once: the same few recur, and packing costs as much as the rest of a publish."""

    def __init__(self, packed: bytes) -> None:
        super().__init__(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        object.__setattr__(self, "_packed", packed)

    def pack(self) -> Any:
        """Return the bytes, as paho asks for them."""
        return self.__dict__["_packed"]


@functools.lru_cache(maxsize=256)
def _packed(properties: Properties) -> _Packed:
    paho: Any = PahoProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    if properties.expiry is not None:
        paho.MessageExpiryInterval = properties.expiry
    if properties.content_type is not None:
        paho.ContentType = properties.content_type
    if properties.user:
        paho.UserProperty = list(properties.user)
    return _Packed(bytes(paho.pack()))
