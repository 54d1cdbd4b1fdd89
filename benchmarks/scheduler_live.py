"""Plans under fire, on real processes: the link collapses, crowds come, the edge is killed.

One deployment each: requests at a steady rate, a blow in the middle, and how long until there is a new plan
and nearly all answers are in time again. One phone and the image workload meet every blow; a crowd, which is
many, also comes to four phones and the text workload, whose plans share an edge that has no room for twice
as many. Then two clients want what the edge has for one. The rows go into results/scheduler.json.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from _live_priority import in_time as in_time_by_priority
from _live_scenes import AFTER, BLOWS, BUSY, ENOUGH, MANY, NOTHING, SLACK, Case, Pace, Scene, requests_of

from tierline.logs import be_quiet
from tierline_broker import Tier
from tierline_replay import (
    Deployment,
    Live,
    Outcome,
    Sample,
    deployment,
    drive,
    read_samples,
    start_scheduler,
)

PATIENCE = 10.0
WINDOW = 3.0  # seconds over which attainment is looked at
ROUND = 1.0
RUNS, TRIES = 3, 3
PRIORITY = "two clients at an edge with room for one"
STILL = 0.15  # seconds for which this program itself is not served: what happens then is the machine's doing

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
        bridged: requests that a phone sent another way than the plan's, before the blow and after, as too
            many waited there.
    """

    rounds: float
    recovery: float
    lost: int
    late: float
    calm: float
    degraded: float
    left_out: int
    bridged: int


def say(line: str) -> None:
    """Tell how it goes."""
    print(line, file=sys.stderr, flush=True)


async def suffer(case: Case, samples: Sequence[Sample]) -> Fared:
    """Run a deployment through one blow."""
    live, pace = Live(tell=say), case.pace
    async with deployment(case.scene.bundle, pace.world, live, phones=case.scene.phones) as deployed:
        await warm_up(deployed, samples)
        deadline, balance = pace.deadline, BLOWS.get(case.blow, (case.scene, 0.5))[1]
        await start_scheduler(deployed, deadline=deadline, rate=pace.rate, balance=balance)
        live.started = asyncio.get_running_loop().time() + 0.5
        async with asyncio.TaskGroup() as tasks:
            still: list[tuple[float, float]] = []
            watch = tasks.create_task(watch_machine(live.started, still), name="machine")
            tasks.create_task(strike(case, deployed, live), name="blow")
            async with asyncio.TaskGroup() as phones:
                for name, requests in zip(deployed.phones, case.requests, strict=True):
                    phones.create_task(
                        drive(deployed.client, requests, live, entry=name, patience=PATIENCE), name=name
                    )
            watch.cancel()
        found = judge(live, case, still)
        plans = [(round(one.at - case.struck, 2), one.plan.node, one.plan.reason[:90]) for one in live.plans]
        say(f"{case.blow}: {found}; deadline {deadline} s; plans {plans}")
        return found


