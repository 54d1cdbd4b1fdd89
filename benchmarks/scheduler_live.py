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

BLOWS = ("link collapse to a fiftieth", "flash crowd x2", "edge killed")
RATE, DEADLINE, PATIENCE = 1.5, 1.0, 10.0
CALM, AFTER = 12.0, 25.0  # seconds
WINDOW, ENOUGH = 3.0, 0.95  # attainment is looked at over so many seconds
ROUND = 1.0
RUNS = 1
WORLD = World(
    name="a phone, an edge twice as slow as the cloud",
    slowdown={Tier.MOBILE: 7.0, Tier.EDGE: 2.0, Tier.CLOUD: 1.0},
    uplink=2.5e6,
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
    """

    rounds: float
    recovery: float
    lost: int
    late: float


def say(line: str) -> None:
    """Tell how it goes."""
    print(line, file=sys.stderr, flush=True)


async def suffer(blow: str, samples: Sequence[Sample], seed: int) -> Fared:
    """Run a deployment through one blow."""
    live = Live(tell=say)
    async with deployment("image", WORLD, live) as deployed:
        await warm_up(deployed, samples)
        await start_scheduler(deployed, deadline=DEADLINE, rate=RATE)
        live.started = asyncio.get_running_loop().time() + 0.5
        requests = requests_of(blow, samples, seed)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(strike(blow, deployed, live), name="blow")
            await drive(deployed.client, requests, live, entry=Tier.MOBILE.value, patience=PATIENCE)
        found = judge(live, len(requests))
        say(f"{blow}: {found}; plans {[(round(p.at - CALM, 2), p.plan.reason[:90]) for p in live.plans]}")
        return found


async def warm_up(deployed: Deployment, samples: Sequence[Sample]) -> None:
    """Have every tier answer, so that nobody's first sample counts."""
    for sample in samples[:3]:
        for tier in Tier:
            await deployed.client.infer(sample.data, deadline=30.0, tier=tier, node=Tier.MOBILE.value)


def requests_of(blow: str, samples: Sequence[Sample], seed: int) -> list[Request]:
    """Return the requests of a run; in a crowd there are twice as many after the blow."""
    times = list(poisson(round(RATE * (CALM + AFTER)), RATE, seed))
    if blow.startswith("flash"):
        more = [CALM + at for at in poisson(round(RATE * AFTER), RATE, seed + 1000)]
        times = sorted(times + more)
    shuffled = random.Random(seed).sample(list(samples), len(samples))
    return [
        Request(index=index, due=due, sample=shuffled[index % len(shuffled)])
        for index, due in enumerate(times)
    ]


async def strike(blow: str, deployed: Deployment, live: Live) -> None:
    """Deal the blow when its time has come."""
    assert live.started is not None
    await asyncio.sleep(live.started + CALM - asyncio.get_running_loop().time())
    if blow.startswith("link"):
        deployed.nodes[Tier.MOBILE].say({"uplink_bytes_per_second": WORLD.uplink / 50})
    if blow.startswith("edge"):
        deployed.supervisor.unwatch()
        os.kill(deployed.nodes[Tier.EDGE].pid, signal.SIGKILL)


def judge(live: Live, requests: int) -> Fared:
    """Return how the run went after the blow."""
    plans = [one.at - CALM for one in live.plans if one.at >= CALM]
    after = [one for one in live.outcomes if one.request.due >= CALM]
    bad = [one.request.due - CALM for one in after if not in_time(one)]
    answered = sum(one.answered for one in live.outcomes)
    return Fared(
        rounds=plans[0] / ROUND if plans else 0.0,
        recovery=recovery(after),
        lost=requests - answered,
        late=len(bad) / len(after),
    )


def in_time(outcome: Outcome) -> bool:
    """Return whether a request was answered within the deadline, degraded or not."""
    return outcome.answered and outcome.seconds <= DEADLINE


def recovery(after: Sequence[Outcome]) -> float:
    """Return the seconds from the blow to the end of the last window in which too many were late."""
    last, at = 0.0, 0.0
    while at + WINDOW <= AFTER:
        inside = [one for one in after if at <= one.request.due - CALM < at + WINDOW]
        if inside and sum(map(in_time, inside)) < ENOUGH * len(inside):
            last = at + WINDOW
        at += WINDOW / 3
    return last


def rows(found: dict[str, list[Fared]]) -> list[Row]:
    """Return three figures of each blow."""
    made = []
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
                }
            )
    return made


async def measure(*, quick: bool) -> list[Row]:
    """Deal every blow, several times."""
    samples = await read_samples("image", count=20, seed=0)
    found: dict[str, list[Fared]] = {}
    for seed in range(1 if quick else RUNS):
        for blow in BLOWS:
            found.setdefault(blow, []).append(await suffer(blow, samples, seed))
    return rows(found)


def main() -> int:
    """Measure and print the rows."""
    be_quiet()
    print(json.dumps(asyncio.run(measure(quick="--quick" in sys.argv[1:]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
