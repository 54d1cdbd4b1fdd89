"""The samples that are leaving a node, or wait for that, and a way to call them back."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from tierline_nodes.errors import CalledBackError


class Outbox:
    """Who is being sent where; touched by the event loop only."""

    def __init__(self) -> None:
        self._leaving: dict[asyncio.Timeout, str] = {}
        self.size = 0

    @asynccontextmanager
    async def leaving(self, peer: str, *, recall: bool) -> AsyncGenerator[None]:
        """Count one sample among those that leave, for as long as the block lasts.

        Args:
            peer: to which node.
            recall: whether it may be called back.

        Raises:
            CalledBackError: it was called back.
        """
        self.size += 1
        try:
            async with asyncio.timeout(None) as scope:
                if recall:
                    self._leaving[scope] = peer
                try:
                    yield
                finally:
                    self._leaving.pop(scope, None)
        except TimeoutError:
            raise CalledBackError(f"the link to {peer} lets nothing through") from None
        finally:
            self.size -= 1

    def call_back(self, peer: str) -> None:
        """Call back all that has not left for a peer yet."""
        now = asyncio.get_running_loop().time()
        for scope in [scope for scope, to in self._leaving.items() if to == peer]:
            del self._leaving[scope]
            scope.reschedule(now)
