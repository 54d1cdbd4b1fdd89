"""Tell a crowd from chance by everybody's counts together, sooner than by those of any one mobile node.

Each count is evidence for `RATIO` times as many requests as usual, or against it, by the ratio of its two
likelihoods, as of a Poisson stream (as wide as counts really scatter). Evidence of all mobile nodes is summed
up while it lasts (Page's test). Once chance does not explain it, and most of them are above their level, all
levels are raised by what has really come.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tierline_scheduler.counting import Count

RATIO = 2.0
ALARM = 6.4
"""Nats. Chance is taken for a crowd about once in ten minutes, twice at twenty slow streams; of twice as many
it is seen after 1.3 s (median) where 20 requests a second are usual, after 1.8 s at 12 and 2.9 s at 6."""
LEAST_RATE, LEAST_REPORTS = 0.2, 10
"""Requests a second, and reports, from which a level is one that can be doubled."""
SHARE = 0.5
"""More than this share of the mobile nodes must be above their level: else it is some of them, no crowd."""
MOST = 8.0
"""Times that a level is raised at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Crowd:
    """The evidence that a crowd has come.

    Attributes:
        score: how much, in nats.
        told: requests that came since the evidence began, those that were to be expected in that time, and in
            how many reports, by mobile node.
    """

    score: float = 0.0
    told: Mapping[str, tuple[float, float, int]] = field(default_factory=dict)

    @property
    def here(self) -> bool:
        """Whether chance does not explain what has come to most of them."""
        above = sum(came > expected for came, expected, _ in self.told.values())
        return self.score > ALARM and len(self.told) > 1 and above > SHARE * len(self.told)

    @property
    def factor(self) -> float:
        """How many times as many requests as usual have come."""
        came, expected = (sum(one[k] for one in self.told.values()) for k in (0, 1))
        return min(MOST, max(1.0, came / max(expected, 1e-9)))


def watch(crowd: Crowd, name: str, level: Count | None, value: float) -> Crowd:
    """Return the evidence after one more count of about a second, from a mobile node at this level."""
    if level is None or not settled(level):
        return crowd
    scatter = max(1.0, level.sd**2 / level.value)
    nats = (value * math.log(RATIO) - level.value * (RATIO - 1)) / scatter
    score = min(2 * ALARM, crowd.score + nats)
    if score <= 0:
        return Crowd()
    came, expected, reports = crowd.told.get(name, (0.0, 0.0, 0))
    told = {**crowd.told, name: (came + value, expected + level.value, reports + 1)}
    return Crowd(score=score, told=told)


def settled(level: Count) -> bool:
    """Return whether so many requests as usual came for so long that twice as many would say something."""
    return level.seen >= LEAST_REPORTS and level.value >= LEAST_RATE


def raised(level: Count, crowd: Crowd) -> Count:
    """Return the level in a crowd; each one's own counts soon say how much of it is there."""
    value = level.value * crowd.factor
    seen = max(reports for _, _, reports in crowd.told.values())
    return Count(value=value, sd=max(level.sd, math.sqrt(value)), seen=1 + seen)
