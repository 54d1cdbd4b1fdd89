"""Follow a noisy quantity: slowly while it is steady, at once when it has really changed.

A slow moving average gives a level that 25 % of noise moves by 4 %; Page's cumulative sum test notices a
real change (a tenfold collapse in two observations) and restarts the average there. One outlier, however
wild, does neither. Ratios such as bandwidth are followed as logarithms, counts as square roots: on these
scales the noise does not depend on the level.
"""

import math
from dataclasses import dataclass
from enum import Enum

GAIN = 0.05
"""Weight of a new observation once the level is settled."""
PRIOR_SD = 0.25
"""Relative noise assumed of a ratio seen once."""
SETTLED = math.sqrt(GAIN / (2 - GAIN))
"""Uncertainty of a settled level, in standard deviations of one observation."""
SD_GAIN = 0.05
CLIP = 4.0
"""Standard deviations that one observation may count for in the test."""
HUBER = 2.5
"""Standard deviations that one observation may pull the level by."""
SLACK = 1.0
ALARM = 4.0


class Scale(Enum):
    """On which scale a quantity is followed."""

    RATIO = "ratio"
    COUNT = "count"

    @property
    def prior_sd(self) -> float:
        """The noise assumed of a first observation."""
        # The square root of a Poisson count has a standard deviation of a half.
        return PRIOR_SD if self is Scale.RATIO else 0.5

    @property
    def least_sd(self) -> float:
        """The noise that an observation has at least, however steady it looks."""
        return 0.05 if self is Scale.RATIO else 0.25

    def place_of(self, amount: float) -> float:
        """Return where an amount lies on the scale."""
        return math.log(amount) if self is Scale.RATIO else math.sqrt(amount)

    def amount_at(self, place: float) -> float:
        """Return the amount that lies there."""
        return math.exp(place) if self is Scale.RATIO else place**2


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What is believed of a quantity; `place`, `sd` and `last` are on its scale."""

    scale: Scale
    place: float
    sd: float  # of one observation
    count: int
    last: float
    up: float = 0.0  # evidence that the level has risen
    down: float = 0.0

    @property
    def value(self) -> float:
        """The level itself."""
        return self.scale.amount_at(self.place)

    @property
    def doubt(self) -> float:
        """The relative uncertainty of the level itself, much smaller than the noise of one observation."""
        error = self.sd * SETTLED
        return error if self.scale is Scale.RATIO else 2 * error / max(self.place, self.sd)


def observe(level: Level | None, value: float, scale: Scale = Scale.RATIO) -> Level:
    """Return the level after one more observation of the quantity."""
    new = scale.place_of(value)
    if level is None:
        return Level(scale=scale, place=new, sd=scale.prior_sd, count=1, last=new)
    step = new - level.place
    score = max(-CLIP, min(CLIP, step / level.sd))
    up, down = max(0.0, level.up + score - SLACK), max(0.0, level.down - score - SLACK)
    if _changed(level, score, up, down):
        place = (new + level.last) / 2
        return Level(scale=level.scale, place=place, sd=level.sd, count=2, last=new)
    pull = max(-HUBER * level.sd, min(HUBER * level.sd, step))
    return Level(
        scale=level.scale,
        place=level.place + max(GAIN, 1 / (level.count + 1)) * pull,
        sd=_sd(level, pull, repeated=new == level.last),
        count=level.count + 1,
        last=new,
        up=up,
        down=down,
    )


def restart(value: float, scale: Scale = Scale.RATIO) -> Level:
    """Return the level of a quantity that is known not to be what it was."""
    return observe(None, value, scale)


def average(old: float | None, new: float, gain: float) -> float:
    """Return the plain moving average."""
    return new if old is None else old + gain * (new - old)


def _changed(level: Level, score: float, up: float, down: float) -> bool:
    """Whether the evidence is enough, this and the last observation both being on that side."""
    before = (level.last - level.place) / level.sd
    risen = up > ALARM and min(score, before) > SLACK
    fallen = down > ALARM and max(score, before) < -SLACK
    return risen or fallen


def _sd(level: Level, pull: float, *, repeated: bool) -> float:
    variance = level.sd**2 + SD_GAIN * (pull**2 - level.sd**2)
    if repeated:
        # A reading repeated to the last digit was not measured anew: it makes nothing more certain.
        variance = max(variance, level.sd**2)
    return max(level.scale.least_sd, math.sqrt(variance))
