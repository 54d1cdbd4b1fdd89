"""A program's typed view of the broker: publish, retain, subscribe, and how the connection stands."""

import asyncio
import math
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import structlog

from tierline_broker.errors import PublishError, RecordError
from tierline_broker.records import Record, Result, Work
from tierline_broker.subscription import Subscription
from tierline_broker.topics import Topic
from tierline_broker.transport import Handlers, Properties, Transport
from tierline_broker.wire import pack

R = TypeVar("R", bound=Record)

CONTENT_TYPE = "application/vnd.tierline+msgpack;v=1"

_DESCRIBED = frozenset({Work, Result})  # records that carry MQTT properties; the others come once a second

_log = structlog.get_logger()


class Session:
    """Typed messages over one transport; made by `connect`.

    Attributes:
        name: the node this program is, its own level of the topics.
        site: the deployment it belongs to.
        counters: what happened so far: `published`, `publish_failed`, `subscribe_deferred`,
            `received`, `cleared`, `unexpected`, `dropped_<kind>`, `connects`, `losses`.
    """

    def __init__(self, name: str, site: str, *, mirror_headers: bool = False) -> None:
        self.name = name
        self.site = site
        self.counters: Counter[str] = Counter()
        self._mirror_headers = mirror_headers
        self._transport: Transport | None = None
        self._subscriptions: dict[str, list[Subscription[Any]]] = {}
        self._filters: dict[str, int] = {}  # filter -> QoS, in order of subscription
        self._retained: dict[str, tuple[bytes, int]] = {}
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._down.set()
        self._generation = 0

    # -- connection ------------------------------------------------------------------------------------------

    @property
    def up(self) -> bool:
        """Whether the connection stands now."""
        return self._up.is_set()

    @property
    def generation(self) -> int:
        """How many times a connection has been made; it changes exactly when one is replaced."""
        return self._generation

    async def connected(self) -> int:
        """Wait until the connection stands; return its generation."""
        await self._up.wait()
        return self._generation

    async def lost(self) -> None:
        """Wait until the connection does not stand."""
        await self._down.wait()

    @property
    def maximum_packet_size(self) -> int | None:
        """The largest packet that the broker says it takes; None where it says nothing."""
        return self._bus.maximum_packet_size

    def attach(self, transport: Transport) -> None:
        """Carry this session's messages over `transport`, whose handlers are `handlers()`."""
        self._transport = transport

    def handlers(self) -> Handlers:
        """What the transport shall call."""
        return Handlers(message=self._on_message, connected=self._on_connected, lost=self._on_lost)

    @property
    def _bus(self) -> Transport:
        if self._transport is None:
            raise RuntimeError("a session is made by connect(), which attaches its transport")
        return self._transport

    # -- publishing ------------------------------------------------------------------------------------------

    async def publish(self, topic: Topic[R], node: str, record: R, *, expiry: float | None = None) -> None:
        """Publish a record on a node's topic.

        Args:
            topic: an entry of the topic table; its record type is checked by mypy.
            node: whose topic.
            record: what to say.
            expiry: seconds after which the broker may throw it away; a deadline, usually.

        Raises:
            PublishError: the connection is down, or was lost before the broker had the message.
        """
        await self.publish_packed(topic, node, pack(record), expiry=expiry, user=self.mirrored(record))

    def mirrored(self, record: Record) -> tuple[tuple[str, str], ...]:
        """Return the headers that `publish_packed` shall repeat as MQTT user properties: mostly none."""
        return _headers(record) if self._mirror_headers else ()

    async def publish_packed(
        self,
        topic: Topic[Any],
        node: str,
        data: bytes,
        *,
        expiry: float | None = None,
        user: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """Publish a record that is packed already; raises as `publish` does.

        Args:
            topic: as for `publish`.
            node: as for `publish`.
            data: the record.
            expiry: as for `publish`.
            user: what `mirrored` says of the record.
        """
        properties = None
        if topic.record in _DESCRIBED:
            properties = Properties(
                expiry=None if expiry is None else max(1, math.ceil(expiry)),
                content_type=CONTENT_TYPE,
                user=user,
            )
        try:
            await self._bus.publish(topic.of(self.site, node), data, qos=topic.qos, properties=properties)
        except PublishError:
            self.counters["publish_failed"] += 1
            raise
        self.counters["published"] += 1

    async def retain(self, topic: Topic[R], node: str, record: R, *, again: bool = True) -> None:
        """Publish state that the broker keeps, now if connected and again on every later connect.

        Args:
            topic: as for `publish`.
            node: as for `publish`.
            record: what to say.
            again: False for state that somebody else may own by then: it is only published now.
        """
        name, data = topic.of(self.site, node), pack(record)
        self._retained[name] = (data, topic.qos)
        await self._publish_retained(name)
        if not again:
            self._retained.pop(name, None)

    async def clear(self, topic: Topic[Any], node: str) -> None:
        """Remove state that the broker keeps, and no longer re-publish it."""
        name = topic.of(self.site, node)
        self._retained[name] = (b"", topic.qos)
        await self._publish_retained(name)
        if self.up:
            del self._retained[name]

    async def _publish_retained(self, name: str) -> None:
        data, qos = self._retained[name]
        try:
            await self._bus.publish(name, data, qos=qos, retain=True)
        except PublishError:
            # The next connect publishes it.
            self.counters["publish_failed"] += 1

    # -- subscribing -----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def subscribe(
        self,
        topic: Topic[R],
        node: str = "+",
        *,
        limit: int = 1000,
        on_malformed: Callable[[str, RecordError], None] | None = None,
    ) -> AsyncGenerator[Subscription[R]]:
        """Receive the records of one node's topic, or of all nodes' with `+`.

        Do not subscribe to `+` and to a node of the same topic in one session: brokers differ in whether such
        a message arrives once or twice.

        Args:
            topic: an entry of the topic table.
            node: whose topic, or `+`.
            limit: how many messages may wait before some are dropped, and counted.
            on_malformed: called with the topic and the error for every message that is no record.
        """
        name = topic.of(self.site, node)
        subscription: Subscription[R] = Subscription(topic, limit=limit, on_malformed=on_malformed)
        self._subscriptions.setdefault(name, []).append(subscription)
        self._filters[name] = topic.qos
        try:
            await self._subscribe(name)
            yield subscription
        finally:
            self._subscriptions[name].remove(subscription)
            if not self._subscriptions[name]:
                del self._subscriptions[name], self._filters[name]
                self._bus.unsubscribe(name)

    async def _subscribe(self, name: str) -> None:
        try:
            await self._bus.subscribe(name, qos=self._filters[name])
        except PublishError as exc:
            # The next connect subscribes.
            self.counters["subscribe_deferred"] += 1
            _log.debug("subscribe_deferred", topic=name, reason=str(exc))

    # -- called by the transport -----------------------------------------------------------------------------

    def _on_message(self, topic: str, data: bytes) -> None:
        self.counters["received"] += 1
        subscriptions = self._subscriptions.get(topic)
        if subscriptions is None:
            subscriptions = self._subscriptions.get(topic.rpartition("/")[0] + "/+")
        if subscriptions is None or not data:
            # An empty payload is how MQTT clears retained state; a filter just left may still deliver.
            self.counters["unexpected" if data else "cleared"] += 1
            return
        for subscription in subscriptions:
            lost = subscription.put(topic, data)
            if lost:
                self.counters["dropped_" + topic.split("/")[3]] += lost

    async def _on_connected(self) -> None:
        for name in list(self._filters):
            if name in self._filters:
                await self._bus.subscribe(name, qos=self._filters[name])
        for name in list(self._retained):
            data, qos = self._retained[name]
            await self._bus.publish(name, data, qos=qos, retain=True)
            if not data:
                self._retained.pop(name, None)
        self._generation += 1
        self.counters["connects"] += 1
        self._down.clear()
        self._up.set()

    def _on_lost(self) -> None:
        if self._up.is_set():
            self.counters["losses"] += 1
        self._up.clear()
        self._down.set()


def _headers(record: Record) -> tuple[tuple[str, str], ...]:
    """The routing headers as text, for people who look with a foreign MQTT tool."""
    names = ("id", "origin", "sender", "node", "tier", "layer", "codec", "plan", "attempt")
    values = ((name, getattr(record, name, None)) for name in names)
    return tuple((name, v.hex() if isinstance(v, bytes) else str(v)) for name, v in values if v is not None)
