"""Keeps a client's requirement in force for as long as it is wanted, and tells how well it is kept."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tierline_broker.lifetime import running
from tierline_broker.session import Session
from tierline_broker.steering import Requirement
from tierline_broker.topics import REQUIREMENT

_MOST_NODES = 64


@dataclass(slots=True)
class Tally:
    """What a client's answers were like under its deadline.

    Attributes:
        deadline: seconds.
        outcomes: answers, and how many of them late, by the node where they entered.
    """

    deadline: float
    outcomes: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, node: str, seconds: float) -> None:
        """Count one answer."""
        if node in self.outcomes or len(self.outcomes) < _MOST_NODES:
            seen, late = self.outcomes.get(node, (0, 0))
            self.outcomes[node] = (seen + 1, late + (seconds > self.deadline))


@asynccontextmanager
async def requiring(
    session: Session, wanted: Requirement, tally: Tally | None = None
) -> AsyncGenerator[None]:
    """Say what is required, repeat it before it lapses, with what came of it, and take it back at the end."""
    async with running(_repeat(session, wanted, tally), name="requirement"):
        try:
            yield
        finally:
            await session.retain(
                REQUIREMENT, wanted.client, wanted.model_copy(update={"valid": 0.0}), again=False
            )


async def _repeat(session: Session, wanted: Requirement, tally: Tally | None) -> None:
    while True:
        told = {} if tally is None else {"outcomes": dict(tally.outcomes)}
        await session.retain(REQUIREMENT, wanted.client, wanted.model_copy(update=told), again=False)
        await asyncio.sleep(wanted.valid / 3)
