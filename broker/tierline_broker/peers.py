"""One peer of a sender: its window, and who waits for credit in it."""

import asyncio
from collections import deque
from collections.abc import Callable

from tierline_broker.errors import CreditError
from tierline_broker.flow import credited, peer_born, spent
from tierline_broker.records import Birth, Credit

_STALL_SECONDS = 1.0


class Peer:
    """Hands out sequence numbers as far as the peer's credit reaches, first come first served."""

    def __init__(self, birth: Birth) -> None:
        self.name = birth.node
        self._window = peer_born(None, birth.incarnation, birth.window)
        self._waiting: deque[asyncio.Future[int]] = deque()

    @property
    def free(self) -> int:
        """How many messages may be sent now, behind those that wait already."""
        return max(0, self._window.free - len(self._waiting))

    @property
    def waited_for(self) -> bool:
        """Whether somebody waits for credit."""
        return bool(self._waiting)

    def overdraw(self) -> int:
        """Return a number beyond the credit, for the message that asks whether credit was lost on the way."""
        self._window = spent(self._window)
        return self._window.sent

    def born(self, birth: Birth) -> None:
        """Take the peer's newest birth."""
        self._window = peer_born(self._window, birth.incarnation, birth.window)
        self._wake()

    def gone(self, state: str) -> None:
        """Refuse all who wait: the peer does not take work any more."""
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_exception(CreditError(f"{self.name} is {state}; send to another node"))

    def credited(self, credit: Credit) -> None:
        """Take a grant."""
        self._window = credited(self._window, credit.receiver_incarnation, credit.granted, credit.received)
        self._wake()

    async def number(self, until: float, nudge: Callable[[str], None]) -> int:
        """Return the next sequence number, once there is credit for it.

        Args:
            until: when to give up, on the loop's clock.
            nudge: called with the peer's name when no credit has come for a while.

        Raises:
            CreditError: no credit in time, or the peer is gone.
        """
        if self._window.free and not self._waiting:
            self._window = spent(self._window)
            return self._window.sent
        loop = asyncio.get_running_loop()
        future: asyncio.Future[int] = loop.create_future()
        self._waiting.append(future)
        patience = _STALL_SECONDS
        try:
            while not future.done():
                left = until - loop.time()
                if left <= 0:
                    raise CreditError(
                        f"{self.name} granted no credit before the deadline; it is overloaded or unreachable"
                    )
                await asyncio.wait([future], timeout=min(patience, left))
                if not future.done() and left > patience and self._waiting[0] is future:
                    patience *= 2
                    nudge(self.name)
            return future.result()
        finally:
            if future.done():
                future.exception()  # seen, also by one who was cancelled meanwhile
            else:
                self._waiting.remove(future)

    def _wake(self) -> None:
        while self._waiting and self._window.free:
            future = self._waiting.popleft()
            if not future.done():
                self._window = spent(self._window)
                future.set_result(self._window.sent)
