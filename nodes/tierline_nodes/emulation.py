"""Emulated conditions on one machine: a slower device and a shaped link, changed while running."""

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

from tierline_broker import Tier
from tierline_nodes.errors import EmulationError


@dataclass(slots=True)
class Conditions:
    """What this node pretends: each compute takes `slowdown` times as long, each send waits for the link.

    The link is one serialiser at `bytes_per_second` (None: no limit), as a radio is, then half a round
    trip out and half back, both charged here, since the way back is not ours to delay.
    """

    slowdown: float = 1.0
    bytes_per_second: float | None = None
    rtt: dict[Tier, float] = field(default_factory=dict)  # seconds, by the receiver's tier
    free_at: float = 0.0  # when the serialiser is free again, on the loop's clock
    turn: asyncio.Lock = field(default_factory=asyncio.Lock, compare=False)

    def departure(self, now: float, size: int, tier: Tier | None) -> float:
        """Book `size` bytes on the link and return when they have arrived."""
        if self.bytes_per_second is not None:
            self.free_at = max(self.free_at, now) + size / self.bytes_per_second
            now = self.free_at
        return now + (self.rtt.get(tier, 0.0) if tier is not None else 0.0)

    async def cross(self, size: int, tier: Tier | None) -> None:
        """Wait as long as `size` bytes take to cross the emulated link, one message after the other.

        Who waits for its turn may be called back; what has begun to leave, leaves.
        """
        loop = asyncio.get_running_loop()
        asked = loop.time()
        async with self.turn:
            out = self.departure(asked, size, None)
            await asyncio.sleep(max(0.0, out - loop.time()))
        rtt = self.rtt.get(tier, 0.0) if tier is not None else 0.0
        if rtt:
            await asyncio.sleep(max(0.0, out + rtt - loop.time()))

    def change(self, line: str) -> None:
        """Apply one JSON line; keys left out stay as they are.

        Raises:
            EmulationError: the line is not a JSON object of known keys with sensible numbers.
        """
        wanted = _parse(line)
        self.slowdown = wanted.get("slowdown", self.slowdown)
        if "uplink_bytes_per_second" in wanted:
            self.bytes_per_second = wanted["uplink_bytes_per_second"]
        self.rtt |= wanted.get("rtt_seconds", {})


def _parse(line: str) -> dict[str, Any]:
    try:
        return {key: _value(key, value) for key, value in json.loads(line).items()}
    except (ValueError, TypeError, AttributeError) as exc:
        raise EmulationError(
            f"cannot read the conditions {line.strip()[:200]!r} ({exc}); expected a JSON line such as"
            ' {"slowdown": 3, "uplink_bytes_per_second": 2.5e6, "rtt_seconds": {"edge": 0.02}}'
        ) from exc


def _value(key: str, value: Any) -> Any:
    match key:
        case "slowdown":
            return _number(value, low=1.0)
        case "uplink_bytes_per_second":
            return None if value is None else _number(value, low=1.0)
        case "rtt_seconds":
            return {Tier(tier): _number(seconds, low=0.0) for tier, seconds in value.items()}
        case _:
            raise ValueError(f"{key!r} is not one of slowdown, uplink_bytes_per_second, rtt_seconds")


def _number(value: object, *, low: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < 1e12:
        raise ValueError(f"{value!r} is not a number of at least {low}")
    return float(value)
