"""Run a coroutine beside a body of code, for exactly as long as the body lasts."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


@asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, None], name: str) -> AsyncGenerator[None]:
    """Run coroutines as named tasks until the body ends; a failing one cancels the body and is raised.

    Unlike a bare TaskGroup, one lone exception comes out as itself and not inside a group, so that a caller
    of a context manager built on this can catch what the body raised.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine, name=name) for coroutine in coroutines]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
    except BaseExceptionGroup as several:
        if len(several.exceptions) > 1:
            raise
        lone = several.exceptions[0]
        raise lone from lone.__cause__
