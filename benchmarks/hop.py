"""What a hop costs beside the network: a 25 kB activation to a node and back, and the same over bare aiomqtt.

Three pairs of processes share one broker. In each pair one process sends and waits, the other sends back what
it gets: through Tierline; through aiomqtt alone on two connections, with as many bytes and the same MQTT 5
properties; and through aiomqtt alone as one writes it first, on one connection with default options. They
take turns within each round, so that what else the machine does hits them alike.
"""

import asyncio
import itertools
import json
import logging
import statistics
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import structlog
from _hop_ways import DEADLINE, ECHOES, Trip, trips_bare, trips_tierline

from tierline_broker import running, serve

TRIPS, DEFAULT_TRIPS = 25, 5  # in a row; a default connection takes up to 88 ms for each
ROUNDS, QUICK_ROUNDS = 40, 8
QUIET_SECONDS = 0.02  # between turns, for grants and acknowledgements still under way


async def echo_until_left_alone(name: str, url: str) -> None:
    """Echo until standard input ends, as it does when the process that started us is gone."""
    async with running(ECHOES[name](url), name="echo"):
        await asyncio.to_thread(sys.stdin.buffer.read)


@asynccontextmanager
async def echoing(name: str, url: str) -> AsyncGenerator[None]:
    """Run one echo in a process of its own."""
    command = [sys.executable, str(Path(__file__)), "--echo", name, url]
    process = await asyncio.create_subprocess_exec(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        async with asyncio.timeout(DEADLINE):
            if await process.stdout.readline() != b"ready\n":
                raise SystemExit(f"the {name} echo did not start")
        yield
    finally:
        process.stdin.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(DEADLINE):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def seconds(trip: Trip, trips: int) -> float:
    """Return the median duration of a turn of trips, each starting when the one before is back."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(QUIET_SECONDS)
    taken = []
    for _ in range(trips):
        start = loop.time()
        await trip()
        taken.append(loop.time() - start)
    return statistics.median(taken)


async def measure(rounds: int) -> dict[str, list[float]]:
    """Return each way's median seconds, round by round; the first round is a warm-up and not among them."""
    medians: dict[str, list[float]] = {name: [] for name in ECHOES}
    async with AsyncExitStack() as stack:
        broker = await stack.enter_async_context(serve(kind="mosquitto"))
        for name in ECHOES:
            await stack.enter_async_context(echoing(name, broker.url))
        ours, size = await stack.enter_async_context(trips_tierline(broker.url))
        two = await stack.enter_async_context(trips_bare(broker.url, size, two=True))
        one = await stack.enter_async_context(trips_bare(broker.url, size, two=False))
        trips = {"tierline": (ours, TRIPS), "bare": (two, TRIPS), "default": (one, DEFAULT_TRIPS)}
        orders = itertools.cycle(itertools.permutations(trips))
        for number, order in zip(range(rounds + 1), orders, strict=False):
            for name in order:
                median = await seconds(*trips[name])
                if number > 0:
                    medians[name].append(median)
    return medians


def rows(medians: dict[str, list[float]]) -> list[dict[str, Any]]:
    """Return the figures, as ratios of turns in the same round."""
    return [
        row(
            "round trip of a 25 kB activation through a node, over a bare aiomqtt echo of as many bytes"
            " with the same MQTT 5 properties",
            ("tierline", "bare"),
            medians,
            reach=1.3,
            better="lower",
        ),
        row(
            "the bare echo on one connection with default options, over two connections with TCP_NODELAY",
            ("default", "bare"),
            medians,
            reach=2.0,
            better="higher",
        ),
    ]


def row(
    claim: str, ways: tuple[str, str], medians: dict[str, list[float]], *, reach: float, better: str
) -> dict[str, Any]:
    """Return how much longer the first way takes than the second, round by round, as a row of results."""
    ratios = [one / other for one, other in zip(*(medians[way] for way in ways), strict=True)]
    return {
        "claim": claim,
        "value": statistics.median(ratios),
        "reach": reach,
        "better": better,
        "unit": "times",
        "spread": [min(ratios), max(ratios)],
        "runs": len(ratios),
        "seconds": {way: statistics.median(medians[way]) for way in ways},
    }


def run(*, quick: bool = False) -> list[dict[str, Any]]:
    """Measure and return the rows; stdout is left to whoever prints them."""
    return rows(asyncio.run(measure(QUICK_ROUNDS if quick else ROUNDS)))


def main() -> int:
    """Be an echo, or measure and print the rows."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    if sys.argv[1:2] == ["--echo"]:
        asyncio.run(echo_until_left_alone(*sys.argv[2:4]))
    else:
        print(json.dumps(run(quick="--quick" in sys.argv[1:])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
