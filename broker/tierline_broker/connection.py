"""Two connections to the broker, one to publish and one to subscribe, made again whenever they are lost."""

import asyncio
import contextlib
import random
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import structlog

from tierline_broker.address import Address, parse_address
from tierline_broker.backoff import Backoff
from tierline_broker.errors import ConnectError, PublishError, RefusedError
from tierline_broker.lifetime import running
from tierline_broker.mqtt import Link, open_link
from tierline_broker.records import Birth
from tierline_broker.session import Session
from tierline_broker.topics import NODE
from tierline_broker.transport import Handlers, Properties, Will
from tierline_broker.wire import pack

_PACKET_ROOM = 256  # for MQTT's own headers and properties, beside mirrored ones
_LEAVE_SECONDS = 1.0
_RIVAL = "another program uses this name; choose another --name"
_PERHAPS_RIVAL = "the connection keeps being lost; if another program uses this name, choose another --name"

_log = structlog.get_logger()


@asynccontextmanager
async def connect(
    url: str,
    *,
    name: str,
    site: str = "default",
    will: Birth | None = None,
    username: str | None = None,
    password: str | None = None,
    mirror_headers: bool = False,
    patience: float = 3.0,
) -> AsyncGenerator[Session]:
    """Hold a session with the broker at `url`; lost connections are made again for as long as it lasts.

    Args:
        url: `mqtt://[user:password@]host[:port]`.
        name: the node this program is.
        site: the deployment it belongs to.
        will: what the broker shall say for us, retained, when we are gone without a word. On a clean end we
            say it ourselves.
        username: instead of the one in the URL.
        password: instead of the one in the URL.
        mirror_headers: repeat the routing headers as MQTT user properties, for debugging (105 µs a message).
        patience: seconds that the first connection may take, tries included.

    Raises:
        AddressError: the URL cannot be used.
        ConnectError: no broker answers at first; later losses are healed and counted instead.
        RefusedError: the broker does not want us, at first.
    """
    address = parse_address(url, username=username, password=password)
    session = Session(name, site, mirror_headers=mirror_headers)
    last = None if will is None else Will(topic=NODE.of(site, will.node), payload=pack(will))
    pair = Pair(address, f"tierline-{site}-{name}", last, session.handlers())
    session.attach(pair)
    async with running(pair.keep(), name=f"mqtt-{name}"):
        await _first(session, pair, address, patience)
        try:
            yield session
        finally:
            await pair.leave()


async def _first(session: Session, pair: "Pair", address: Address, patience: float) -> None:
    try:
        async with asyncio.timeout(patience):
            await session.connected()
    except TimeoutError:
        raise ConnectError(str(address), pair.trouble or f"no answer within {patience:g} s") from None


