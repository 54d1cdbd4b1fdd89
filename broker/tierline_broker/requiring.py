"""Keeps a client's requirement in force for as long as it is wanted."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tierline_broker.lifetime import running
from tierline_broker.session import Session
from tierline_broker.steering import Requirement
from tierline_broker.topics import REQUIREMENT


@asynccontextmanager
async def requiring(session: Session, wanted: Requirement) -> AsyncGenerator[None]:
    """Say what is required, repeat it before it lapses, and take it back at the end."""
    async with running(_repeat(session, wanted), name="requirement"):
        try:
            yield
        finally:
            await session.retain(
                REQUIREMENT, wanted.client, wanted.model_copy(update={"valid": 0.0}), again=False
            )


async def _repeat(session: Session, wanted: Requirement) -> None:
    while True:
        await session.retain(REQUIREMENT, wanted.client, wanted, again=False)
        await asyncio.sleep(wanted.valid / 3)
