"""Looks whether what a sender has under way is overdue, as often as that matters, and tells of it."""

import asyncio
from collections.abc import Callable

import structlog

from tierline_broker.receipts import Receipts

_LOOK_SECONDS = 0.1

_log = structlog.get_logger()


class Stalls:
    """Watches the receipts of one sender.

    Attributes:
        listeners: called with each peer whose link turns out to stall.
        seen: how often one did.
    """

    def __init__(self, receipts: Receipts) -> None:
        self.listeners: list[Callable[[str], None]] = []
        self.seen = 0
        self._receipts = receipts
        self._out = asyncio.Event()

    def went_out(self) -> None:
        """Note that something is under way."""
        self._out.set()

    async def watch(self) -> None:
        """Look again and again while anything is under way, for ever."""
        while True:
            await self._out.wait()
            self._out.clear()
            while self._receipts.under_way:
                await asyncio.sleep(_LOOK_SECONDS)
                self.look()

    def look(self) -> None:
        """Look now."""
        for peer in self._receipts.overdue(asyncio.get_running_loop().time()):
            self.seen += 1
            _log.info("link_stalls", peer=peer)
            for listener in self.listeners:
                listener(peer)
