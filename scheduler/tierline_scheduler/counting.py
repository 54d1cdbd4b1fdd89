"""Follow how many requests come a second: slowly while that is steady, soon when it has really changed.

Counts scatter evenly on the scale of their root (Anscombe 1948), so evidence of a change is summed up there
(Page's test). The level itself is their plain mean, which a mean of roots is not where requests are few. Once
the evidence is enough, it begins anew as the mean of all that came since the evidence began.
"""

import math
from dataclasses import dataclass, replace

GAIN = 0.025
"""Weight of a new count once the mean is settled: half of what links need, as evidence does the following."""
SD_GAIN = 0.05
SETTLED = math.sqrt(GAIN / (2 - GAIN))
"""Uncertainty of a settled mean, in standard deviations of one count."""
SLACK = 0.5
"""Standard deviations by which a count is to be off before it is evidence."""
ALARM = 5.0
"""A crowd of twice as many is then seen after 10 s at 1.5 a second and after 4 s at 6; chance is taken for a
change less than twice in ten minutes."""
ALARM_CROWDED = 3.0
"""The same while requests queue as well, which is evidence of another kind."""
CLIP = 4.0
HUBER = 2.5
"""Standard deviations by which one count may pull the mean."""
_ROOT_SD = 0.5
_ANSCOMBE, _BIAS = 3 / 8, 1 / 4
_LEAST_SD = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """That counts are off to one side, since it began."""

    score: float = 0.0
    count: int = 0
    total: float = 0.0

    def after(self, score: float, value: float) -> "Evidence":
        """Return it after one more count."""
        left = self.score + score - SLACK
        if left <= 0:
            return Evidence()
        return Evidence(score=left, count=self.count + 1, total=self.total + value)

    def enough(self, alarm: float) -> bool:
        """Return whether chance does not explain it."""
        return self.score > alarm and self.count > 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What is believed of a stream: events a second, their spread, and the evidence that this is over."""

    value: float
    sd: float
    seen: int
    up: Evidence = Evidence()
    down: Evidence = Evidence()

    @property
    def doubt(self) -> float:
        """The relative uncertainty of the mean."""
        return SETTLED * self.sd / max(self.value, self.sd)

    def least(self, deviations: float) -> float:
        """Return the lowest that the mean may well be; of few counts it is known less well than later."""
        doubt = max(SETTLED, 1 / math.sqrt(self.seen))
        return max(0.0, self.value - deviations * doubt * self.sd)


def count(level: Count | None, value: float, *, crowded: bool = False) -> Count:
    """Return the level after one more count, of about a second; `crowded` where requests queue as well."""
    if level is None:
        return Count(value=value, sd=max(_LEAST_SD, math.sqrt(value)), seen=1)
    middle = math.sqrt(max(_ANSCOMBE, level.value + _ANSCOMBE - _BIAS))
    score = (math.sqrt(value + _ANSCOMBE) - middle) / _ROOT_SD
    clipped = max(-CLIP, min(CLIP, score))
    up, down = level.up.after(clipped, value), level.down.after(-clipped, value)
    for side, alarm in ((up, ALARM_CROWDED if crowded else ALARM), (down, ALARM)):
        if side.enough(alarm):
            mean = side.total / side.count
            return Count(value=mean, sd=max(_LEAST_SD, math.sqrt(mean)), seen=side.count)
    most = (middle + HUBER * _ROOT_SD) ** 2 - _ANSCOMBE
    step = min(value, most) - level.value
    variance = level.sd**2 + SD_GAIN * (step**2 - level.sd**2)
    return replace(
        level,
        value=level.value + max(GAIN, 1 / (level.seen + 1)) * step,
        sd=max(_LEAST_SD, math.sqrt(variance)),
        seen=level.seen + 1,
        up=up,
        down=down,
    )
