"""Plans under fire, on real processes: the link collapses, a crowd comes, the edge is killed.

One deployment each, of the image workload: requests at a steady rate, a blow in the middle, and how long
until there is a new plan and nearly all answers are in time again. The rows go into results/scheduler.json.
"""

import asyncio
import json
import os
import random
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tierline.logs import be_quiet
from tierline_broker import Tier
from tierline_replay import (
    Deployment,
    Live,
    Outcome,
    Request,
    Sample,
    World,
    deployment,
    drive,
    poisson,
    read_samples,
    start_scheduler,
)

BLOWS = {"link collapse to a fiftieth": 0.5, "flash crowd x2": 0.0, "edge killed": 0.5}
"""The blows, and the balance of the plans that each meets: where waiting counts, plans rely on link and edge,
and where cloud work does, on the phone, for which a crowd is then too much."""
NOTHING = "nothing"
RATE, DEADLINE, PATIENCE = 1.5, 1.0, 10.0  # on a machine that is quick enough
BUSY = 0.5  # of the phone if it did all by itself, at most
SLACK = 3.5  # the deadline by its time for one sample, at least
CALM, AFTER = 12.0, 20.0  # seconds
WINDOW, ENOUGH = 3.0, 0.95  # attainment is looked at over so many seconds
ROUND = 1.0
RUNS, TRIES = 3, 3
STILL = 0.15  # seconds for which this program itself is not served: what happens then is the machine's doing
WORLD = World(
    name="a phone, an edge twice as slow as the cloud",
    slowdown={Tier.MOBILE: 7.0, Tier.EDGE: 2.0, Tier.CLOUD: 1.0},
    uplink=5e5,
    rtt={Tier.EDGE: 0.01, Tier.CLOUD: 0.03},
)

Row = dict[str, Any]


@dataclass(frozen=True)
class Fared:
    """How a deployment took a blow.

    Attributes:
        rounds: until the next plan; 0 where the one in force served on.
        recovery: seconds until nearly all were in time again; 0 where they always were.
        lost: requests without an outcome, or that failed.
        late: share after the blow.
        calm: share that was late before it.
        degraded: share after the blow.
        left_out: requests that met the machine when it served nobody.
    """

    rounds: float
    recovery: float
    lost: int
    late: float
    calm: float
    degraded: float
    left_out: int


@dataclass(frozen=True)
class Pace:
    """What the machine bears: requests a second, and seconds in which they can be answered come what may."""

    rate: float
    deadline: float


@dataclass(frozen=True)
class Case:
    """What one run meets: a blow, requests, and how nearly all `nearly all` is on this machine."""

    blow: str
    requests: Sequence[Request]
    pace: "Pace"
    enough: float = ENOUGH

    @property
    def struck(self) -> float:
        """When the blow falls: as the first request after the calm comes, so that somebody meets it."""
        return next(one.due for one in self.requests if one.due >= CALM)


def say(line: str) -> None:
    """Tell how it goes."""
    print(line, file=sys.stderr, flush=True)


async def suffer(case: Case, samples: Sequence[Sample]) -> Fared:
    """Run a deployment through one blow."""
    live = Live(tell=say)
    async with deployment("image", WORLD, live) as deployed:
        await warm_up(deployed, samples)
        deadline, balance = case.pace.deadline, BLOWS.get(case.blow, 0.5)
        await start_scheduler(deployed, deadline=deadline, rate=case.pace.rate, balance=balance)
        live.started = asyncio.get_running_loop().time() + 0.5
        async with asyncio.TaskGroup() as tasks:
            still: list[tuple[float, float]] = []
            watch = tasks.create_task(watch_machine(live.started, still), name="machine")
            tasks.create_task(strike(case, deployed, live), name="blow")
            await drive(deployed.client, case.requests, live, entry=Tier.MOBILE.value, patience=PATIENCE)
            watch.cancel()
        found = judge(live, case, still)
        plans = [(round(one.at - case.struck, 2), one.plan.reason[:90]) for one in live.plans]
        say(f"{case.blow}: {found}; deadline {deadline} s; plans {plans}")
        return found


