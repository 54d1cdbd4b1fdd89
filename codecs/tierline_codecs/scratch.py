"""Working memory that a thread keeps, so that coding an activation allocates nothing but its result."""

import threading
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 2**17
"""Elements worked on at a time: 512 kB of float32, which stay in a core's own cache between two passes."""

_LONG_ROW = 256  # from here on starting numpy's loop anew for each row costs less than copies of its scale
_LARGEST_BUFFER = 2048  # elements, a quarter of numpy's own: what passes through stays in the first cache


_KEPT_CODES = 2**22  # bytes of codes that a thread keeps room for: those of 16 MiB of float32


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.floats = np.empty(BLOCK, np.float32)
        self.codes = np.empty(_KEPT_CODES, np.int8)  # takes memory only as far as it is written
        self.contexts: dict[int, Context] = {}


_SCRATCH = _Scratch()


def floats(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return memory for floats (R, N) until this thread asks again; kept for the next where it is a block."""
    rows, columns = shape
    size = rows * columns
    kept = _SCRATCH.floats if size <= BLOCK else np.empty(size, np.float32)
    return kept[:size].reshape(rows, columns)


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


def by_row(
    operation: Callable[..., Any], rows: NDArray[Any], column: NDArray[np.float32], out: NDArray[Any]
) -> None:
    """Write a ufunc of rows (R, N) and a number for each row (R, 1) into `out` (R, N).

    Where two rows fit into numpy's buffer, it first fills that with copies of the numbers, which takes as
    long as the operation itself, but for short rows less than starting anew. The buffer's size belongs to a
    context, so the operation runs in one of its own.
    """
    length = rows.shape[1]
    size = _LARGEST_BUFFER if length < _LONG_ROW else min(1 << (length - 1).bit_length(), _LARGEST_BUFFER)
    context = _SCRATCH.contexts.get(size) or _new_context(size)
    context.run(operation, rows, column, out)


def _new_context(size: int) -> Context:
    context = copy_context()
    context.run(np.setbufsize, size)
    _SCRATCH.contexts[size] = context
    return context
