"""One worker thread in which all model work of a node runs, so that the event loop only moves messages."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

from tierline_nodes.emulation import Conditions
from tierline_nodes.errors import SampleError
from tierline_nodes.stopwatch import Stopwatch

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran(Generic[T]):
    """A finished piece of work: what it returned, its seconds in the queue, how slow the device then was.

    The queue is the wait for the thread, and then for the loop to take what the thread has done.
    """

    value: T
    queue: float
    slowdown: float


class Compute:
    """The worker thread with its bounded queue; enter it with `compute_thread`."""

    def __init__(self, pool: ThreadPoolExecutor, conditions: Conditions, limit: int) -> None:
        self._pool = pool
        self._conditions = conditions
        self._limit = limit
        self.depth = 0
        self.busy = 0.0  # seconds in the thread since the start, emulated slowness included

    async def run(self, work: Callable[[], T], *, emulate: bool = True) -> Ran[T]:
        """Run `work` in the thread, as slowly as the emulated device would unless `emulate` is off.

        Raises:
            SampleError: code `overloaded`, the queue is full.
        """
        if self.depth >= self._limit:
            raise SampleError(
                "overloaded", f"{self._limit} samples are waiting on this node; send fewer or add a node"
            )
        self.depth += 1
        try:
            job = partial(self._timed, work, time.monotonic(), emulate)
            ran, ended = await asyncio.get_running_loop().run_in_executor(self._pool, job)
            return replace(ran, queue=ran.queue + time.monotonic() - ended)
        finally:
            self.depth -= 1

    def _timed(self, work: Callable[[], T], submitted: float, emulate: bool) -> tuple[Ran[T], float]:
        start, watch = time.monotonic(), Stopwatch()
        slowdown = self._conditions.slowdown if emulate else 1.0
        try:
            value = work()
        finally:
            spent = watch.lap()
            time.sleep(spent.slowed(slowdown) - spent.wall)
            self.busy += time.monotonic() - start
        return Ran(value=value, queue=start - submitted, slowdown=slowdown), time.monotonic()


@asynccontextmanager
async def compute_thread(conditions: Conditions, *, limit: int = 256) -> AsyncGenerator[Compute]:
    """Run one worker thread; at the end what has not begun is dropped."""
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compute")
    try:
        yield Compute(pool, conditions, limit)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
