"""What a link is like, estimated from real traffic, pure: seconds = rtt + bytes / rate.

The latest small messages tell the round trip, the latest sizeable ones the rate. Both are medians weighted by
age: one hiccup moves nothing, and a link that has changed is followed after five messages of each kind.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

SIZEABLE_BYTES = 4096
"""Messages from this size on say something about the rate, smaller ones about the round trip."""

_KEPT = 16  # observations of each kind; the oldest weighs an eighth of the newest
_FADING = 0.87  # weight of an observation against the one after it
_LEAST_SHARE = (
    0.05  # each term explains at least this much of a message's time: noise may hide it, not deny it
)
_LEAST_SECONDS = 1e-6

Observation = tuple[int, float]
"""Bytes, and seconds from sending to receipt."""


@dataclass(frozen=True, slots=True)
class LinkHistory:
    """The latest observations of one link, newest last."""

    small: tuple[Observation, ...] = ()
    sizeable: tuple[Observation, ...] = ()
    count: int = 0
    observed_at: float = 0.0  # of the last sizeable one; of the first where there is none


@dataclass(frozen=True, slots=True)
class LinkEstimate:
    """A round trip in seconds and a rate in bytes per second."""

    rtt: float
    bytes_per_second: float


def observe(history: LinkHistory, size: int, seconds: float, now: float) -> LinkHistory:
    """Return the history with one more message in it: its bytes, and its seconds from sending to receipt."""
    seen = (size, max(seconds, _LEAST_SECONDS))
    if size < SIZEABLE_BYTES:
        at = history.observed_at if history.count else now
        small = (*history.small[1 - _KEPT :], seen)
        return replace(history, small=small, count=history.count + 1, observed_at=at)
    sizeable = (*history.sizeable[1 - _KEPT :], seen)
    return replace(history, sizeable=sizeable, count=history.count + 1, observed_at=now)


def estimate(history: LinkHistory, *, assumed_rate: float = 12.5e6) -> LinkEstimate | None:
    """Return what the link is like; None before the first observation.

    Args:
        history: the observations.
        assumed_rate: bytes per second, for as long as nothing sizeable was sent.
    """
    if not history.sizeable:
        if not history.small:
            return None
        return LinkEstimate(_median((t, 1.0) for _, t in history.small), assumed_rate)
    if not history.small:
        return _from_sizeable(history.sizeable)
    # The small ones carry a little of the rate too: their share is taken off once the rate is known.
    rtt = _median((t, 1.0) for _, t in history.small)
    rate = _rate(history.sizeable, rtt)
    rtt = _median((max(t - n / rate, _LEAST_SHARE * t), 1.0) for n, t in history.small)
    return LinkEstimate(rtt, _rate(history.sizeable, rtt))


def _rate(sizeable: tuple[Observation, ...], rtt: float) -> float:
    return 1 / _median((max(t - rtt, _LEAST_SHARE * t) / n, float(n)) for n, t in sizeable)


def _from_sizeable(sizeable: tuple[Observation, ...]) -> LinkEstimate:
    """Tell the terms apart by messages of different sizes; where all are alike, give each half."""
    slopes = [
        ((t - u) / (n - m), 1.0)
        for i, (n, t) in enumerate(sizeable)
        for m, u in sizeable[:i]
        if max(n, m) >= 2 * min(n, m)
    ]
    halves = _median((t / 2 / n, float(n)) for n, t in sizeable)
    slope = _median(slopes) if len(slopes) >= 3 else halves
    per_byte = min(max(slope, 2 * _LEAST_SHARE * halves), 2 * (1 - _LEAST_SHARE) * halves)
    rtt = _median((max(t - n * per_byte, _LEAST_SHARE * t), 1.0) for n, t in sizeable)
    return LinkEstimate(rtt, 1 / per_byte)


def _median(values: Iterable[tuple[float, float]]) -> float:
    """Return the median of (value, weight) pairs that are given oldest first and fade with age."""
    faded, fading = [], 1.0
    for value, weight in reversed(list(values)):
        faded.append((value, weight * fading))
        fading *= _FADING
    faded.sort()
    half = sum(weight for _, weight in faded) / 2
    for value, weight in faded:
        half -= weight
        if half <= 0:
            return value
    return faded[-1][0]