class Pair:
    """What is said goes over one connection; what is heard comes over the other, which has the will.

    On one connection alone, a broker with default settings makes a round trip at QoS 1 take 88 ms.
    """

    def __init__(self, address: Address, identifier: str, will: Will | None, handlers: Handlers) -> None:
        self._address = address
        # The same at every start: so the broker ends an earlier life, and says its will, before ours begins.
        self._identifier = identifier
        self._will = will
        self._handlers = handlers
        self._out: Link | None = None
        self._in: Link | None = None
        self._since: float | None = None  # when the connection that stands, or stood last, was made
        self._rival = False  # whether the broker said that it gave our place to another
        self.trouble = ""

    @property
    def maximum_packet_size(self) -> int | None:
        """The largest packet that the broker says it takes; None where it says nothing."""
        return None if self._out is None else self._out.maximum_packet_size

    async def keep(self) -> None:
        """Connect, wait for the loss, connect again: for ever."""
        backoff, stood = Backoff(), False
        while True:
            self._since, self._rival = None, False
            try:
                async with self._links() as links, running(self._handlers.connected(), name="mqtt-announce"):
                    await _first_loss(links)
                    stood, self.trouble = True, "the connection was lost"
            except RefusedError as exc:
                if not stood:
                    raise  # a wrong password does not get better
                self.trouble = exc.reason
            except ConnectError as exc:
                self.trouble = exc.reason
            except PublishError as exc:
                self.trouble = str(exc)
            await asyncio.sleep(random.uniform(0, self._take_failure(backoff)))

    def _take_failure(self, backoff: Backoff) -> float:
        """Say what was lost, if there was a connection, and return the most seconds to wait."""
        if self._since is None:
            return backoff.failed(None)
        ceiling = backoff.failed(asyncio.get_running_loop().time() - self._since, rival=self._rival)
        if self._rival or backoff.suspicious:
            self.trouble = _RIVAL if self._rival else _PERHAPS_RIVAL
        _log.warning("broker_lost", broker=str(self._address), client=self._identifier, reason=self.trouble)
        return ceiling

    @asynccontextmanager
    async def _links(self) -> AsyncGenerator[tuple[Link, Link]]:
        message = self._handlers.message
        async with (
            open_link(self._address, f"{self._identifier}-out", message=message) as out,
            open_link(self._address, f"{self._identifier}-in", message=message, will=self._will) as into,
        ):
            self._out, self._in = out, into
            self._since = asyncio.get_running_loop().time()
            try:
                yield out, into
            finally:
                self._rival = out.taken_over or into.taken_over
                self._lose()
                out.refuse_all()

    def _lose(self) -> None:
        """Take note of a loss, once it is seen: whoever waits for the connection then waits for the next."""
        self._out = self._in = None
        self._handlers.lost()

    async def leave(self) -> None:
        """Say the last will ourselves: a clean disconnect makes the broker forget it."""
        if self._will is None:
            return
        with contextlib.suppress(PublishError, TimeoutError):
            async with asyncio.timeout(_LEAVE_SECONDS):
                await self.publish(self._will.topic, self._will.payload, qos=self._will.qos, retain=True)

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> None:
        """Hand one message to the broker.

        Raises:
            PublishError: not connected, or the connection was lost before the broker had it.
        """
        out = self._out
        if out is None or not out.open:
            self._lose()
            raise PublishError(f"not connected to {self._address}: {topic} was not published", lost=True)
        limit = out.maximum_packet_size
        if limit is not None and len(payload) + len(topic) + _room(properties) > limit:
            # Mosquitto would say 0x95, which paho cannot read: it would drop the connection.
            await asyncio.sleep(0)  # a caller that tries again and again shall not stop the loop
            raise PublishError(f"{topic}: {len(payload)} bytes are more than the broker takes ({limit})")
        await out.put(topic, payload, qos=qos, retain=retain, properties=properties)

    async def subscribe(self, topic_filter: str, *, qos: int) -> None:
        """Ask the broker for a filter's messages; raises as `publish` does."""
        if self._in is None:
            raise PublishError(
                f"not connected to {self._address}: {topic_filter} was not subscribed", lost=True
            )
        await self._in.listen(topic_filter, qos=qos)

    def unsubscribe(self, topic_filter: str) -> None:
        """Take a filter back; without a connection there is nothing to take back."""
        if self._in is not None and self._in.open:
            self._in.ignore(topic_filter)


def _room(properties: Properties | None) -> int:
    """Return the bytes to leave for what goes before the payload, beside the topic."""
    user = () if properties is None else properties.user
    return _PACKET_ROOM + sum(len(name.encode()) + len(value.encode()) + 5 for name, value in user)


async def _first_loss(links: tuple[Link, ...]) -> None:
    """Wait until one of the connections is lost."""
    async with asyncio.TaskGroup() as tasks:
        watchers = [tasks.create_task(link.broken(), name="mqtt-watch") for link in links]
        await asyncio.wait(watchers, return_when=asyncio.FIRST_COMPLETED)
        for watcher in watchers:
            watcher.cancel()
