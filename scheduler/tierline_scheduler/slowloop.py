"""The loop of minutes beside the rounds of seconds: prices of slow samples, searched for and held."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import structlog

from tierline_scheduler.config import SchedulerConfig
from tierline_scheduler.faring import SlowPrices, device_classes, slow_prices
from tierline_scheduler.fleet.guide import SMALL
from tierline_scheduler.state import ClusterState

AT_ONCE = 0.5
"""Seconds that a round may wait for the prices of a small fleet, which take a tenth of a second ..."""
AT_MOST = 10.0
"""... and that a search beside the rounds may take; what it has found by then is used."""
AGAIN = 5.0
"""Seconds after which a search is made again that was not finished, or failed."""
MOVED = 0.2
"""Share by which a price has to change for plans to be weighed anew over the time that it will hold."""

_log = structlog.get_logger()


@dataclass(slots=True)
class SlowLoop:
    """Prices of slow samples, and when they are to be looked for again; touched by the event loop only."""

    config: SchedulerConfig
    prices: SlowPrices = field(default_factory=SlowPrices)
    fresh: bool = False  # no round has been made at these prices yet
    failed: int = 0
    _asked: object = None
    _until: float = 0.0
    _busy: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def before_round(self, state: ClusterState, margins: Mapping[str, float]) -> None:
        """Look for prices where the fleet is small enough for a round to wait for them."""
        if len(device_classes(state)) <= SMALL and self._due(state):
            await self._look(state, margins, AT_ONCE)

    async def beside_rounds(self, state: ClusterState, margins: Mapping[str, float]) -> bool:
        """Look for prices where the fleet is large, and return whether there are new ones."""
        if len(device_classes(state)) <= SMALL or not self._due(state):
            return False
        await self._look(state, margins, AT_MOST)
        return self.fresh

    def resume(self, prices: SlowPrices) -> None:
        """Go on with what another scheduler found, until a search of our own."""
        if self.config.alike:
            self.prices = prices

    def take_fresh(self) -> bool:
        """Return whether prices have moved since the last round."""
        fresh, self.fresh = self.fresh, False
        return fresh

    def _due(self, state: ClusterState) -> bool:
        """Whether others are there or ask for something else than at the last search, or it was long ago."""
        if not self.config.alike or self._busy.locked():
            return False
        return _asking(state) != self._asked or time.monotonic() >= self._until

    async def _look(self, state: ClusterState, margins: Mapping[str, float], seconds: float) -> None:
        """Search in a thread, so that nothing waits for it; what goes wrong leaves the prices as they are."""
        due = time.monotonic() + seconds
        async with self._busy:
            self._asked, self._until = _asking(state), time.monotonic() + AGAIN
            try:
                async with asyncio.timeout(2 * seconds):
                    found = await asyncio.to_thread(
                        slow_prices,
                        state,
                        self.config.objective,
                        self.config.alike,
                        margins=margins,
                        known=self.prices,
                        stop=lambda: time.monotonic() > due,
                    )
            except Exception as error:  # noqa: BLE001 (whatever records do to it, rounds go on at the last prices)
                self.failed += 1
                _log.error("slow_prices_failed", reason=repr(error)[:1000])
                return
        if time.monotonic() <= due:
            self._until = time.monotonic() + self.config.alike_seconds
        elif found.ratio > self.config.alike:
            _log.info("slow_prices_unfinished", ratio=found.ratio)
            return
        self.fresh = self.fresh or _moved(self.prices, found)
        self.prices = found
        _log.info(
            "slow_prices", after=found.after, prices=found.by_class, p95=found.seconds, ratio=found.ratio
        )


def _asking(state: ClusterState) -> object:
    """Return who is there, in which class, and what clients ask for."""
    wants = {name: (one.node, one.deadline, one.accuracy) for name, (one, _) in state.requirements.items()}
    ready = sorted(name for name, node in state.nodes.items() if node.usable)
    return ready, device_classes(state), wants


def _moved(told: SlowPrices, now: SlowPrices) -> bool:
    names = {*told.by_class, *now.by_class}
    pairs = ((told.by_class.get(name, 0.0), now.by_class.get(name, 0.0)) for name in names)
    return any(abs(a - b) > MOVED * max(a, b) for a, b in pairs)
