"""The main job: nothing lost under load, cloud work saved, and where the time of a request goes.

Three deployments of real processes, one after the other: 2,000 requests with 32 in flight; the demo, with its
emulated devices and links and all-cloud in the same run; and one request after the other through all three
tiers, every message stamped with the clock that the processes of one host share.
"""

import asyncio
import json
import statistics
import sys
from collections.abc import Sequence
from typing import Any

from tierline.logs import be_quiet
from tierline_broker import PLAN, Plan, Pool, Route, Stage, Tier
from tierline_replay import (
    Deployment,
    Live,
    Outcome,
    Request,
    Scenario,
    World,
    deployment,
    drive,
    read_samples,
    run,
    start_scheduler,
    summarise,
)

REQUESTS, QUICK_REQUESTS = 2000, 200
IN_FLIGHT = 32
TRIPS, QUICK_TRIPS = 300, 60
SEEDS, QUICK_SEEDS = (0, 1, 2), (0,)
PATIENCE = 30.0
DEADLINE, RATE = 0.5, 20.0
WARM_UP = 20
CODEC = "int8-lz4"

BARE = World(
    name="this machine as it is",
    slowdown=dict.fromkeys(Tier, 1.0),
    uplink=1e9,
    rtt={Tier.EDGE: 0.0, Tier.CLOUD: 0.0},
)

Row = dict[str, Any]


def say(line: str) -> None:
    """Tell how it goes."""
    print(line, file=sys.stderr, flush=True)


# -- nothing lost --------------------------------------------------------------------------------------------


async def load(requests: int) -> list[Row]:
    """Send requests as fast as they are answered, `IN_FLIGHT` at a time."""
    samples = await read_samples("text", count=requests, seed=0)
    live = Live(tell=say)
    async with deployment("text", BARE, live) as deployed:
        await start_scheduler(deployed, deadline=DEADLINE, rate=RATE)
        await drive(
            deployed.client,
            [
                Request(index=index, due=0.0, sample=samples[index % len(samples)])
                for index in range(requests)
            ],
            live,
            entry="mobile",
            patience=PATIENCE,
            in_flight=IN_FLIGHT,
        )
        duplicates = deployed.client.counters["duplicates"]
    return load_rows(live.outcomes, requests, duplicates)


def load_rows(outcomes: Sequence[Outcome], requests: int, duplicates: int) -> list[Row]:
    """Return the figures of a load."""
    found = summarise(outcomes, requests=requests, deadline=PATIENCE, duplicates=duplicates, plans=0, seed=0)
    seconds = max(one.request.due + one.seconds for one in outcomes)
    what = f"of {requests:,} requests with {IN_FLIGHT} in flight"
    more = {"tier_share": found.tier_share, "requests_per_second": requests / seconds}
    return [
        row(f"lost, {what}", [found.lost], reach=0, better="lower", unit="requests", **more),
        row(f"duplicates, {what}", [found.duplicates], reach=0, better="lower", unit="results", **more),
        row(
            f"answered, {what}",
            [found.answered / requests],
            reach=0.99,
            better="higher",
            unit="share",
            **more,
        ),
    ]


# -- what is saved -------------------------------------------------------------------------------------------


async def save(seeds: Sequence[int]) -> list[Row]:
    """Run the demo once for each seed."""
    return saved_rows([(await run(Scenario(seed=seed), Live(tell=say))).document for seed in seeds])


def saved_rows(documents: Sequence[Any]) -> list[Row]:
    """Return what the demo's summaries say, against all-cloud in the same runs."""
    return [
        row(
            "cloud work that the demo saves, of the cloud work of all-cloud in the same run",
            [found["cloud_work_saved"] for found in documents],
            reach=0.0,
            better="higher",
            unit="share",
        ),
        row(
            "accuracy that the demo gives up against all-cloud in the same run",
            [found["accuracy_all_cloud"] - found["accuracy"] for found in documents],
            reach=0.02,
            better="lower",
            unit="share",
        ),
        row(
            "lost or duplicated in the demo, while its link and edge get worse and better",
            [found["lost"] + found["duplicates"] for found in documents],
            reach=0,
            better="lower",
            unit="requests",
        ),
    ]


# -- where the time goes -------------------------------------------------------------------------------------


async def account(trips: int) -> list[Row]:
    """Send one request after the other through all three tiers and add up what every hop took."""
    samples = await read_samples("text", count=trips + WARM_UP, seed=0)
    live = Live(tell=say)
    async with deployment("text", BARE, live, bench_clock=True) as deployed:
        await retain_plan(deployed, live)
        for index, sample in enumerate(samples):
            await drive(
                deployed.client,
                [Request(index=index, due=0.0, sample=sample)],
                live,
                entry="mobile",
                patience=PATIENCE,
            )
            live.started = None
    return [account_row(live.outcomes[WARM_UP:])]


async def retain_plan(deployed: Deployment, live: Live) -> None:
    """Put a plan into force by which every sample passes all three tiers, and wait until it is taken."""
    exits = live.profiles["mobile"].model.exits
    stages = tuple(
        Stage(tier=tier, node=tier.value, layer=layer, codec="input" if tier is Tier.MOBILE else CODEC)
        for tier, layer in zip(Tier, (exits[0], exits[1], exits[-1]), strict=True)
    )
    plan = Plan(
        node="mobile",
        model=live.profiles["mobile"].model.digest,
        version=1,
        route=Route(stages=stages, tiers=dict.fromkeys(Pool, Tier.CLOUD)),
    )
    await deployed.client.session.retain(PLAN, "mobile", plan)
    await deployed.planned.wait()


def parts(outcome: Outcome) -> dict[str, float]:
    """Return the seconds of a request by what they went to, hop by hop, the way back last."""
    found = {}
    for step in outcome.steps:
        for what in ("wire", "queue", "decode", "compute", "encode"):
            found[f"{step.tier} {what}"] = getattr(step, what) or 0.0
    return found | {"result wire": outcome.returned or 0.0}


def account_row(outcomes: Sequence[Outcome]) -> Row:
    """Return how much of a request's time is not explained by its parts, and the parts' medians."""
    through = [one for one in outcomes if one.answered and len(one.steps) == len(Tier)]
    assert len(through) > 0.9 * len(outcomes), "hardly any request passed all three tiers"
    table = [parts(one) for one in through]
    unexplained = [
        abs(1 - sum(found.values()) / one.seconds) for one, found in zip(through, table, strict=True)
    ]
    medians = {name: statistics.median(found[name] for found in table) for name in table[0]}
    total = statistics.median(one.seconds for one in through)
    return row(
        "time of a request through three tiers that compute, encode, queue, wire and decode do not explain",
        unexplained,
        reach=0.05,
        better="lower",
        unit="share",
        seconds=medians | {"total": total},
    )


def row(claim: str, values: Sequence[float], *, reach: float, better: str, unit: str, **more: Any) -> Row:
    """Return one row of results."""
    return {
        "claim": claim,
        "value": statistics.median(values),
        "reach": reach,
        "better": better,
        "unit": unit,
        "spread": [min(values), max(values)],
        "runs": len(values),
        **more,
    }


async def measure(*, quick: bool) -> list[Row]:
    """Run everything and return the rows."""
    rows = await account(QUICK_TRIPS if quick else TRIPS)
    rows += await load(QUICK_REQUESTS if quick else REQUESTS)
    return rows + await save(QUICK_SEEDS if quick else SEEDS)


def main() -> int:
    """Measure and print the rows."""
    be_quiet()
    print(json.dumps(asyncio.run(measure(quick="--quick" in sys.argv[1:]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
