"""Working memory that a thread keeps, so that coding an activation allocates nothing but its result."""

import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

BLOCK = 2**17
"""Elements worked on at a time: 512 kB of float32, which stay in a core's own cache between two passes."""


class _Scratch(threading.local):
    def __init__(self) -> None:
        self.floats = np.empty(BLOCK, np.float32)


_SCRATCH = _Scratch()


def floats(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Return memory for floats (R, N), at most `BLOCK`, until this thread asks again."""
    rows, columns = shape
    return _SCRATCH.floats[: rows * columns].reshape(rows, columns)


def blocks(rows: int, columns: int) -> Iterator[tuple[slice, slice]]:
    """Cut (rows, columns) into pieces of at most `BLOCK` elements: short rows, or part of a long one."""
    height = max(1, BLOCK // max(columns, 1))
    for top in range(0, rows, height):
        bottom = min(top + height, rows)
        for left in range(0, columns, BLOCK):
            yield slice(top, bottom), slice(left, min(left + BLOCK, columns))
