"""Sends work to peers within the credit that they grant, and measures the links by the receipts."""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from tierline_broker.errors import CreditError, PublishError
from tierline_broker.lifetime import running
from tierline_broker.outward import Outward
from tierline_broker.parts import part_size, split
from tierline_broker.peers import Peer
from tierline_broker.presence import Presence, is_ready
from tierline_broker.receipts import Receipts
from tierline_broker.records import PROBE, Birth, Credit, LinkReport, Work
from tierline_broker.session import Session
from tierline_broker.stalls import Stalls
from tierline_broker.subscription import Subscription
from tierline_broker.topics import CREDIT, WORK
from tierline_broker.wire import pack

_log = structlog.get_logger()

Link = Callable[[str, int], Awaitable[None]]
"""Awaited with peer and bytes before a publish, inside the timed interval: an emulated link."""

_BULK_BYTES = 64 * 1024
_BULK_IN_FLIGHT = 4  # at 256 kB each, a control message behind them waits about a millisecond
_PROBE_SECONDS = 0.05  # of the link's time that a sizeable probe takes, within these bytes
_PROBE_BYTES = (8 * 1024, 64 * 1024)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What became of one send: where its seconds went, and how many bytes left."""

    sequence: int  # of the last part
    parts: int
    sent_bytes: int
    credit_seconds: float
    link_seconds: float  # in the emulated link, if any


class Sender:
    """Sends work under flow control; made by `open_sender`.

    Attributes:
        counters: `sent`, `sent_bytes`, `parts`, `probes`, `probe_bytes`, `nudges`, `republished`, `unsent`.
        stalls: tells of links that let nothing through any more.
    """

    def __init__(self, session: Session, incarnation: int, presence: Presence, link: Link | None) -> None:
        self._session = session
        self._incarnation = incarnation
        self._presence = presence
        self._link = link
        self._peers: dict[str, Peer] = {}
        self._receipts = Receipts()
        self._to_ask: set[str] = set()
        self._asking = asyncio.Event()
        self._bulk = asyncio.Semaphore(_BULK_IN_FLIGHT)
        self._loop = asyncio.get_running_loop()
        self.counters: Counter[str] = Counter()
        self.stalls = Stalls(self._receipts)

    async def send(self, work: Work, peer: str, *, deadline: float) -> Sent:
        """Send work to a peer: wait for credit, split what is too large, again after a lost connection.

        Sets `sender`, `sender_incarnation`, `sequence` and `part`; takes the time waited from `deadline`.

        Args:
            work: what to send.
            peer: to which node.
            deadline: seconds from now after which to give up.

        Raises:
            CreditError: the peer is gone, or granted nothing in time.
            PublishError: the broker was out of reach until the deadline.
        """
        started = self._loop.time()
        sequence = parts = size = 0
        credit_seconds = link_seconds = 0.0
        try:
            for part in split(work, part_size(self._session.maximum_packet_size)):
                asked = self._loop.time()
                sequence = await self._peer(peer).number(started + deadline, self._ask)
                credit_seconds += self._loop.time() - asked
                out = Outward(part, peer, sequence, started, started + deadline)
                data, delay = await self._dispatch(out)
                parts, size, link_seconds = parts + 1, size + len(data), link_seconds + delay
        except (CreditError, PublishError):
            self.counters["unsent"] += 1
            raise
        self.counters.update(sent=1, parts=parts, sent_bytes=size)
        return Sent(sequence=sequence, parts=parts, sent_bytes=size,
                    credit_seconds=credit_seconds, link_seconds=link_seconds)  # fmt: skip

    def credit(self, peer: str) -> int:
        """Return how many messages the peer would take now; 0 for a peer that is not ready."""
        try:
            return self._peer(peer).free
        except CreditError:
            return 0

    def links(self) -> tuple[LinkReport, ...]:
        """Return the estimate of each link to a ready peer; its age counts from the last sizeable message."""
        now = self._loop.time()
        self.stalls.look()
        ready = [peer for peer in self._receipts.peers() if is_ready(self._presence.get(peer))]
        reports = (self._receipts.report(peer, now) for peer in ready)
        return tuple(report for report in reports if report is not None)

    def link(self, peer: str) -> LinkReport | None:
        """Return the estimate of the link to one peer; None where nothing is known of it."""
        return self._receipts.report(peer, self._loop.time())

    def stalled(self, peer: str) -> bool:
        """Return whether the link to a peer has let nothing sizeable through for far longer than usual."""
        return self._receipts.stalled(peer)

    async def probe(self, peer: str, *, deadline: float = 5.0) -> None:
        """Measure the link to a peer with a small and a sizeable message of padding.

        Raises:
            CreditError: as `send`.
            PublishError: as `send`.
        """
        started = self._loop.time()
        known = self._receipts.estimate(peer)
        least, most = _PROBE_BYTES
        wanted = 2 * least if known is None else known.bytes_per_second * _PROBE_SECONDS
        for size in (0, int(min(max(wanted, least), most))):
            sequence = await self._peer(peer).number(started + deadline, self._ask)
            await self._dispatch(Outward(self._padding(size), peer, sequence, started, started + deadline))

    # -- inside ---------------------------------------------------------------------------------------------

    def _peer(self, name: str) -> Peer:
        birth = self._presence.get(name)
        if birth is None or not is_ready(birth):
            state = "not known here" if birth is None else birth.state
            raise CreditError(f"{name} is {state}; send to another node")
        peer = self._peers.get(name)
        if peer is None:
            peer = self._peers[name] = Peer(birth)
        return peer

    async def _dispatch(self, out: Outward) -> tuple[bytes, float]:
        """Send one message that has its number; return its bytes and the seconds in the emulated link."""
        try:
            async with asyncio.timeout_at(out.until):
                if len(out.work.payload) < _BULK_BYTES:
                    return await self._put_out(out)
                async with self._bulk:
                    return await self._put_out(out)
        except TimeoutError:
            raise PublishError(
                f"the work for {out.peer} was not out before its deadline:"
                " the link is too slow, or the broker away"
            ) from None

    async def _put_out(self, out: Outward) -> tuple[bytes, float]:
        began, delay = self._loop.time(), 0.0
        work = out.numbered(self._session.name, self._incarnation, began)
        data = pack(work)
        self._receipts.sent(out.peer, out.sequence, len(data), began)
        self.stalls.went_out()
        if self._link is not None:
            await self._link(out.peer, len(data))
            delay = self._loop.time() - began
            # The deadline has come nearer.
            data = pack(out.numbered(self._session.name, self._incarnation, self._loop.time()))
        try:
            await self._publish(out, data, self._session.mirrored(work))
        except BaseException:
            self._receipts.lost(out.peer, out.sequence)
            raise
        if out.work.codec == PROBE:
            self.counters.update(probes=1, probe_bytes=len(data))
        return data, delay

    async def _publish(self, out: Outward, data: bytes, user: tuple[tuple[str, str], ...]) -> None:
        """Publish, after each lost connection again; the receiver drops what came twice."""
        while True:
            try:
                expiry = out.until - self._loop.time()
                await self._session.publish_packed(WORK, out.peer, data, expiry=expiry, user=user)
                return
            except PublishError as exc:
                if not exc.lost or self._loop.time() >= out.until:
                    raise
                self._receipts.lost(out.peer, out.sequence)
                self.counters["republished"] += 1
            await self._session.connected()

    async def _nudge(self, peer: Peer) -> None:
        """Ask a peer that has been silent: its credit, or all that was sent to it, may have been lost."""
        self.counters["nudges"] += 1
        now = self._loop.time()
        out = Outward(self._padding(0), peer.name, peer.overdraw(), now, until=now)
        try:
            await self._put_out(out)
        except PublishError:
            _log.debug("nudge_unsent", peer=peer.name)

    def _padding(self, size: int) -> Work:
        return Work(
            id=os.urandom(16),
            origin=self._session.name,
            sender=self._session.name,
            sender_incarnation=self._incarnation,
            sequence=0,
            model="",
            layer=0,
            codec=PROBE,
            deadline=60.0,
            payload=bytes(size),
        )

    async def take_credits(self, credits: Subscription[Credit]) -> None:  # noqa: A002
        """Take the grants that come in, for ever."""
        async for credit in credits:
            peer = self._peers.get(credit.receiver)
            ours = credit.sender == self._session.name and credit.sender_incarnation == self._incarnation
            if peer is None or not ours:
                self.counters["credits_for_another"] += 1
                continue
            self._receipts.received(peer.name, credit.arrivals, credits.arrived)
            peer.credited(credit)

    def on_birth(self, birth: Birth, before: Birth | None) -> None:
        """Note that a peer, or we, have a new connection: what was on its way may be lost."""
        if birth.node in self._peers and before is not None and is_ready(birth):
            self._ask(birth.node)

    def _ask(self, peer: str) -> None:
        self._to_ask.add(peer)
        self._asking.set()

    async def ask_again(self) -> None:
        """Nudge the peers that came back, or fell silent, while somebody waits for their credit, for ever."""
        while True:
            await self._asking.wait()
            self._asking.clear()
            names, self._to_ask = self._to_ask, set()
            for peer in (self._peers[name] for name in names):
                if peer.waited_for:
                    await self._nudge(peer)

    async def watch_peers(self) -> None:
        """Follow the births of the peers, for ever: a new life has a new window, a lost one none."""
        async for _ in self._presence.changes():
            for name, peer in self._peers.items():
                birth = self._presence.get(name)
                if birth is not None and is_ready(birth):
                    peer.born(birth)
                else:
                    peer.gone("gone" if birth is None else birth.state)
                    self._receipts.gone(name)


@asynccontextmanager
async def open_sender(
    session: Session, incarnation: int, presence: Presence, *, link: Link | None = None
) -> AsyncGenerator[Sender]:
    """Send work as `session.name`; receives that node's credits for as long as the context lasts.

    Args:
        session: one sender a session.
        incarnation: this program's life, as in its Birth; a later life has a larger number.
        presence: who is ready, and the window each grants before its first credit.
        link: an emulated link.
    """
    sender = Sender(session, incarnation, presence, link)
    presence.listeners.append(sender.on_birth)
    async with (
        session.subscribe(CREDIT, session.name, limit=1000) as credits,  # noqa: A001
        running(
            sender.take_credits(credits),
            sender.watch_peers(),
            sender.stalls.watch(),
            sender.ask_again(),
            name="credits",
        ),
    ):
        yield sender
