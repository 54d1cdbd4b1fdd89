"""Who is there: the live table of nodes, followed from their retained births and last wills."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager

import structlog

from tierline_broker.lifetime import running
from tierline_broker.records import Birth, Tier
from tierline_broker.session import Session
from tierline_broker.subscription import Subscription
from tierline_broker.topics import NODE

_MOST_NODES = 10_000  # the one first heard of is forgotten

_log = structlog.get_logger()


class Presence:
    """The last birth of every node heard of; made by `follow`.

    Attributes:
        births: node name to its last birth, `lost` ones included.
        listeners: called with every birth that comes and the one before it, also where both are the same:
            then the node, or we, have a new connection to the broker.
    """

    def __init__(self) -> None:
        self.births: dict[str, Birth] = {}
        self.listeners: list[Callable[[Birth, Birth | None], None]] = []
        self._changed = asyncio.Event()

    def get(self, node: str) -> Birth | None:
        """Return the node's last birth; None if it was never heard of."""
        return self.births.get(node)

    def ready(self, tier: Tier | None = None) -> list[Birth]:
        """Return the nodes that take work, lowest tier first, names in order; of one tier if given."""
        found = [
            birth
            for birth in self.births.values()
            if birth.state == "ready" and birth.role == "node" and birth.tier is not None
            if tier is None or birth.tier is tier
        ]
        return sorted(found, key=lambda birth: (birth.tier.rank if birth.tier else 0, birth.node))

    async def wait_for(self, what: Tier | str | Callable[["Presence"], bool]) -> None:
        """Wait until a node of a tier, or a node by name, is ready, or a predicate holds.

        The caller bounds the wait with `asyncio.timeout`.
        """
        while not self._holds(what):
            await self._changed.wait()

    async def changes(self) -> AsyncIterator[None]:
        """Yield now and after every change, several changes at once as one."""
        while True:
            changed = self._changed
            yield
            await changed.wait()

    def _holds(self, what: Tier | str | Callable[["Presence"], bool]) -> bool:
        if isinstance(what, Tier):
            return bool(self.ready(what))
        if isinstance(what, str):
            return is_ready(self.births.get(what))
        return what(self)

    def apply(self, birth: Birth) -> None:
        """Take a birth (or will) into the table and wake whoever waits for a change."""
        before = self.births.get(birth.node)
        if before is not None and birth.incarnation < before.incarnation:
            return  # the will of an earlier life, late
        if before is None and len(self.births) >= _MOST_NODES:
            self.births.pop(next(iter(self.births)))
        self.births[birth.node] = birth
        for listener in self.listeners:
            listener(birth, before)
        if before == birth:
            return
        _log.debug("node_changed", node=birth.node, state=birth.state, incarnation=birth.incarnation)
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def is_ready(birth: Birth | None) -> bool:
    """Return whether this is the birth of somebody who takes work."""
    return birth is not None and birth.state == "ready"


@asynccontextmanager
async def follow(session: Session) -> AsyncGenerator[Presence]:
    """Keep a table of the site's nodes for as long as the context lasts."""
    presence = Presence()
    async with (
        session.subscribe(NODE, "+", limit=10_000) as births,
        running(_fold(births, presence), name="presence"),
    ):
        yield presence


async def _fold(births: Subscription[Birth], presence: Presence) -> None:
    async for birth in births:
        presence.apply(birth)
