"""The client's side: raw input in, exactly one result out."""

import asyncio
import os
import secrets
import time
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tierline_broker.connection import connect
from tierline_broker.errors import CreditError, DeadlineError, PublishError, RecordError
from tierline_broker.lifetime import running
from tierline_broker.parts import Seen
from tierline_broker.presence import Presence, follow
from tierline_broker.records import RAW_INPUT, Birth, Failure, Result, Tier, Work
from tierline_broker.sender import Sender, open_sender
from tierline_broker.session import Session
from tierline_broker.subscription import Subscription
from tierline_broker.topics import RESULT
from tierline_broker.wire import MAX_WHOLE_BYTES

_GRACE_SECONDS = 0.5  # after the deadline, for an answer that was given just in time
_MOST_ATTEMPTS = 100
_LONGEST_SECONDS = 86_400.0


@dataclass(slots=True, kw_only=True)
class _Request:
    """One request under way."""

    id: bytes
    data: bytes
    tier: Tier | None
    node: str | None
    due: float  # on the loop's clock
    signal: asyncio.Future[None]  # done when there is a result, or a reason to try again
    result: Result | None = None
    attempt: int = 0
    peer: Birth | None = None  # who has it
    trouble: str = ""  # why it could not be sent the last time


class Client:
    """Sends raw inputs to a deployment; made by `connect_client`. Many requests may be in flight.

    A request is tried again when the node that has it, or one further out that may have it, is lost or comes
    back: that node's births say so, and after a lost connection of our own the broker repeats them all.

    Attributes:
        presence: the nodes that are there.
        session: the session underneath.
        counters: `requests`, `answered`, `failed`, `retries`, and of results that nobody waited for any more
            `duplicates`, `late` and `unexpected`.
    """

    def __init__(
        self,
        session: Session,
        presence: Presence,
        sender: Sender,
        incarnation: int,
        *,
        bench_clock: bool = False,
    ) -> None:
        self.session = session
        self.presence = presence
        self.counters: Counter[str] = Counter()
        self._sender = sender
        self._incarnation = incarnation
        self._bench_clock = bench_clock
        self._pending: dict[bytes, _Request] = {}
        self._ended: Seen[bytes] = Seen()
        self._expired: Seen[bytes] = Seen()
        self._loop = asyncio.get_running_loop()
        presence.listeners.append(self._on_birth)

    @property
    def in_flight(self) -> int:
        """Requests without an outcome yet."""
        return len(self._pending)

    async def infer(
        self, data: bytes, *, deadline: float = 5.0, tier: Tier | None = None, node: str | None = None
    ) -> Result:
        """Send one raw input and return its one outcome; whatever the network does is a typed failure.

        Args:
            data: UTF-8 text, or an image file's bytes.
            deadline: seconds within which the answer is wanted.
            tier: answer there and nowhere else.
            node: send to this node; without it, to the lowest ready tier that has credit.

        Raises:
            DeadlineError: the deadline is not above zero; nothing was sent.
        """
        if not deadline > 0:  # nor is NaN
            raise DeadlineError(
                f"a deadline of {deadline:g} s cannot be kept; give a number of seconds above 0"
            )
        request = _Request(
            id=_new_id(),
            data=data,
            tier=tier,
            node=node,
            due=self._loop.time() + min(deadline, _LONGEST_SECONDS),
            signal=self._loop.create_future(),
        )
        self.counters["requests"] += 1
        self._pending[request.id] = request
        try:
            result = await self._outcome(request)
        finally:
            del self._pending[request.id]
        (self._ended if request.result is not None else self._expired).add(request.id)
        self.counters["failed" if result.error is not None else "answered"] += 1
        return result

    async def _outcome(self, request: _Request) -> Result:
        size = len(request.data)
        if size > MAX_WHOLE_BYTES:
            return self._failure(
                request, "too-large", f"the input has {size} bytes; at most {MAX_WHOLE_BYTES} travel"
            )
        try:
            async with asyncio.timeout_at(request.due + _GRACE_SECONDS):
                while request.result is None:
                    await self._attempt(request)
                return request.result
        except TimeoutError:
            return self._no_answer(request)

    async def _attempt(self, request: _Request) -> None:
        """Send the request and return once there is a result, or a reason to send it again."""
        if request.attempt == _MOST_ATTEMPTS or self._loop.time() >= request.due:
            request.signal = self._loop.create_future()
            await request.signal  # nothing more to try: the result, or the end of the time
            return
        request.peer = None
        peer = await self._choose(request)
        request.attempt += 1
        request.peer, request.signal = peer, self._loop.create_future()
        self.counters["retries"] += request.attempt > 1
        try:
            await self._sender.send(self._work(request), peer.node, deadline=request.due - self._loop.time())
        except (CreditError, PublishError) as exc:
            request.trouble = str(exc)
            return
        if request.result is None:
            await request.signal

    async def _choose(self, request: _Request) -> Birth:
        """Return the node to send to, as soon as there is one."""
        while True:
            if request.node is not None:
                found = self.presence.get(request.node)
                if found is not None and found.state == "ready":
                    return found
                await self.presence.wait_for(request.node)
                continue
            ready = self.presence.ready()
            if ready:
                return self._lowest(ready)
            await self.presence.wait_for(lambda presence: bool(presence.ready()))

    def _lowest(self, ready: list[Birth]) -> Birth:
        """Return the node of the lowest tier that has most credit; where none has any, of the lowest tier."""
        open_to = [birth for birth in ready if self._sender.credit(birth.node) > 0] or ready
        tier = [birth for birth in open_to if birth.tier is open_to[0].tier]
        return max(tier, key=lambda birth: self._sender.credit(birth.node))

    def _work(self, request: _Request) -> Work:
        return Work(
            id=request.id,
            origin=self.session.name,
            sender=self.session.name,
            sender_incarnation=self._incarnation,
            sequence=0,
            model="",
            layer=0,
            codec=RAW_INPUT,
            tier=request.tier,
            attempt=request.attempt,
            deadline=max(0.0, request.due - self._loop.time()),
            sent_clock=time.monotonic() if self._bench_clock else None,
            payload=request.data,
        )

    def _no_answer(self, request: _Request) -> Result:
        if request.attempt == 0:
            who = "no node" if request.node is None else f"no node {request.node}"
            return self._failure(
                request,
                "no-node",
                f"{who} of site {self.session.site} was ready; start it with `tierline node`",
            )
        asked = "the nodes" if request.peer is None else request.peer.node
        trouble = f" ({request.trouble})" if request.trouble else ""
        return self._failure(
            request,
            "deadline",
            f"{asked} gave no answer before the deadline{trouble}; allow more time or look at its log",
        )

    def _failure(self, request: _Request, code: str, message: str) -> Result:
        failure = Failure(code=code, message=message)
        return Result(id=request.id, node=self.session.name, tier=Tier.MOBILE, error=failure)

    # -- called by the network ------------------------------------------------------------------------------

    async def take_results(self, results: Subscription[Result]) -> None:
        """Hand each result to the request that waits for it, for ever."""
        async for result in results:
            self._resolve(result)

    def refuse(self, topic: str, error: RecordError) -> None:
        """End a request whose result cannot be read."""
        request = self._pending.get(error.request_id or b"")
        if request is not None:
            self._resolve(self._failure(request, error.code, str(error)[:1000]))

    def _resolve(self, result: Result) -> None:
        request = self._pending.get(result.id)
        if request is None or request.result is not None:
            known = "late" if result.id in self._expired else "unexpected"
            self.counters["duplicates" if request is not None or result.id in self._ended else known] += 1
            return
        request.result = result
        _set(request.signal)

    def _on_birth(self, birth: Birth, before: Birth | None) -> None:
        """Try again what a node may have lost; one that was never there before has lost nothing."""
        if before is None or birth.tier is None or birth.state == "draining":
            return
        for request in self._pending.values():
            peer = request.peer
            if peer is None or peer.tier is None:
                continue
            if birth.node == peer.node or birth.tier.rank > peer.tier.rank:
                _set(request.signal)


