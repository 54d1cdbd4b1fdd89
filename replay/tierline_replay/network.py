"""A mahimahi trace as what a message meets on a link, tenth of a second by tenth of a second: pure.

Each line of such a trace is a millisecond at which one packet of 1500 bytes may leave; the trace is repeated
from its end for as long as it is needed (https://github.com/ravinet/mahimahi).
"""

import math
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

from tierline_replay.errors import TraceError
from tierline_replay.files import read_text

WINDOW_SECONDS = 0.1
PACKET_BYTES = 1500
AHEAD = 8
"""Packets that a rate is taken over where a window holds fewer: 12 kB, about one activation."""
LONGEST_MS = 24 * 60 * 60 * 1000
"""Longest trace that is taken: what a later time would stand for is a date, or another unit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What a message meets that is sent now: nothing leaves for `pause` seconds, then this rate."""

    bytes_per_second: float
    pause: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkTrace:
    """A link over time, one window every `WINDOW_SECONDS`, repeated from its end.

    Attributes:
        name: of the file.
        windows: at least one.
        bytes_per_second: mean of the whole trace.
    """

    name: str
    windows: tuple[Window, ...]
    bytes_per_second: float

    def at(self, seconds: float) -> Window:
        """Return the window in force so many seconds after the start."""
        return self.windows[int(seconds / WINDOW_SECONDS + 1e-9) % len(self.windows)]


def read_link_trace(path: Path) -> LinkTrace:
    """Return the mahimahi trace in a file, plain or `.xz`.

    Raises:
        TraceError: it is none.
    """
    return parse_mahimahi(read_text(path), name=path.name)


def parse_mahimahi(text: str, *, name: str) -> LinkTrace:
    """Return the trace that a mahimahi file's text stands for.

    Raises:
        TraceError: the text is no such trace; says which line.
    """
    milliseconds = _numbers(text, name)
    period = milliseconds[-1] / 1000
    times = [value / 1000 for value in milliseconds]
    count = math.ceil(round(period / WINDOW_SECONDS, 6))
    return LinkTrace(
        name=name,
        windows=tuple(_window(times, period, index * WINDOW_SECONDS) for index in range(count)),
        bytes_per_second=len(times) * PACKET_BYTES / period,
    )


def _numbers(text: str, name: str) -> list[int]:
    found: list[int] = []
    for number, line in enumerate(text.split(), 1):
        if not line.isdecimal() or len(line) > 12:
            raise TraceError(
                f"{name}, line {number}: {line[:40]!r} is no millisecond; a mahimahi trace holds one whole"
                " number a line, the time at which one packet may leave"
            )
        found.append(int(line))
        if found[-1] > LONGEST_MS:
            raise TraceError(
                f"{name}, line {number}: {line} ms is more than a day ({LONGEST_MS} ms) into the trace;"
                " count milliseconds from its begin, or cut it shorter"
            )
        if len(found) > 1 and found[-1] < found[-2]:
            raise TraceError(
                f"{name}, line {number}: {line} comes after {found[-2]}; times must not decrease"
            )
    if not found or found[-1] == 0:
        raise TraceError(f"{name} holds no packet after 0 ms; a mahimahi trace needs at least one")
    return found


def _window(times: list[float], period: float, start: float) -> Window:
    """Return what a message meets that is sent at `start`, less than `period` after the trace's begin."""

    def wait(index: int) -> float:
        """Seconds from `start` until the packet with this index may leave."""
        laps, within = divmod(index, len(times))
        return times[within] + laps * period - start

    first = bisect_left(times, start - 1e-9)
    inside = bisect_left(times, start + WINDOW_SECONDS - 1e-9) - first
    if inside >= AHEAD:
        return Window(bytes_per_second=inside * PACKET_BYTES / WINDOW_SECONDS, pause=0.0)
    pause = wait(first) if wait(first) >= WINDOW_SECONDS else 0.0
    seconds = max(wait(first + AHEAD - 1) - pause, 0.001)  # a trace knows no finer time
    return Window(bytes_per_second=AHEAD * PACKET_BYTES / seconds, pause=pause)
