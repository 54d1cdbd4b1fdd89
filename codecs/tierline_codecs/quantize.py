"""Floats to eight-bit whole numbers, with one scale a row."""

import math
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierline_codecs.arrays import FLOAT32, Array
from tierline_codecs.errors import CodecError
from tierline_codecs.native import kernels
from tierline_codecs.scratch import BLOCK, Room, blocks, room_for, scale_rows

SIGNED, UNSIGNED = 127, 255
"""A row's largest magnitude becomes this code; -128 is never used."""
SHORT = 127.4
"""Steps below which a magnitude's code is surely a byte."""

_LONG_PIECE = 256  # here a scale weighs 1/64 of the codes
_SHORT_ROW = 16  # below this a row's scale (4 bytes) weighs more than a quarter of its codes
_FEW = 2**15  # values that the first cache nearly holds
_GLANCE = 8  # values at which to look first
_MINUS, _HUGE, _INFINITE = 0x80000000, 0x7F000000, 0x7F800000  # bits of float32: -0, 2**127, infinity
SMALLEST = 2.0**-110  # smaller peaks would overflow the reciprocal: they count as this
# As arrays, since numpy takes longer to convert a number than to divide a row by it.
_NEGLIGIBLE = np.array(SMALLEST, np.float32)
_SIGN = np.array(_MINUS, np.uint32)
_LEVELS = {levels: np.array(levels, np.float32) for levels in (7, 15, SIGNED, UNSIGNED)}


@lru_cache(maxsize=256)
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


