"""Typed errors for messages that are no work at all, where they still say who waits for an answer."""

import asyncio

import structlog

from tierline_broker import RESULT, Failure, PublishError, RecordError, Result, Session
from tierline_nodes.config import NodeConfig
from tierline_nodes.meter import Meter

_log = structlog.get_logger()


class Refusals:
    """A bounded queue of refusals between the receiver, which must not wait, and the network."""

    def __init__(self, session: Session, config: NodeConfig, meter: Meter, *, limit: int = 100) -> None:
        self._session = session
        self._config = config
        self._waiting: asyncio.Queue[RecordError] = asyncio.Queue(limit)
        self._drops = meter.drops

    def add(self, topic: str, error: RecordError) -> None:
        """Take an error; one that names nobody, or finds the queue full, goes unanswered and is counted."""
        try:
            if error.request_id is None or error.origin is None:
                self._drops["refusal-unanswered"] += 1
            else:
                self._waiting.put_nowait(error)
        except asyncio.QueueFull:
            self._drops["refusal-unanswered"] += 1
        _log.debug("work_refused", topic=topic, code=error.code)

    async def answer(self) -> None:
        """Send a failure to the origin of each refused message, for ever."""
        while True:
            error = await self._waiting.get()
            assert error.request_id is not None  # noqa: S101  (add() lets no other in)
            assert error.origin is not None  # noqa: S101
            result = Result(
                id=error.request_id,
                node=self._config.name,
                tier=self._config.tier,
                error=Failure(code=error.code, message=str(error)[:1000]),
            )
            try:
                await self._session.publish(RESULT, error.origin, result, expiry=5.0)
            except PublishError:
                self._drops["refusal-unanswered"] += 1
