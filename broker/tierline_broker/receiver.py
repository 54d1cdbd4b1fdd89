"""Receives work: grants credit as it is taken, puts parts together, drops duplicates."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from tierline_broker.errors import PublishError, RecordError
from tierline_broker.flow import Incoming, took
from tierline_broker.lifetime import running
from tierline_broker.parts import Assembly, Key, Seen, key_of
from tierline_broker.records import PROBE, Credit, Work
from tierline_broker.session import Session
from tierline_broker.subscription import Subscription
from tierline_broker.topics import CREDIT, WORK
from tierline_broker.wire import MAX_WHOLE_BYTES

_GRANT_SECONDS = 0.02  # grants wait so long for more to grant, unless half a window is owed
_SENDERS = 10_000  # remembered; the one first heard of is forgotten first
_QUEUE = 10_000  # a backstop, as is the subscription's in bytes: honest senders' windows stay far below
_ARRIVALS = 64  # the most that a Credit takes


@dataclass(slots=True)
class _From:
    """What one sender is owed."""

    window: Incoming
    owed: int = 0  # messages taken since the last grant
    arrivals: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_ARRIVALS))


class Receiver:
    """An endless async iterator of whole works; made by `open_receiver`.

    Taking a work is what grants its sender the next one, so take no more than you can hold.

    Attributes:
        arrived: when the work taken last came off the network, on the loop's clock.
        counters: `taken`, `taken_bytes`, `duplicates`, `probes`, `grants`, `grants_lost`, `dropped` and
            `dropped_<reason>`, and those of parts.
    """

    def __init__(
        self, session: Session, incarnation: int, incoming: Subscription[Work], window: int, byte_limit: int
    ) -> None:
        self._session = session
        self._incarnation = incarnation
        self._incoming = incoming
        self._window = window
        self._assembly = Assembly(byte_limit)
        self._seen: Seen[Key] = Seen()
        self._senders: OrderedDict[str, _From] = OrderedDict()
        self._owing: set[str] = set()
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._counters: Counter[str] = Counter()
        self.arrived = 0.0

    @property
    def depth(self) -> int:
        """Messages that wait to be taken."""
        return self._incoming.depth

    @property
    def counters(self) -> dict[str, int]:
        """What happened so far."""
        drops = {f"dropped_{reason}": count for reason, count in self._incoming.drops.items()}
        return {**self._counters, **self._assembly.counters, "dropped": self._incoming.dropped, **drops}

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Work:
        while True:
            work = await anext(self._incoming)
            self._grant(work)
            whole = self._accept(work)
            if whole is not None:
                return whole

    def _accept(self, work: Work) -> Work | None:
        """Return a whole work that was not seen before."""
        if work.codec == PROBE:
            self._counters["probes"] += 1
            return None
        key = key_of(work)
        if key in self._seen:
            self._counters["duplicates"] += 1
            return None
        now = asyncio.get_running_loop().time()
        self._assembly.expire(now)
        whole = self._assembly.add(work, now)
        if whole is None:
            return None
        self._seen.add(key)
        self.arrived = self._incoming.arrived
        self._counters["taken"] += 1
        self._counters["taken_bytes"] += len(whole.payload)
        return whole

    def _grant(self, work: Work) -> None:
        """Note what the sender is owed for a message; `grant` says it."""
        sender = self._senders.get(work.sender)
        if sender is not None and work.sender_incarnation < sender.window.sender_incarnation:
            return  # from the sender's earlier life; nobody waits for this grant
        window = took(sender.window if sender else None, work.sender_incarnation, work.sequence, self._window)
        if sender is None or work.sender_incarnation > sender.window.sender_incarnation:
            sender = self._senders[work.sender] = _From(window)
            self._forget()
        sender.window = window
        sender.owed += 1
        sender.arrivals.append((work.sequence, self._incoming.arrived))
        self._owing.add(work.sender)
        if sender.owed * 2 >= self._window:
            self._due.set()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_GRANT_SECONDS, self._due.set)

    def _forget(self) -> None:
        if len(self._senders) > _SENDERS:
            forgotten, _ = self._senders.popitem(last=False)
            self._owing.discard(forgotten)

    async def grant(self) -> None:
        """Publish what is owed, several messages in one credit, for ever."""
        while True:
            await self._due.wait()
            self._due.clear()
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            owing, self._owing = self._owing, set()
            for name in owing:
                await self._publish(name, self._senders[name])

    async def grant_again(self) -> None:
        """Repeat every grant after each reconnect, for ever: the last ones may be lost."""
        while True:
            await self._session.lost()
            await self._session.connected()
            self._owing.update(self._senders)
            self._due.set()

    async def _publish(self, name: str, sender: _From) -> None:
        now = asyncio.get_running_loop().time()
        credit = Credit(
            receiver=self._session.name,
            receiver_incarnation=self._incarnation,
            sender=name,
            sender_incarnation=sender.window.sender_incarnation,
            granted=sender.window.granted,
            received=sender.window.taken,
            arrivals=tuple((sequence, min(max(0.0, now - at), 86_400.0)) for sequence, at in sender.arrivals),
        )
        sender.owed = 0
        sender.arrivals.clear()
        try:
            await self._session.publish(CREDIT, name, credit)
            self._counters["grants"] += 1
        except PublishError:
            self._counters["grants_lost"] += 1  # said again after the reconnect


@asynccontextmanager
async def open_receiver(
    session: Session,
    incarnation: int,
    *,
    window: int = 16,
    byte_limit: int = MAX_WHOLE_BYTES,
    on_malformed: Callable[[str, RecordError], None] | None = None,
) -> AsyncGenerator[Receiver]:
    """Receive the work for `session.name` for as long as the context lasts.

    Args:
        session: one receiver a session.
        incarnation: this program's life, as in its Birth.
        window: messages that each sender may have on the way; say the same in the Birth.
        byte_limit: of all parts that wait for the rest of their whole, and so of one whole.
        on_malformed: called with topic and error for a message that is no work; answer `error.origin` if set.
    """
    async with session.subscribe(WORK, session.name, limit=_QUEUE, on_malformed=on_malformed) as incoming:
        receiver = Receiver(session, incarnation, incoming, window, byte_limit)
        async with running(receiver.grant(), receiver.grant_again(), name="grants"):
            yield receiver
