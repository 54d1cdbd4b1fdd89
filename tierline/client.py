"""The Python face: a connection to a deployment, and answers with the facts of their way."""

import math
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import tierline_broker
from tierline.logs import be_quiet
from tierline.settings import broker_url
from tierline_broker import Pool, Result, Step, Tier


class InferenceError(Exception):
    """A request ended in a typed error instead of an answer.

    Attributes:
        code: short machine-readable reason.
        result: the outcome as it came.
    """

    def __init__(self, result: Result) -> None:
        self.result = result
        self.code = result.error.code if result.error else "no-answer"
        super().__init__(result.error.message if result.error else "the node sent neither answer nor error")


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What the deployment says of one input.

    Attributes:
        output: the logits.
        label: the most probable class.
        confidence: its calibrated probability.
        tier: where it was answered.
        degraded: the answer is of an earlier exit than planned, as no better one was to be had in time.
        seconds: from asking to having it, on this machine's clock.
        steps: what each node on the way did, with its times, bytes, codec and plan.
        node: who answered.
        pool: how hard the input looked there.
        why: why it was answered there.
        gain: what going on was expected to mend, in shares of a right answer; None where the way ended.
        margin: by which that was less than the plan wanted.
    """

    output: tuple[float, ...]
    label: str
    confidence: float
    tier: Tier
    degraded: bool
    seconds: float
    steps: tuple[Step, ...]
    node: str
    pool: Pool | None
    why: str
    gain: float | None = None
    margin: float | None = None


class Client:
    """A connection to a deployment; made by `connect`. Many requests may be in flight at once."""

    def __init__(self, inner: tierline_broker.Client) -> None:
        self._inner = inner
        self._tallies: list[tierline_broker.Tally] = []

    async def infer(
        self, data: str | bytes, *, deadline: float = 5.0, tier: str | None = None, node: str | None = None
    ) -> Answered:
        """Send one input and wait for its answer.

        Args:
            data: text, or an image file's bytes.
            deadline: seconds within which the answer is wanted.
            tier: answer at `mobile`, `edge` or `cloud` and nowhere else.
            node: enter at this node; by default at the lowest ready tier that has room.

        Raises:
            InferenceError: the request ended in an error; nothing else is disturbed.
        """
        started = time.monotonic()
        result = await self._inner.infer(
            data.encode() if isinstance(data, str) else data,
            deadline=deadline,
            tier=None if tier is None else Tier(tier),
            node=node,
        )
        seconds = time.monotonic() - started
        entered = node or (result.steps[0].node if result.steps else None)
        if entered is not None and tier is None:
            for tally in self._tallies:
                tally.add(entered, seconds if result.answer is not None else math.inf)
        return _answered(result, seconds)

    @asynccontextmanager
    async def require(
        self,
        *,
        deadline: float | None = None,
        accuracy: float | None = None,
        priority: float = 1.0,
        node: str | None = None,
    ) -> AsyncGenerator[None]:
        """Have plans made for what this client needs, while the block lasts.

        With a deadline the scheduler is told how many answers were late or never came, and plans learn from
        that.

        Args:
            deadline: seconds within which samples that go all the way are to be answered.
            accuracy: that plans must keep, 0 to 1.
            priority: of several, which is served first where nodes are short of room; 1 is usual.
            node: the mobile node that its inputs enter at; by default all.

        Raises:
            ValueError: one of them is out of range; the text says which.
        """
        session = self._inner.session
        wanted = tierline_broker.Requirement(
            client=session.name, node=node, deadline=deadline, accuracy=accuracy, priority=priority
        )
        if deadline is None:
            async with tierline_broker.requiring(session, wanted):
                yield
            return
        tally = tierline_broker.Tally(deadline)
        self._tallies.append(tally)
        try:
            async with tierline_broker.requiring(session, wanted, tally):
                yield
        finally:
            self._tallies.remove(tally)


@asynccontextmanager
async def connect(
    broker: str | None = None,
    *,
    site: str = "default",
    username: str | None = None,
    password: str | None = None,
) -> AsyncGenerator[Client]:
    """Attach to a deployment.

    Args:
        broker: its URL; by default `TIERLINE_BROKER`, else `mqtt://127.0.0.1:21883`.
        site: the deployment's name on that broker.
        username: instead of the one in the URL.
        password: instead of the one in the URL.

    Raises:
        tierline_broker.AddressError: the URL cannot be used.
        tierline_broker.ConnectError: no broker answers there.
    """
    be_quiet()
    async with tierline_broker.connect_client(
        broker_url(broker), site=site, username=username, password=password
    ) as inner:
        yield Client(inner)


def _answered(result: Result, seconds: float) -> Answered:
    if result.answer is None:
        raise InferenceError(result)
    return Answered(
        output=result.answer.output,
        label=result.answer.label,
        confidence=result.answer.confidence,
        tier=result.tier,
        degraded=result.degraded,
        seconds=seconds,
        steps=result.steps,
        node=result.node,
        pool=result.pool,
        why=result.why,
        gain=result.gain,
        margin=result.margin,
    )
