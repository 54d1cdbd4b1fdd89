"""Large payloads in parts and whole again, under limits, pure: time is passed in."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tierline_broker.records import Part, Work
from tierline_broker.wire import MAX_PAYLOAD_BYTES, PART_BYTES

K = TypeVar("K")

HEADER_ROOM = 16 * 1024
"""What a work's routing headers may add to its payload in one MQTT packet."""
_LEAST_PART = 16 * 1024  # so that the largest whole has no more than 4096
_MOST_WHOLES = 1000
_PATIENCE_SECONDS = 60.0  # for the rest of a whole, whatever its deadline says

Key = tuple[str, bytes, int]


def key_of(work: Work) -> Key:
    """What makes two messages the same piece of work: origin, request and attempt."""
    return (work.origin, work.id, work.attempt)


def part_size(maximum_packet_size: int | None) -> int | None:
    """Return the size of parts that a broker's announced limit asks for; None: our own limits hold."""
    if maximum_packet_size is None or maximum_packet_size >= MAX_PAYLOAD_BYTES + HEADER_ROOM:
        return None
    return max(_LEAST_PART, min(PART_BYTES, maximum_packet_size - HEADER_ROOM))


def split(work: Work, size: int | None = None) -> Iterator[Work]:
    """Yield the work itself, or its parts in order where its payload is too large for one message.

    Only the first part carries the headers that describe the sample; the others say what they belong to.
    """
    total = len(work.payload)
    if total <= (MAX_PAYLOAD_BYTES if size is None else size):
        yield work
        return
    size = PART_BYTES if size is None else size
    count = -(-total // size)
    payload = memoryview(work.payload)
    bare = work.model_copy(update={"route": None, "steps": (), "best": None, "traceparent": ""})
    for index in range(count):
        piece = bytes(payload[index * size : (index + 1) * size])
        update = {"part": Part(index=index, count=count, total=total), "payload": piece}
        yield (work if index == 0 else bare).model_copy(update=update)


@dataclass(slots=True)
class _Whole:
    """A payload of which some parts are here."""

    count: int
    total: int
    expires: float
    first: Work | None = None  # the part that carries the headers
    pieces: dict[int, bytes] = field(default_factory=dict)
    held: int = 0  # bytes


class Assembly:
    """Puts parts together; holds at most `byte_limit` bytes of unfinished wholes.

    Attributes:
        counters: `parts`, `parts_repeated`, `parts_inconsistent`, `wholes_too_large`, `wholes_abandoned`.
    """

    def __init__(self, byte_limit: int) -> None:
        self._limit = byte_limit
        self._wholes: dict[Key, _Whole] = {}
        self._held = 0
        self.counters: Counter[str] = Counter()

    @property
    def held(self) -> int:
        """Bytes of parts that wait for the rest."""
        return self._held

    def add(self, work: Work, now: float) -> Work | None:
        """Take a part; return the whole work when this was the last one missing."""
        part = work.part
        if part is None:
            return work
        self.counters["parts"] += 1
        if part.total > self._limit:
            self.counters["wholes_too_large"] += 1
            return None
        key = key_of(work)
        whole = self._wholes.get(key) or self._begin(key, part, now + min(work.deadline, _PATIENCE_SECONDS))
        if not self._fits(whole, part, work):
            return None
        self._hold(whole, part.index, work)
        return self._finish(key, whole) if len(whole.pieces) == whole.count else None

    def expire(self, now: float) -> None:
        """Give up the wholes of which the rest did not come in time."""
        for key in [key for key, whole in self._wholes.items() if whole.expires <= now]:
            self._abandon(key)

    def _begin(self, key: Key, part: Part, expires: float) -> _Whole:
        if len(self._wholes) >= _MOST_WHOLES:
            self._abandon(next(iter(self._wholes)))
        whole = self._wholes[key] = _Whole(part.count, part.total, expires)
        return whole

    def _fits(self, whole: _Whole, part: Part, work: Work) -> bool:
        if part.index in whole.pieces:
            self.counters["parts_repeated"] += 1
            return False
        consistent = (part.count, part.total) == (whole.count, whole.total) and part.index < part.count
        if not consistent or not work.payload or whole.held + len(work.payload) > whole.total:
            self.counters["parts_inconsistent"] += 1
            return False
        return True

    def _hold(self, whole: _Whole, index: int, work: Work) -> None:
        while self._held + len(work.payload) > self._limit:
            oldest = next(key for key, other in self._wholes.items() if other is not whole)
            self._abandon(oldest)
        whole.pieces[index] = work.payload
        whole.held += len(work.payload)
        self._held += len(work.payload)
        if index == 0:
            whole.first = work

    def _finish(self, key: Key, whole: _Whole) -> Work | None:
        del self._wholes[key]
        self._held -= whole.held
        if whole.first is None or whole.held != whole.total:
            self.counters["parts_inconsistent"] += 1
            return None
        payload = b"".join(whole.pieces[index] for index in range(whole.count))
        return whole.first.model_copy(update={"part": None, "payload": payload})

    def _abandon(self, key: Key) -> None:
        self._held -= self._wholes.pop(key).held
        self.counters["wholes_abandoned"] += 1


class Seen(Generic[K]):
    """Remembers the latest keys, so that a repeated one is known; bounded."""

    def __init__(self, limit: int = 10_000) -> None:
        self._limit = limit
        self._keys: dict[K, None] = {}

    def __contains__(self, key: K) -> bool:
        return key in self._keys

    def add(self, key: K) -> None:
        """Remember a key, and forget the oldest where there are too many."""
        self._keys[key] = None
        if len(self._keys) > self._limit:
            del self._keys[next(iter(self._keys))]
