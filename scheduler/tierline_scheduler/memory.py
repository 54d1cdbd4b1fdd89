"""What a scheduler has learnt, kept on the broker where the next one, or itself after a restart, finds it."""

from dataclasses import dataclass, replace

from tierline_broker import LEADER_NAME, LEARNT, Learnt, Session
from tierline_scheduler.faring import SlowPrices
from tierline_scheduler.margins import CLASSES, LEAST, MOST, Margins

MOST_PRICE = 1e6
MAX_VERSION = 2**62
"""Highest that a record is taken with: half of what it can say is left to go on."""


@dataclass(slots=True)
class Memory:
    """What is kept on the broker; touched by the event loop only.

    Attributes:
        known: the newest record.
        displaced: an older one, or one that nobody takes, stands in its place.
        refused: how many such came.
    """

    known: Learnt | None = None
    displaced: bool = False
    refused: int = 0

    def hear(self, told: Learnt, margins: Margins, *, leading: bool) -> Margins:
        """Return the margins to go on with after a record; who leads knows better than what it hears."""
        if told == self.known:
            return margins
        if told.version > MAX_VERSION or (self.known is not None and told.version <= self.known.version):
            self.displaced, self.refused = True, self.refused + 1
            return margins
        self.known, self.displaced = told, False
        return margins if leading else resumed(margins, told)

    async def keep(
        self, session: Session, name: str, margins: Margins, prices: SlowPrices, *, again: bool
    ) -> None:
        """Keep what was learnt, where that is news, and `again` where the broker may have forgotten it."""
        made = self.to_keep(name, margins, prices)
        if made is None and (again or self.displaced):
            made = self.known
        if made is not None:
            self.known, self.displaced = made, False
            await session.retain(LEARNT, LEADER_NAME, made, again=False)

    def to_keep(self, name: str, margins: Margins, prices: SlowPrices) -> Learnt | None:
        """Return the record of what was learnt; None where nothing was, or that is known."""
        made = Learnt(
            node=name,
            version=1 if self.known is None else self.known.version + 1,
            margins={kind: round(one, 3) for kind, one in sorted(margins.by_class.items())},
            slow_after=round(prices.after, 4),
            slow_prices={kind: _three(one) for kind, one in sorted(prices.by_class.items()) if prices.after},
        )
        if self.known is None:
            return made if made.margins or made.slow_prices else None
        return None if made.model_copy(update={"version": self.known.version}) == self.known else made


def prices_told(told: Learnt) -> SlowPrices:
    """Return the prices with which another scheduler goes on until it has searched for its own."""
    return SlowPrices(after=told.slow_after, by_class=dict(told.slow_prices))


def _three(value: float) -> float:
    """Return three digits of a price, so that the noise in it is no news."""
    return min(MOST_PRICE, float(f"{value:.3g}"))


def resumed(margins: Margins, told: Learnt) -> Margins:
    """Return the margins with which another scheduler goes on; what it could not have learnt is left out."""
    found = {kind: min(MOST, max(LEAST, one)) for kind, one in told.margins.items() if kind in CLASSES}
    return replace(margins, by_class=found)
