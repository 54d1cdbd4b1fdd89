"""Sends requests at their times, never more than a bound in flight, and notes how each one ends."""

import asyncio
import math
import time
from collections.abc import Sequence

from tierline_broker import Client, Tally, Tier
from tierline_replay.live import Live
from tierline_replay.outcome import Outcome, Request

IN_FLIGHT = 32
_GRACE_SECONDS = 5.0  # the client promises an outcome within less; without one by then, a request is lost


async def drive(
    client: Client,
    requests: Sequence[Request],
    live: Live,
    *,
    entry: str,
    patience: float,
    in_flight: int = IN_FLIGHT,
    tally: Tally | None = None,
) -> None:
    """Send all requests and return when each has ended; outcomes go to `live`.

    Args:
        client: through which.
        requests: in order of time.
        live: its `started` is when the first is due; every outcome goes there.
        entry: the node that all enter at.
        patience: seconds after which a request is given up by the deployment.
        in_flight: a request that would be one more waits, and its waiting counts as latency.
        tally: of how many are late, for the scheduler; those that are all in the cloud follow no plan.
    """
    loop = asyncio.get_running_loop()
    start = live.started = loop.time() if live.started is None else live.started
    slots = asyncio.Semaphore(in_flight)
    async with asyncio.TaskGroup() as tasks:
        for request in requests:
            await asyncio.sleep(max(0.0, start + request.due - loop.time()))
            await slots.acquire()
            task = tasks.create_task(
                _send(client, request, live, entry, patience, tally), name=f"request-{request.index}"
            )
            task.add_done_callback(lambda _: slots.release())


async def _send(
    client: Client, request: Request, live: Live, entry: str, patience: float, tally: Tally | None
) -> None:
    loop = asyncio.get_running_loop()
    start = live.started or 0.0
    sent = loop.time()
    tier = Tier.CLOUD if request.all_cloud else None
    try:
        async with asyncio.timeout(patience + _GRACE_SECONDS):
            result = await client.infer(request.sample.data, deadline=patience, tier=tier, node=entry)
    except TimeoutError:
        result = None
    if tally is not None and tier is None:
        answered = result is not None and result.answer is not None
        tally.add(entry, loop.time() - sent if answered else math.inf)
    clock = None if result is None else result.sent_clock
    live.outcomes.append(
        Outcome(
            request=request,
            sent=sent - start,
            seconds=loop.time() - start - request.due,
            result=result,
            returned=None if clock is None else time.monotonic() - clock,
        )
    )
