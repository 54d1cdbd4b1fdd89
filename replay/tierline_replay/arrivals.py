"""When requests come: from a file, or drawn by a seed; pure. Times are seconds from the first request."""

import csv
import math
import random
from collections.abc import Iterator
from pathlib import Path

from tierline_replay.errors import TraceError
from tierline_replay.files import read_text

COLUMN = "arrival_s"
_MOST = 10_000_000  # requests in one file


def poisson(count: int, rate: float, seed: int) -> tuple[float, ...]:
    """Return `count` times with exponential gaps, `rate` a second on average, from 0 on."""
    draw = random.Random(seed)
    times, now = [], 0.0
    for _ in range(count):
        times.append(now)
        now += draw.expovariate(rate)
    return tuple(times)


def stretched(times: tuple[float, ...], seconds: float) -> tuple[float, ...]:
    """Return the same pattern of times, the last one `seconds` after the first."""
    longest = times[-1] if times else 0.0
    return tuple(time * seconds / longest for time in times) if longest > 0 else times


def read_arrivals(path: Path, *, count: int, seed: int) -> tuple[float, ...]:
    """Return the first `count` times of a file, plain or `.xz`.

    Args:
        path: csv with a column `arrival_s`, or a whole number a line, the requests of each second.
        count: at most so many.
        seed: of where in its second a request comes, in a file of counts.

    Raises:
        TraceError: it is neither.
    """
    return parse_arrivals(read_text(path), name=path.name, count=count, seed=seed)


def parse_arrivals(text: str, *, name: str, count: int, seed: int) -> tuple[float, ...]:
    """Return the first `count` times that the text stands for; see `read_arrivals`."""
    lines = text.splitlines()
    head = lines[0] if lines else ""
    named = COLUMN in next(csv.reader([head]), [])
    times = _by_time(lines, name) if named else _by_count(lines, name, count, seed)
    first = sorted(times)[:count]
    if not first:
        raise TraceError(f"{name} holds no request; write times under {COLUMN}, or counts, one a second")
    return tuple(time - first[0] for time in first)


def _by_time(lines: list[str], name: str) -> Iterator[float]:
    for number, row in enumerate(csv.DictReader(lines), 2):
        text = row[COLUMN] or ""
        seconds = _float(text)
        if not math.isfinite(seconds) or seconds < 0:
            raise TraceError(f"{name}, line {number}: {text[:40]!r} is no time in seconds")
        yield seconds


def _by_count(lines: list[str], name: str, count: int, seed: int) -> Iterator[float]:
    draw = random.Random(seed)
    found = 0
    for second, line in enumerate(lines):
        text = line.strip()
        if not text.isdecimal() or int(text[:12]) > _MOST:
            raise TraceError(
                f"{name}, line {second + 1}: {text[:40]!r} is no count of requests; an arrivals file is a csv"
                f" with a column {COLUMN} (seconds), or one whole number a line, the requests of each second"
            )
        for _ in range(int(text)):
            yield second + draw.random()
        found += int(text)
        if found >= count:
            return


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
