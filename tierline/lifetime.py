"""Run a coroutine until it ends or we are asked to stop: SIGTERM is as clean as Ctrl-C."""

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

from tierline.errors import FAILED

T = TypeVar("T")

STOP_SECONDS = 1.8  # two seconds are promised


class Stopped(Exception):  # noqa: N818 (not an error: somebody asked us to stop)
    """We were asked to stop before the work was done."""


def run_until_stopped(work: Coroutine[Any, Any, T]) -> T:
    """Run `work` on an event loop of its own.

    The first SIGINT or SIGTERM cancels it; a cleanup that takes longer than two seconds is cut short.

    Raises:
        Stopped: a signal came before the work was done.
    """
    with asyncio.Runner() as runner:
        return runner.run(_until_signal(work))


async def _until_signal(work: Coroutine[Any, Any, T]) -> T:
    asked = False
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 (we are a coroutine that runs)

    def stop() -> None:
        nonlocal asked
        if not asked:
            asked = True
            _insist_later()
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        return await work
    except asyncio.CancelledError:
        if asked:
            raise Stopped from None
        raise


def _insist_later() -> None:
    """End the process where its cleanup hangs; a daemon thread, so that a clean end need not wait for it."""

    def insist() -> None:
        sys.stderr.write(f"tierline: not done {STOP_SECONDS:g} s after being asked to stop: ending anyway\n")
        sys.stderr.flush()
        os._exit(FAILED)

    timer = threading.Timer(STOP_SECONDS, insist)
    timer.daemon = True
    timer.start()
