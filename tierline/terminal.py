"""Telling people: tables on stdout, and on a terminal the progress of waits over a second on stderr."""

import asyncio
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

_PATIENCE_SECONDS = 1.0
_PIPED_WIDTH = 160


def console() -> Console:
    """Return stdout for tables: as wide as the terminal, or wide enough for whoever reads a pipe."""
    found = Console()
    return found if found.is_terminal else Console(width=_PIPED_WIDTH)


def note(sentence: str) -> None:
    """Say on stderr what people should know, and programs that read stdout need not."""
    print(f"tierline: {sentence}", file=sys.stderr)


@contextmanager
def progress(about: str, total: int) -> Generator[Callable[[], None]]:
    """Show how much of `total` is done, once the wait is long enough; yields what to call after each."""
    bar = Progress(
        TextColumn(about),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task(about, total=total)
    timer = None
    if bar.console.is_terminal:
        timer = asyncio.get_running_loop().call_later(_PATIENCE_SECONDS, bar.start)
    try:
        yield lambda: bar.advance(task)
    finally:
        if timer is not None:
            timer.cancel()
        if bar.live.is_started:
            bar.stop()
