"""What blows meet in `scheduler_live.py`: who is there, what the machine bears, and the requests."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from tierline_broker import Tier
from tierline_replay import Request, Sample, World, poisson

NOTHING = "nothing"
BUSY = 0.5  # of the phone if it did all by itself, at most
SLACK = 3.5  # the deadline by its time for one sample, at least
CALM, AFTER = 13.0, 15.0  # seconds
ENOUGH = 0.95


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a blow meets.

    Attributes:
        bundle: the workload.
        phones: how many share the edge.
        rate: requests a second at each of them, at most.
        full: share of its time that the edge is busy if it does all blocks of all samples; None: as it comes.
        uplink: bytes per second of each phone.
        deadline: seconds, on a machine that is quick enough.
    """

    bundle: str = "image"
    phones: int = 1
    rate: float = 1.5
    full: float | None = None
    uplink: float = 5e5
    deadline: float = 1.0

    @property
    def world(self) -> World:
        """The conditions to begin with."""
        return World(
            name=f"{self.phones} phone(s), an edge twice as slow as the cloud",
            slowdown={Tier.MOBILE: 7.0, Tier.EDGE: 2.0, Tier.CLOUD: 1.0},
            uplink=self.uplink,
            rtt={Tier.EDGE: 0.01, Tier.CLOUD: 0.03},
        )


ONE = Scene()
MANY = Scene(bundle="text", phones=4, rate=5.0, full=3.0, deadline=0.5)
BLOWS = {
    "link collapse to a fiftieth": (ONE, 0.5),
    "flash crowd x2 at one phone": (ONE, 0.0),
    "edge killed": (ONE, 0.5),
    "flash crowd x2 at four phones": (MANY, 0.5),
}
"""The blows, whom they meet, and the balance of the plans that each meets: where waiting counts, plans rely
on link and edge, and where cloud work does, on one phone with room for all blocks, for which a crowd is then
too much."""


@dataclass(frozen=True)
class Pace:
    """What the machine bears.

    Attributes:
        rate: requests a second at each phone.
        deadline: seconds in which they can be answered come what may.
        world: the conditions.
    """

    rate: float
    deadline: float
    world: World


@dataclass(frozen=True)
class Case:
    """What one run meets: a blow, requests, and how nearly all `nearly all` is on this machine."""

    blow: str
    scene: Scene
    requests: Sequence[Sequence[Request]]  # of each phone
    pace: Pace
    enough: float = ENOUGH

    @property
    def struck(self) -> float:
        """When the blow falls: as the first request after the calm comes, so that somebody meets it."""
        return min(one.due for many in self.requests for one in many if one.due >= CALM)


def requests_of(
    blow: str, scene: Scene, samples: Sequence[Sample], rate: float, seed: int
) -> list[list[Request]]:
    """Return the requests of a run, phone by phone; in a crowd there are twice as many after the blow."""
    return [requests_at(blow, samples, rate, 100 * phone + seed) for phone in range(scene.phones)]


def requests_at(blow: str, samples: Sequence[Sample], rate: float, seed: int) -> list[Request]:
    """Return those of one phone."""
    times = list(poisson(round(rate * (CALM + AFTER)), rate, seed))
    if blow.startswith("flash"):
        more = [CALM + at for at in poisson(round(rate * AFTER), rate, seed + 1000)]
        times = sorted(times + more)
    shuffled = random.Random(seed).sample(list(samples), len(samples))
    return [
        Request(index=index, due=due, sample=shuffled[index % len(shuffled)])
        for index, due in enumerate(times)
    ]