def _set(signal: asyncio.Future[None]) -> None:
    if not signal.done():
        signal.set_result(None)


def _new_id() -> bytes:
    """Return 16 bytes that grow with time: milliseconds, then chance."""
    return (time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10)


@asynccontextmanager
async def connect_client(
    url: str,
    *,
    site: str = "default",
    name: str | None = None,
    username: str | None = None,
    password: str | None = None,
    patience: float = 3.0,
    bench_clock: bool = False,
) -> AsyncGenerator[Client]:
    """Attach to a deployment as a client, by default with a name that nobody else has.

    Args:
        url: as for `connect`.
        site: the deployment.
        name: the client's own name.
        username: instead of the one in the URL.
        password: instead of the one in the URL.
        patience: seconds that the first connection may take.
        bench_clock: stamp requests with this host's clock, which nodes of the same host compare with theirs.

    Raises:
        AddressError: the URL cannot be used.
        ConnectError: no broker answers there.
    """
    name = name or f"client-{secrets.token_hex(4)}"
    incarnation = time.time_ns()
    async with (
        connect(
            url, name=name, site=site, username=username, password=password, patience=patience
        ) as session,
        follow(session) as presence,
        open_sender(session, incarnation, presence) as sender,
    ):
        client = Client(session, presence, sender, incarnation, bench_clock=bench_clock)
        async with (
            session.subscribe(RESULT, name, limit=10_000, on_malformed=client.refuse) as results,
            running(client.take_results(results), name="results"),
        ):
            yield client