async def warm_up(deployed: Deployment, samples: Sequence[Sample]) -> float:
    """Have every tier answer, so that nobody's first sample counts; return the phone's seconds for one."""
    taken = []
    for sample in samples[:5]:
        for tier in Tier:
            found = await deployed.client.infer(sample.data, deadline=30.0, tier=tier, node=Tier.MOBILE.value)
            if tier is Tier.MOBILE:
                taken.append(sum(step.compute for step in found.steps))
    return sorted(taken)[len(taken) // 2]


async def pace_of(samples: Sequence[Sample]) -> Pace:
    """Return what this machine bears now."""
    async with deployment("image", WORLD, Live(tell=say)) as deployed:
        phone = await warm_up(deployed, samples)
    pace = Pace(rate=min(RATE, BUSY / phone), deadline=round(max(DEADLINE, SLACK * phone), 2))
    say(f"the phone takes {phone:.3f} s for a sample: {pace}")
    return pace


async def watch_machine(started: float, still: list[tuple[float, float]]) -> None:
    """Note when this program, which does next to nothing, was not served, in seconds after the start."""
    loop = asyncio.get_running_loop()
    while True:
        asked = loop.time()
        await asyncio.sleep(0.05)
        if loop.time() - asked > 0.05 + STILL:
            still.append((asked - started, loop.time() - started))


def requests_of(blow: str, samples: Sequence[Sample], rate: float, seed: int) -> list[Request]:
    """Return the requests of a run; in a crowd there are twice as many after the blow."""
    times = list(poisson(round(rate * (CALM + AFTER)), rate, seed))
    if blow.startswith("flash"):
        more = [CALM + at for at in poisson(round(rate * AFTER), rate, seed + 1000)]
        times = sorted(times + more)
    shuffled = random.Random(seed).sample(list(samples), len(samples))
    return [
        Request(index=index, due=due, sample=shuffled[index % len(shuffled)])
        for index, due in enumerate(times)
    ]


async def strike(case: Case, deployed: Deployment, live: Live) -> None:
    """Deal the blow when its time has come."""
    assert live.started is not None
    await asyncio.sleep(live.started + case.struck - asyncio.get_running_loop().time())
    if case.blow.startswith("link"):
        deployed.nodes[Tier.MOBILE].say({"uplink_bytes_per_second": WORLD.uplink / 50})
    if case.blow.startswith("edge"):
        deployed.supervisor.unwatch()
        os.kill(deployed.nodes[Tier.EDGE].pid, signal.SIGKILL)


def judge(live: Live, case: Case, still: Sequence[tuple[float, float]]) -> Fared:
    """Return how the run went after the blow."""
    deadline = case.pace.deadline
    plans = [one.at - case.struck for one in live.plans if one.at >= case.struck]
    fair = [one for one in live.outcomes if not disturbed(one, still)]
    after = [one for one in fair if one.request.due >= case.struck]
    again = recovery(after, case)
    return Fared(
        rounds=plans[0] / ROUND if plans else again / ROUND,
        recovery=again,
        lost=len(case.requests) - sum(one.answered for one in live.outcomes),
        late=late_share(after, deadline),
        calm=late_share([one for one in fair if one.request.due < case.struck], deadline),
        degraded=sum(one.result is not None and one.result.degraded for one in after) / max(1, len(after)),
        left_out=len(live.outcomes) - len(fair),
    )


def disturbed(outcome: Outcome, still: Sequence[tuple[float, float]]) -> bool:
    """Return whether the machine served nobody while a request was under way."""
    due = outcome.request.due
    return any(begin < due + outcome.seconds and end > due for begin, end in still)


def late_share(outcomes: Sequence[Outcome], deadline: float) -> float:
    """Return the share that was not in time."""
    return sum(not in_time(one, deadline) for one in outcomes) / max(1, len(outcomes))


def in_time(outcome: Outcome, deadline: float) -> bool:
    """Return whether a request was answered within the deadline, degraded or not."""
    return outcome.answered and outcome.seconds <= deadline


def recovery(after: Sequence[Outcome], case: Case) -> float:
    """Return the seconds from the blow to the end of the last window in which too many were late."""
    last, at = 0.0, 0.0
    while at + WINDOW <= AFTER:
        inside = [one for one in after if at <= one.request.due - case.struck < at + WINDOW]
        if inside and late_share(inside, case.pace.deadline) > 1 - case.enough:
            last = at + WINDOW
        at += WINDOW / 3
    return last


def rows(found: dict[str, list[Fared]]) -> list[Row]:
    """Return three figures of each blow."""
    made = []
    without = [one.late for one in found.pop(NOTHING)]
    for blow, many in found.items():
        what = (
            ("rounds until a new plan", [one.rounds for one in many], 2.0, "rounds"),
            ("requests without an answer", [float(one.lost) for one in many], 0.0, "requests"),
            ("seconds until 95 % are in time again", [one.recovery for one in many], 10.0, "s"),
        )
        for claim, values, reach, unit in what:
            made.append(
                {
                    "claim": f"live, {blow}: {claim}",
                    "value": sorted(values)[len(values) // 2],
                    "reach": reach,
                    "better": "lower",
                    "unit": unit,
                    "spread": [min(values), max(values)],
                    "runs": len(values),
                    "late": [one.late for one in many],
                    "late_before": [one.calm for one in many],
                    "late_without": without,
                    "degraded": [one.degraded for one in many],
                    "left_out": [one.left_out for one in many],
                }
            )
    return made


async def settled(case: Case, samples: Sequence[Sample]) -> Fared:
    """Run a case, and again where the machine was too busy for it even before the blow."""
    for _ in range(TRIES):
        found = await suffer(case, samples)
        if found.calm <= 1 - ENOUGH:
            break
        say(f"{found.calm:.0%} were late before the blow; that says nothing of it")
    return found


async def measure(*, quick: bool) -> list[Row]:
    """Deal every blow, several times, and find out first how the same requests fare without any."""
    samples = await read_samples("image", count=20, seed=0)
    found: dict[str, list[Fared]] = {}
    pace = await pace_of(samples)
    for seed in range(1 if quick else RUNS):
        requests = requests_of(NOTHING, samples, pace.rate, seed)
        without = await settled(Case(NOTHING, requests, pace), samples)
        for blow in BLOWS:
            requests = requests_of(blow, samples, pace.rate, seed)
            case = Case(blow, requests, pace, ENOUGH * (1 - without.late))
            found.setdefault(blow, []).append(await settled(case, samples))
        found.setdefault(NOTHING, []).append(without)
    return [one | {"rate": pace.rate, "deadline": pace.deadline} for one in rows(found)]


def main() -> int:
    """Measure and print the rows."""
    be_quiet()
    print(json.dumps(asyncio.run(measure(quick="--quick" in sys.argv[1:]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
