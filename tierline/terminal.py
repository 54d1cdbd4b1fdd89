"""Telling people: tables on stdout, and on a terminal the progress of waits over a second on stderr."""

import sys
import threading
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
    """Show how much of `total` is done, once the wait is long enough; yields what to call after each.

    It draws itself only as it is told of progress, so that it takes no time from what is being timed.
    """
    bar = Progress(
        TextColumn(about),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        auto_refresh=False,
    )
    task = bar.add_task(about, total=total)
    timer = threading.Timer(_PATIENCE_SECONDS, bar.start)  # there need not be an event loop
    timer.daemon = True
    if bar.console.is_terminal:
        timer.start()
    try:
        yield lambda: bar.update(task, advance=1, refresh=bar.live.is_started)
    finally:
        timer.cancel()
        if timer.ident is not None:
            timer.join()
        if bar.live.is_started:
            bar.stop()
