"""A bounded, counted stream of one topic's records."""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from typing import Generic, Self, TypeVar

import structlog

from tierline_broker.errors import RecordError
from tierline_broker.records import Record
from tierline_broker.topics import Topic, node_of
from tierline_broker.wire import MAX_MESSAGE_BYTES, unpack

R = TypeVar("R", bound=Record)

BYTE_LIMIT = 64 * 1024 * 1024
"""What may wait in one subscription, unless it says otherwise."""

_log = structlog.get_logger()


class Subscription(Generic[R]):
    """An endless async iterator of records; made by `Session.subscribe`.

    When more than `limit` messages or `byte_limit` bytes would wait, a topic of QoS 0 loses its oldest (each
    message carries absolute numbers, so the newest says it all) and a topic of QoS 1 refuses the newest. Both
    are counted. One task may iterate at a time.

    Attributes:
        arrived: when the record handed out last came off the network, on the loop's clock.
        delivered: records handed to the iterator.
        drops: messages that never reached the iterator, by reason: `too-many` or `too-many-bytes` waited, or
            the message was `too-large` for any record.
        malformed: messages that were no record we accept, by the error's code.
    """

    def __init__(
        self,
        topic: Topic[R],
        *,
        limit: int,
        byte_limit: int = BYTE_LIMIT,
        on_malformed: Callable[[str, RecordError], None] | None = None,
    ) -> None:
        self._topic = topic
        self._limit = limit
        self._byte_limit = byte_limit
        self._on_malformed = on_malformed
        self._waiting: deque[tuple[float, str, bytes]] = deque()
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self.arrived = 0.0
        self.delivered = 0
        self.drops: Counter[str] = Counter()
        self.malformed: dict[str, int] = {}

    @property
    def depth(self) -> int:
        """Messages that wait to be taken."""
        return len(self._waiting)

    @property
    def held(self) -> int:
        """Bytes that wait to be taken, topics included."""
        return self._held

    @property
    def dropped(self) -> int:
        """Messages that never reached the iterator, whatever the reason."""
        return self.drops.total()

    def put(self, topic: str, data: bytes) -> int:
        """Take a message from the network at once; return how many messages that cost."""
        if len(data) > MAX_MESSAGE_BYTES:
            self.drops["too-large"] += 1
            _log.warning("message_too_large", topic=topic, size=len(data))
            return 1
        lost = 0
        while reason := self._overfull(len(topic) + len(data)):
            self.drops[reason] += 1
            lost += 1
            if self._topic.qos > 0 or not self._waiting:
                return lost
            self._pop()
        self._waiting.append((self._loop.time(), topic, data))
        self._held += len(topic) + len(data)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
        return lost

    def _overfull(self, size: int) -> str | None:
        """Why one more message of that size would be too much; None where it would not."""
        if len(self._waiting) >= self._limit:
            return "too-many"
        return "too-many-bytes" if self._held + size > self._byte_limit else None

    def _pop(self) -> tuple[float, str, bytes]:
        arrived, topic, data = self._waiting.popleft()
        self._held -= len(topic) + len(data)
        return arrived, topic, data

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> R:
        while True:
            while self._waiting:
                record = self._next()
                if record is not None:
                    return record
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None

    def _next(self) -> R | None:
        self.arrived, topic, data = self._pop()
        try:
            record = self._unpack(topic, data)
        except RecordError as error:
            self.malformed[error.code] = self.malformed.get(error.code, 0) + 1
            _log.warning("message_malformed", topic=topic, code=error.code, reason=str(error))
            if self._on_malformed is not None:
                self._on_malformed(topic, error)
            return None
        self.delivered += 1
        return record

    def _unpack(self, topic: str, data: bytes) -> R:
        record, owner = unpack(topic, data, self._topic.record), self._topic.owner
        if owner is not None and getattr(record, owner) != node_of(topic):
            raise RecordError("wrong-topic", f"message on {topic} speaks for {getattr(record, owner)}")
        return record
