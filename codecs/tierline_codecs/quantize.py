"""Floats to eight-bit whole numbers and back, with one scale a row."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierline_codecs.arrays import FLOAT32, Array
from tierline_codecs.errors import CodecError
from tierline_codecs.scratch import BLOCK, blocks, floats

SIGNED, UNSIGNED = 127, 255
"""A row's largest magnitude becomes this code; -128 is never used."""

_SHORT_ROW = 16  # below this a row's scale (4 bytes) weighs more than a quarter of its codes
_NEGLIGIBLE = np.float32(2.0**-110)  # smaller peaks would overflow the reciprocal: they count as this
_SIGN, _INFINITE = np.uint32(0x80000000), 0x7F800000  # of a float32's bits


def first_of(shape: tuple[int, ...]) -> int:
    """Return the first of the axes that make a row, from which on elements share a scale.

    A row is a vector of the last axis, as of a token (B, T, H), or a whole channel of a map (B, C, H, W).
    Where that makes rows of fewer than 16 elements, earlier axes join, though never the first: samples of a
    batch do not share a scale. An array without dimensions is one row.
    """
    first = len(shape) - (2 if len(shape) == 4 else 1)
    while first > 1 and math.prod(shape[first:]) < _SHORT_ROW:
        first -= 1
    return max(first, 0)


def rows_of(shape: tuple[int, ...], first: int) -> tuple[int, int]:
    """Return how many rows an array of `shape` has from axis `first` on, and how long they are."""
    length = math.prod(shape[first:])
    return (math.prod(shape[:first]) if length else 0), length


def as_rows(array: Array, first: int) -> NDArray[np.float32]:
    """Return an array as float32 rows (R, N); what is too large becomes infinite."""
    rows = array.reshape(rows_of(array.shape, first))
    if rows.dtype == FLOAT32:
        return rows
    with np.errstate(over="ignore"):
        return rows.astype(np.float32)


def peaks_of(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], bool]:
    """Return the largest magnitude of each row (R,), and whether no value is negative.

    Compared as whole numbers: floats of one sign order as their bits do, NaN and infinity above all others,
    and numpy finds the largest whole number several times faster than the largest float.

    Args:
        values: contiguous rows (R, N).

    Raises:
        CodecError: a value is NaN, infinite, or beyond float32.
    """
    rows, length = values.shape
    if not values.size:
        return np.zeros(rows, np.float32), True
    flat, starts = values.reshape(-1), _starts(rows, length)
    positive = np.maximum.reduceat(flat.view(np.int32), starts)  # (R,); below 0 where all are negative
    negative = np.maximum.reduceat(flat.view(np.uint32), starts)  # (R,); from 2**31 where one is negative
    magnitudes = np.bitwise_xor(negative, _SIGN, out=negative).view(np.int32)  # below 0 where none is
    bits = np.maximum(positive, magnitudes, out=positive)
    if np.maximum.reduce(bits) >= _INFINITE:
        raise CodecError(
            "not-finite",
            "the array holds NaN, infinite or huge values, which have no place among small whole numbers;"
            " find where they come from, or send them with codec raw",
        )
    return bits.view(np.float32), bool(np.maximum.reduce(magnitudes) <= 0)


@lru_cache(maxsize=32)
def _starts(rows: int, length: int) -> NDArray[np.intp]:
    return np.arange(0, rows * length, length)


def scales_of(peaks: NDArray[np.float32], levels: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each row's scale (R,), and the factor (R,) that makes codes of its values."""
    top = np.float32(levels)
    counted = np.maximum(peaks, _NEGLIGIBLE)
    # Rounding must not make the largest code times the scale infinite.
    scales = np.minimum(counted / top, largest_scale("f4", levels))
    return scales, np.divide(top, counted, out=counted)


@lru_cache(maxsize=64)
def largest_scale(dtype: str, levels: int) -> np.float32:
    """Return the largest scale with which no code makes a value that a data type, by name, cannot hold."""
    if dtype == "f2":
        return np.float32(np.finfo(np.float16).max * (1 + 2**-20) / levels)
    # bfloat16 would round float32's largest up to infinity
    most = np.float32(3.3895314e38) if dtype == "bf16" else np.finfo(np.float32).max
    largest: np.float32 = np.nextafter(most / np.float32(levels), np.float32(0))
    return largest


def to_codes(values: NDArray[np.float32], factors: NDArray[np.float32], codes: NDArray[Any]) -> None:
    """Write round(value * factor) of the rows (R, N) into `codes` (R, N), of whatever whole numbers."""
    column = factors[:, None]
    if values.size <= BLOCK:
        _to_codes(values, column, codes)
        return
    for block in blocks(*values.shape):
        _to_codes(values[block], column[block[0]], codes[block])


def _to_codes(values: NDArray[np.float32], factors: NDArray[np.float32], codes: NDArray[Any]) -> None:
    scaled = np.multiply(values, factors, out=floats(values.shape))
    np.rint(scaled, out=scaled)
    np.copyto(codes, scaled, casting="unsafe")


def to_values(codes: NDArray[Any], scales: NDArray[np.float32], out: Array) -> None:
    """Write code * scale of the rows (R, N) into `out` (R, N), of whatever floats."""
    column = scales[:, None]
    if codes.size <= BLOCK:
        _to_values(codes, column, out)
        return
    for block in blocks(*codes.shape):
        _to_values(codes[block], column[block[0]], out[block])


def _to_values(codes: NDArray[Any], scales: NDArray[np.float32], out: Array) -> None:
    direct = out.dtype == FLOAT32
    values = out if direct else floats(codes.shape)
    np.copyto(values, codes)
    np.multiply(values, scales, out=values)
    if not direct:
        np.copyto(out, values, casting="unsafe")


def check_scales(scales: NDArray[np.float32], dtype: str, levels: int) -> np.float32:
    """Refuse scales that make no values, and return the largest.

    Raises:
        CodecError: one is negative or not finite, or makes values that the data type cannot hold.
    """
    if not scales.size:
        return np.float32(0)
    largest = largest_scale(dtype, levels)
    # As whole numbers NaN, infinity and whatever is negative are larger than any scale.
    found: np.float32 = np.maximum.reduce(scales.view(np.uint32)).view(np.float32)
    if not 0 <= found <= largest:
        raise CodecError("bad-scale", f"frame has a scale that is no number from 0 to {largest:g}")
    return found
