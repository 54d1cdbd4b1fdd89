"""What a node counts and how it becomes telemetry: plain state, no clock of its own."""

import math
from collections import Counter
from dataclasses import dataclass, field

from tierline_broker import CodecUse, ExitReport, Pool
from tierline_nodes.sight import Sight

VISIT_GAIN = 0.1
SPEED_SECONDS = 1.0
"""Time constant of the reported speed: a rare check of an idle node counts as much as many samples."""


@dataclass(slots=True)
class ExitCounts:
    """How samples looked at one exit, as an `ExitReport` tells it."""

    pools: Counter[Pool] = field(default_factory=Counter)
    confidence: float = 0.0
    answered: int = 0
    checked: int = 0
    agreed: int = 0
    claimed: float = 0.0
    granted: float = 0.0

    def report(self, layer: int) -> ExitReport:
        """Return the record."""
        return ExitReport(
            layer=layer,
            pools=dict(self.pools),
            confidence=self.confidence,
            answered=self.answered,
            checked=self.checked,
            agreed=self.agreed,
            claimed=self.claimed,
            granted=self.granted,
        )


@dataclass(slots=True)
class Meter:
    """Absolute counts since the node's start, and smoothed readings."""

    arrived: int = 0  # without those that are pinned to another tier
    served: int = 0
    answered: int = 0
    sent_bytes: int = 0
    work_seconds: float = 0.0
    pools: Counter[Pool] = field(default_factory=Counter)
    drops: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)  # frames not in the codec that the plan names
    codecs: dict[str, CodecUse] = field(default_factory=dict)
    exits: dict[int, ExitCounts] = field(default_factory=dict)  # by layer, of those that the bundle knows
    speed: float = 1.0
    last_work: float = 0.0  # when a speed was last observed
    visit: float = 0.0  # seconds of the worker thread that a sample takes lately; 0 before any

    def visited(self, work: float, coding: float) -> None:
        """Count a sample that took so many seconds of work, and kept the worker thread for coding besides."""
        self.served += 1
        self.work_seconds += work
        self.visit += (work + coding - self.visit) * (VISIT_GAIN if self.visit else 1.0)

    def wait(self, depth: int) -> float:
        """Return the seconds until so many samples are done, the first of which is half done on average."""
        return max(0.0, depth - 0.5) * self.visit

    def at_exit(self, layer: int) -> ExitCounts:
        """Return the counts of one exit."""
        return self.exits.setdefault(layer, ExitCounts())

    def saw(self, sight: Sight) -> None:
        """Count a sample at an exit, and what that says of the exit before."""
        if sight.first:
            here = self.at_exit(sight.layer)
            here.pools[sight.pool] += 1
            here.confidence += sight.judged.confidence
        if sight.before is not None:
            before = self.at_exit(sight.before)
            before.checked += 1
            before.agreed += sight.agrees
            before.claimed += sight.judged.claimed or 0.0
            before.granted += sight.judged.granted or 0.0

    def encoded(self, codec: str, frame_bytes: int, array_bytes: int, seconds: float) -> None:
        """Count an activation that was coded to be sent on."""
        use = self.codecs.get(codec, CodecUse())
        self.codecs[codec] = use.model_copy(
            update={
                "sent": use.sent + 1,
                "sent_bytes": use.sent_bytes + frame_bytes,
                "array_bytes": use.array_bytes + array_bytes,
                "encode_seconds": use.encode_seconds + seconds,
            }
        )

    def decoded(self, codec: str, seconds: float) -> None:
        """Count an activation that arrived."""
        use = self.codecs.get(codec, CodecUse())
        self.codecs[codec] = use.model_copy(
            update={"received": use.received + 1, "decode_seconds": use.decode_seconds + seconds}
        )

    def observe_speed(self, measured: float, profiled: float, now: float) -> None:
        """Fold one measurement of compute seconds against the profile's into the smoothed speed."""
        if measured <= 0 or profiled <= 0:
            return
        ratio = math.log(measured / profiled)
        weight = -math.expm1(-max(0.0, now - self.last_work) / SPEED_SECONDS)
        self.speed = math.exp(math.log(self.speed) + weight * (ratio - math.log(self.speed)))
        self.last_work = now


@dataclass(slots=True)
class Interval:
    """Turns absolute counts into rates between two reports."""

    at: float
    arrived: int = 0
    busy: float = 0.0

    def rates(self, now: float, arrived: int, busy: float) -> tuple[float, float]:
        """Return (requests per second, busy share) since the last call."""
        seconds = max(now - self.at, 1e-6)
        rate = (arrived - self.arrived) / seconds
        share = min(1.0, max(0.0, (busy - self.busy) / seconds))
        self.at, self.arrived, self.busy = now, arrived, busy
        return rate, share
