"""Follow a noisy quantity: slowly while it is steady, at once when it has really changed.

A slow moving average gives a level that 25 % of noise moves by 4 %; Page's cumulative sum test notices a
real change (a tenfold collapse in two observations) and restarts the average there. One outlier, however
wild, does neither. Everything is followed as a logarithm, in which the noise does not depend on the level.
"""

import math
from dataclasses import dataclass, replace

GAIN = 0.05
"""Weight of a new observation once the level is settled."""
PRIOR_SD = 0.25
"""Relative noise assumed of a ratio seen once."""
LEAST_SD = 0.05
"""The noise that an observation has at least, however steady it looks."""
SETTLED = math.sqrt(GAIN / (2 - GAIN))
"""Uncertainty of a settled level, in standard deviations of one observation."""
SD_GAIN = 0.05
MOVEMENT_GAIN = 1 / 60
"""Weight of the level's newest move in what is known of how it moves: a minute of reports a second apart."""
CLIP = 4.0
"""Standard deviations that one observation may count for in the test."""
HUBER = 2.5
"""Standard deviations that one observation may pull the level by."""
SLACK = 1.0
ALARM = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """What is believed of a quantity; `place`, `sd` and `last` are logarithms."""

    place: float
    sd: float  # of one observation
    count: int
    last: float
    up: float = 0.0  # evidence that the level has risen
    down: float = 0.0
    movement: float = 0.0  # variance that each further observation adds to where the level will be

    @property
    def value(self) -> float:
        """The level itself."""
        return math.exp(self.place)

    @property
    def doubt(self) -> float:
        """The relative uncertainty of the level itself, much smaller than the noise of one observation."""
        return self.sd * SETTLED

    def lowered(self, deviations: float) -> "Level":
        """Return it as low as it may well be; of few observations it is known less well than later."""
        return replace(
            self, place=self.place - deviations * self.sd * max(SETTLED, 1 / math.sqrt(self.count))
        )


def observe(level: Level | None, value: float) -> Level:
    """Return the level after one more observation of the quantity."""
    new = math.log(value)
    if level is None:
        return Level(place=new, sd=PRIOR_SD, count=1, last=new)
    step = new - level.place
    score = max(-CLIP, min(CLIP, step / level.sd))
    up, down = max(0.0, level.up + score - SLACK), max(0.0, level.down - score - SLACK)
    if _changed(level, score, up, down):
        place = (new + level.last) / 2
        return Level(place=place, sd=level.sd, count=2, last=new, movement=_movement(level, place))
    pull = max(-HUBER * level.sd, min(HUBER * level.sd, step))
    place = level.place + max(GAIN, 1 / (level.count + 1)) * pull
    return Level(
        place=place,
        sd=_sd(level, pull, repeated=new == level.last),
        count=level.count + 1,
        last=new,
        up=up,
        down=down,
        movement=_movement(level, place),
    )


def restart(value: float) -> Level:
    """Return the level of a quantity that is known not to be what it was."""
    return observe(None, value)


def average(old: float | None, new: float, gain: float) -> float:
    """Return the plain moving average."""
    return new if old is None else old + gain * (new - old)


def _changed(level: Level, score: float, up: float, down: float) -> bool:
    """Whether the evidence is enough, this and the last observation both being on that side."""
    before = (level.last - level.place) / level.sd
    risen = up > ALARM and min(score, before) > SLACK
    fallen = down > ALARM and max(score, before) < -SLACK
    return risen or fallen


def _movement(level: Level, place: float) -> float:
    """Return the mean square of the level's moves: next to nothing where all that scatters is noise."""
    return level.movement + MOVEMENT_GAIN * ((place - level.place) ** 2 - level.movement)


def _sd(level: Level, pull: float, *, repeated: bool) -> float:
    variance = level.sd**2 + SD_GAIN * (pull**2 - level.sd**2)
    if repeated:
        # A reading repeated to the last digit was not measured anew: it makes nothing more certain.
        variance = max(variance, level.sd**2)
    return max(LEAST_SD, math.sqrt(variance))