@lru_cache(maxsize=256)
def pieces_of(shape: tuple[int, ...]) -> int:
    """Return into how many equal pieces, each with a scale of its own, the rows of an array are cut.

    As few as make them at most 256 long: the few channels of a token's vector that are ten times larger than
    the others then coarsen only their own piece. A channel of a map (B, C, H, W) stays whole, and so does a
    row that divides into no pieces of 128 to 256.
    """
    length = math.prod(shape[first_of(shape) :])
    if len(shape) == 4 or length <= _LONG_PIECE:
        return 1
    counts = range(-(-length // _LONG_PIECE), 2 * length // _LONG_PIECE + 1)
    return next((count for count in counts if length % count == 0), 1)


@lru_cache(maxsize=256)
def rows_of(shape: tuple[int, ...], first: int, pieces: int = 1) -> tuple[int, int]:
    """Return how many rows an array of `shape` has from axis `first` on, cut in pieces, and their length."""
    length = math.prod(shape[first:])
    return (math.prod(shape[:first]) * pieces if length else 0), length // pieces


def as_rows(array: Array, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Return an array as float32 rows of this shape (R, N); what is too large becomes infinite."""
    rows = array.reshape(shape)
    if rows.dtype == FLOAT32:
        return rows
    with np.errstate(over="ignore"):
        return rows.astype(np.float32)


def is_unsigned(values: NDArray[np.float32]) -> bool:
    """Whether no value of contiguous rows (R, N) is negative, NaN aside; mostly the first few tell."""
    if values.size and min(values[0, :_GLANCE].tolist()) < 0:
        return False
    bits = values.reshape(-1).view(np.uint32)
    starts = range(0, bits.size, BLOCK)
    return not any(largest_of(bits[start : start + BLOCK]) > _MINUS for start in starts)


def largest_of(numbers: NDArray[Any]) -> int:
    """Return the largest of whole numbers (R,); to find where it stands takes numpy less than `max`."""
    return int(numbers[numbers.argmax()])


def peaks_of(values: NDArray[np.float32]) -> tuple[NDArray[np.float32], bool]:
    """Return the largest magnitude of each row (R,), and whether no value is negative.

    Args:
        values: contiguous rows (R, N).

    Raises:
        CodecError: a value is NaN, infinite, or beyond float32.
    """
    unsigned = is_unsigned(values)
    if not values.size:
        return np.zeros(values.shape[0], np.float32), unsigned
    return _peaks(values, room_for(values.shape), unsigned)[0], unsigned


def peak_of(values: NDArray[np.float32]) -> float:
    """Return the largest magnitude of all contiguous rows (R, N).

    Raises:
        CodecError: a value is NaN, infinite, or beyond float32.
    """
    if not values.size:
        return 0.0
    native = kernels()
    if native and values.flags.aligned:
        peak = native.peak(values.reshape(-1))
        if peak < 0:
            raise _not_finite()
        return float(peak)
    row = values.reshape(1, -1)
    return float(_peaks(row, room_for(row.shape), False)[0][0])


def _peaks(values: NDArray[np.float32], room: Room, unsigned: bool) -> tuple[NDArray[np.float32], int]:
    """Return the largest magnitude of each row, and the bits of the largest of all.

    Compared as whole numbers: floats of one sign order as their bits do, NaN and infinity above all others,
    and numpy finds the largest whole number several times faster than the largest float.
    """
    if values.size <= _FEW and not unsigned:
        np.abs(values, room.floats)
        bits = np.maximum.reduceat(room.bits, room.starts)
    else:
        flat = values.reshape(-1)
        bits = np.maximum.reduceat(flat.view(np.int32), room.starts)  # below 0 where all are negative, or -0
        if unsigned:
            np.maximum(bits, 0, out=bits)
        else:  # reading twice costs less than writing, but three calls more
            negative = np.maximum.reduceat(flat.view(np.uint32), room.starts)  # from _MINUS: one is negative
            np.bitwise_xor(negative, _SIGN, negative)
            np.maximum(bits, negative.view(np.int32), out=bits)
    top = largest_of(bits)
    if top >= _INFINITE:
        raise _not_finite()
    return bits.view(np.float32), top


def _not_finite() -> CodecError:
    return CodecError(
        "not-finite",
        "the array holds NaN, infinite or huge values, which have no place among small whole numbers;"
        " find where they come from, or send them with codec raw",
    )


def quantize(
    values: NDArray[np.float32], scales: NDArray[np.float32], codes: NDArray[Any], *, unsigned: bool
) -> None:
    """Write a scale for each row into `scales` (R,), and round(value / scale) into `codes` (R, N).

    Args:
        values: contiguous rows (R, N); they are read from memory once, a block at a time.
        scales: float32.
        codes: int8, or uint8 where `unsigned`.
        unsigned: whether no value is negative.

    Raises:
        CodecError: a value is NaN, infinite, or beyond float32.
    """
    native, size = kernels(), values.size
    levels = UNSIGNED if unsigned else SIGNED
    if not size:
        return
    if native and values.flags.aligned and scales.flags.aligned:
        if not native.quantize(values, scales, codes, levels):
            raise _not_finite()
    elif size <= BLOCK:
        _quantize(values, scales, codes, levels)
    else:
        rows, length = values.shape
        height = max(1, BLOCK // length)
        for top in range(0, rows, height):
            part = slice(top, top + height)
            _quantize(values[part], scales[part], codes[part], levels)


def _quantize(
    values: NDArray[np.float32], scales: NDArray[np.float32], codes: NDArray[Any], levels: int
) -> None:
    room = room_for(values.shape)
    peaks, top = _peaks(values, room, levels == UNSIGNED)
    scaled = room.floats
    scale_rows(values, _scale(peaks, top, levels, scales), scaled)
    np.rint(scaled, scaled)
    codes[...] = scaled


def scales_of(peaks: NDArray[np.float32], levels: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return each row's scale (R,), and the factor (R,) that makes codes of its values."""
    scales = np.empty_like(peaks)
    return scales, _scale(peaks, _HUGE, levels, scales)


def _scale(
    peaks: NDArray[np.float32], top: int, levels: int, scales: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Write each row's scale, and return its factor; `top` are the bits of the largest peak."""
    counted = np.maximum(peaks, _NEGLIGIBLE)
    np.divide(counted, _LEVELS[levels], scales)
    if top >= _HUGE:  # rounding must not make the largest code times the scale infinite
        np.minimum(scales, largest_scale("f4", levels), out=scales)
    return np.divide(_LEVELS[levels], counted, counted)


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
    native = kernels()
    if native and values.size and values.flags.aligned and codes.itemsize == 1:
        native.scale(values, factors, codes)
        return
    for block in blocks(*values.shape):
        piece = values[block]
        scaled = room_for(piece.shape).floats
        scale_rows(piece, factors[block[0]], scaled)
        np.rint(scaled, scaled)
        codes[block] = scaled


def code_and_peak(values: NDArray[np.float32], factor: np.float32, codes: NDArray[np.int8]) -> float:
    """Write round(value * factor) of all values (N,) into `codes` (N,), and return the largest magnitude.

    Where that makes a code beyond 127, codes mean nothing. Each block is searched and coded while it is at
    hand.

    Raises:
        CodecError: a value is NaN, infinite, or beyond float32.
    """
    native = kernels()
    if native and values.flags.aligned:
        peak = float(native.code_and_peak(values, factor, codes))
        if peak < 0:
            raise _not_finite()
        return peak
    peak, factors = 0.0, np.array([factor])
    for _, part in blocks(1, values.size):
        peak = max(peak, peak_of(values[part]))
        if peak * float(factor) < SHORT + 0.05:  # the caller counts with the step, of which this is rounded
            to_codes(values[None, part], factors, codes[None, part])
    return peak