async def warm_up(deployed: Deployment, samples: Sequence[Sample]) -> dict[Tier, float]:
    """Have everybody answer, so that nobody's first sample counts; return each tier's seconds for one."""
    taken: dict[Tier, list[float]] = {tier: [] for tier in Tier}
    for sample in samples[:5]:
        for phone in deployed.phones:
            for tier in Tier:
                found = await deployed.client.infer(sample.data, deadline=30.0, tier=tier, node=phone)
                taken[tier].append(sum(step.compute for step in found.steps))
    return {tier: sorted(seconds)[len(seconds) // 2] for tier, seconds in taken.items()}


async def pace_of(scene: Scene, samples: Sequence[Sample]) -> Pace:
    """Return what this machine bears now."""
    async with deployment(scene.bundle, scene.world, Live(tell=say)) as deployed:
        taken = await warm_up(deployed, samples)
    phone, world = taken[Tier.MOBILE], scene.world
    rate = min(scene.rate, BUSY / phone)
    if scene.full is not None:
        slower = max(1.0, scene.full / (scene.phones * rate) / taken[Tier.CLOUD])
        world = replace(world, slowdown={**world.slowdown, Tier.EDGE: slower})
    pace = Pace(rate=rate, deadline=round(max(scene.deadline, SLACK * phone), 2), world=world)
    say(f"a sample takes { ({str(tier): round(one, 4) for tier, one in taken.items()}) } s: {pace}")
    return pace


async def watch_machine(started: float, still: list[tuple[float, float]]) -> None:
    """Note when this program, which does next to nothing, was not served, in seconds after the start."""
    loop = asyncio.get_running_loop()
    while True:
        asked = loop.time()
        await asyncio.sleep(0.05)
        if loop.time() - asked > 0.05 + STILL:
            still.append((asked - started, loop.time() - started))


async def strike(case: Case, deployed: Deployment, live: Live) -> None:
    """Deal the blow when its time has come."""
    assert live.started is not None
    await asyncio.sleep(live.started + case.struck - asyncio.get_running_loop().time())
    if case.blow.startswith("link"):
        deployed.nodes[Tier.MOBILE].say({"uplink_bytes_per_second": case.scene.uplink / 50})
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
        lost=sum(map(len, case.requests)) - sum(one.answered for one in live.outcomes),
        late=late_share(after, deadline),
        calm=late_share([one for one in fair if one.request.due < case.struck], deadline),
        degraded=sum(one.result is not None and one.result.degraded for one in after) / max(1, len(after)),
        left_out=len(live.outcomes) - len(fair),
        bridged=sum(one.notes.get("too-busy", 0) for one in live.telemetry.values()),
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


def rows(blow: str, many: Sequence[Fared], without: Fared, pace: Pace) -> list[Row]:
    """Return three figures of a blow."""
    what = (
        ("rounds until a new plan", [one.rounds for one in many], 2.0, "rounds"),
        ("requests without an answer", [float(one.lost) for one in many], 0.0, "requests"),
        ("seconds until 95 % are in time again", [one.recovery for one in many], 10.0, "s"),
    )
    told = {
        "late": [one.late for one in many],
        "late_before": [one.calm for one in many],
        "late_without": without.late,
        "degraded": [one.degraded for one in many],
        "left_out": [one.left_out for one in many],
        "bridged": [one.bridged for one in many],
        "bridged_without": without.bridged,
        "rate": pace.rate,
        "deadline": pace.deadline,
    }
    return [
        {
            "claim": f"live, {blow}: {claim}",
            "value": sorted(values)[len(values) // 2],
            "reach": reach,
            "better": "lower",
            "unit": unit,
            "spread": [min(values), max(values)],
            "runs": len(values),
        }
        | told
        for claim, values, reach, unit in what
    ]


async def settled(case: Case, samples: Sequence[Sample]) -> Fared:
    """Run a case, and again where the machine was too busy for it even before the blow."""
    for _ in range(TRIES):
        found = await suffer(case, samples)
        if found.calm <= 1 - ENOUGH:
            break
        say(f"{found.calm:.0%} were late before the blow; that says nothing of it")
    return found


async def measure(*, quick: bool, only: str = "") -> list[Row]:
    """Deal every blow, several times."""
    made: list[Row] = []
    for scene in dict.fromkeys(scene for blow, (scene, _) in BLOWS.items() if only in blow):
        blows = [blow for blow, (whom, _) in BLOWS.items() if whom == scene and only in blow]
        made += await measured(scene, blows, runs=1 if quick else RUNS)
    return made + (await by_priority() if only in PRIORITY else [])


async def by_priority() -> list[Row]:
    """Have two clients want what an edge has for one, each being the important one once."""
    samples = await read_samples(MANY.bundle, count=5, seed=0)
    async with deployment(MANY.bundle, MANY.world, Live(tell=say)) as deployed:
        taken = await warm_up(deployed, samples)
    shares = await in_time_by_priority(taken[Tier.CLOUD], say)
    most = [important for important, _ in shares]
    return [
        {
            "claim": f"live, {PRIORITY}: share in time of the more important, whichever it is",
            "value": min(most),
            "reach": ENOUGH,
            "better": "higher",
            "unit": "of its requests",
            "spread": [min(most), max(most)],
            "runs": len(most),
            "of_the_other": [other for _, other in shares],
        }
    ]


async def measured(scene: Scene, blows: Sequence[str], *, runs: int) -> list[Row]:
    """Deal blows to one scene, having found out how the same requests fare without any."""
    samples = await read_samples(scene.bundle, count=20 * scene.phones, seed=0)
    pace = await pace_of(scene, samples)

    def case(blow: str, seed: int, enough: float = ENOUGH) -> Case:
        return Case(blow, scene, requests_of(blow, scene, samples, pace.rate, seed), pace, enough)

    without = await settled(case(NOTHING, 0), samples)
    made: list[Row] = []
    for blow in blows:
        cases = [case(blow, seed, ENOUGH * (1 - without.late)) for seed in range(runs)]
        made += rows(blow, [await settled(one, samples) for one in cases], without, pace)
    return made


def main() -> int:
    """Measure and print the rows."""
    be_quiet()
    named = [word for word in sys.argv[1:] if not word.startswith("-")]
    print(json.dumps(asyncio.run(measure(quick="--quick" in sys.argv[1:], only=" ".join(named)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
