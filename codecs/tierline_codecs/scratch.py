"""Working memory that a thread keeps, so that coding an activation allocates nothing but its result."""

import threading
from collections.abc import Iterator
from contextvars import Context, copy_context
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BLOCK = 3 * 2**17
"""Elements worked on at a time: 1.5 MB of float32. Fewer stay nearer, but numpy starts anew for each."""

# From here on starting numpy's loop anew for each row costs less than copies of its scale.
_SHORT_ROW, _LONG_ROW = 256, 512  # of codes, which are converted on the way; of floats
_LARGEST_BUFFER = 2048  # elements, a quarter of numpy's own: what passes through stays in the first cache
_KEPT_SHAPES = 64  # of a thread's streams: to shape memory anew takes numpy as long as to divide a row
_KEPT_CODES = 2**22  # bytes of codes that a thread keeps room for: those of 16 MiB of float32


class Room(NamedTuple):
    """Memory to work on rows (R, N) in."""

    floats: NDArray[np.float32]
    """(R, N)."""
    bits: NDArray[np.int32]
    """The same, flat and as whole numbers."""
    starts: NDArray[np.intp]
    """Where each row begins in that, (R,)."""


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.floats = np.empty(BLOCK, np.float32)
        self.rooms: dict[tuple[int, ...], Room] = {}
        self.codes = np.empty(_KEPT_CODES, np.int8)  # takes memory only as far as it is written
        self.contexts: dict[int, Context] = {}


_SCRATCH = _Scratch()


def room_for(shape: tuple[int, int]) -> Room:
    """Return memory to work on rows (R, N) in until this thread asks again; kept for the next if a block."""
    return _SCRATCH.rooms.get(shape) or _new_room(shape)


def _new_room(shape: tuple[int, int]) -> Room:
    rows, length = shape
    size = rows * length
    flat = _SCRATCH.floats[:size] if size <= BLOCK else np.empty(size, np.float32)
    room = Room(flat.reshape(shape), flat.view(np.int32), np.arange(0, size, max(length, 1)))
    if size <= BLOCK:
        if len(_SCRATCH.rooms) >= _KEPT_SHAPES:
            _SCRATCH.rooms.clear()
        _SCRATCH.rooms[shape] = room
    return room


def codes(shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Return memory for codes (R, N) until this thread asks again.

    Fresh memory of half a megabyte costs the system 150 page faults, which take as long as compressing it.
    """
    rows, columns = shape
    size = rows * columns
    kept = _SCRATCH.codes if size <= _KEPT_CODES else np.empty(size, np.int8)
    return kept[:size].reshape(rows, columns)


def blocks(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Cut (rows, columns) into pieces of at most `BLOCK` elements: short rows, or part of a long one."""
    height = max(1, BLOCK // max(columns, 1))
    for top in range(0, rows, height):
        bottom = min(top + height, rows)
        for left in range(0, columns, BLOCK):
            yield slice(top, bottom), slice(left, min(left + BLOCK, columns))


def scale_rows(rows: NDArray[np.float32], factors: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write rows (R, N) times a factor for each row (R,) into other memory `out` (R, N)."""
    if rows.shape[1] < _LONG_ROW:
        out[...] = factors[:, None]
        np.multiply(rows, out, out)
    else:
        _in_buffer(_LARGEST_BUFFER, rows, factors[:, None], out)


def scale_codes(codes: NDArray[Any], scales: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Write rows of codes (R, N) times a scale for each row (R,) into `out` (R, N)."""
    length = codes.shape[1]
    size = _LARGEST_BUFFER if length < _SHORT_ROW else min(1 << (length - 1).bit_length(), _LARGEST_BUFFER)
    _in_buffer(size, codes, scales[:, None], out)


def _in_buffer(size: int, rows: NDArray[Any], column: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Multiply with so large a buffer of numpy's.

    Where two rows fit into its buffer, numpy first fills that with copies of the numbers, which takes as
    long as the operation itself, but for short rows less than starting anew. The buffer's size belongs to a
    context, so the operation runs in one of its own.
    """
    context = _SCRATCH.contexts.get(size) or _new_context(size)
    context.run(np.multiply, rows, column, out)


def _new_context(size: int) -> Context:
    context = copy_context()
    context.run(np.setbufsize, size)
    _SCRATCH.contexts[size] = context
    return context
