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
    with _shown_late(bar.console, bar.start, bar.stop):
        yield lambda: bar.update(task, advance=1, refresh=bar.live.is_started)


@contextmanager
def waiting(about: str) -> Generator[None]:
    """Show that work is under way, once the wait is long enough, where nobody can tell how much is left."""
    status = Console(stderr=True).status(about)
    with _shown_late(status.console, status.start, status.stop):
        yield


@contextmanager
def _shown_late(terminal: Console, start: Callable[[], None], stop: Callable[[], None]) -> Generator[None]:
    """Start showing after a moment, if a person looks at it; there need not be an event loop."""
    shown = threading.Event()

    def show() -> None:
        start()
        shown.set()

    timer = threading.Timer(_PATIENCE_SECONDS, show)
    timer.daemon = True
    if terminal.is_terminal:
        timer.start()
    try:
        yield
    finally:
        timer.cancel()
        if timer.ident is not None:
            timer.join()
        if shown.is_set():
            stop()
