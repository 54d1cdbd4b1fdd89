"""Loops that numba compiles when this module is imported: numpy's codes and values, in one pass."""

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

from tierline_codecs.quantize import SIGNED, SMALLEST, UNSIGNED, largest_scale

_FLOAT = types.float32
_CODES = (types.int8, types.uint8)
_MAGNITUDE, _INFINITE = np.int32(0x7FFFFFFF), np.int32(0x7F800000)  # bits of float32
# Of the same type as what they are compared with, so that numba computes in that.
_NEGLIGIBLE = np.float32(SMALLEST)
_LARGEST_SIGNED, _LARGEST_UNSIGNED = largest_scale("f4", SIGNED), largest_scale("f4", UNSIGNED)
_TOGETHER = 3072  # values, 12 kB


def _read(element: types.Type, dimensions: int) -> types.Array:
    return types.Array(element, dimensions, "C", readonly=True)


def _written(element: types.Type, dimensions: int) -> types.Array:
    return types.Array(element, dimensions, "C")


def _peak(values: NDArray[np.float32]) -> np.float32:
    """Return the largest magnitude (N,), or -1 where a value is not finite.

    It is found among whole numbers, which vectorises and catches NaN.
    """
    bits = values.view(np.int32)
    top = np.int32(0)
    for at in range(bits.size):
        top = np.int32(max(top, bits[at] & _MAGNITUDE))
    # int32 again: of a variable numba takes no view
    return np.float32(-1) if top >= _INFINITE else np.int32(top).view(np.float32)


# With signatures, so that all is compiled now and nothing at a call.
peak = numba.njit([_FLOAT(_read(_FLOAT, 1))], cache=True, nogil=True)(_peak)


def _quantize(
    values: NDArray[np.float32],
    scales: NDArray[np.float32],
    codes: NDArray[np.int8 | np.uint8],
    levels: np.float32,
) -> bool:
    """Write each row's scale (R,) and its codes (R, N), and return whether all values are finite.

    Rows whose largest magnitudes were found are still in the first cache when they are coded; several short
    ones at a time, so that one's search need not wait for another's division.
    """
    bits, tops = values.view(np.int32), scales.view(np.int32)
    largest = _LARGEST_SIGNED if levels == SIGNED else _LARGEST_UNSIGNED
    rows, length = values.shape
    together = max(1, _TOGETHER // length)
    for start in range(0, rows, together):
        stop = min(start + together, rows)
        for row in range(start, stop):
            top = np.int32(0)
            for at in range(length):
                top = np.int32(max(top, bits[row, at] & _MAGNITUDE))
            if top >= _INFINITE:
                return False
            tops[row] = top
        for row in range(start, stop):
            counted: np.float32 = max(scales[row], _NEGLIGIBLE)
            scales[row] = min(counted / levels, largest)
            factor = levels / counted
            for at in range(length):
                codes[row, at] = np.rint(values[row, at] * factor)
    return True


def _dequantize(
    codes: NDArray[np.int8 | np.uint8], scales: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    """Write code * scale of the rows (R, N)."""
    for row in range(codes.shape[0]):
        scale = scales[row]
        for at in range(codes.shape[1]):
            out[row, at] = codes[row, at] * scale


def _scale(
    values: NDArray[np.float32], factors: NDArray[np.float32], codes: NDArray[np.int8 | np.uint8]
) -> None:
    """Write round(value * factor) of the rows (R, N)."""
    for row in range(values.shape[0]):
        factor = factors[row]
        for at in range(values.shape[1]):
            codes[row, at] = np.rint(values[row, at] * factor)


def _code_and_peak(values: NDArray[np.float32], factor: np.float32, codes: NDArray[np.int8]) -> np.float32:
    """Write round(value * factor) of all (N,), and return the largest magnitude, or -1 as `_peak`."""
    found = np.float32(0)
    for start in range(0, values.size, _TOGETHER):
        part = values[start : start + _TOGETHER]
        top = peak(part)
        if top < 0:
            return top
        found = max(found, top)
        coded = codes[start : start + _TOGETHER]
        for at in range(part.size):
            coded[at] = np.rint(part[at] * factor)
    return found


code_and_peak = numba.njit(
    [_FLOAT(_read(_FLOAT, 1), _FLOAT, _written(types.int8, 1))], cache=True, nogil=True
)(_code_and_peak)
quantize = numba.njit(
    [types.boolean(_read(_FLOAT, 2), _written(_FLOAT, 1), _written(code, 2), _FLOAT) for code in _CODES],
    cache=True,
    nogil=True,
)(_quantize)
dequantize = numba.njit(
    [types.void(_read(code, 2), _read(_FLOAT, 1), _written(_FLOAT, 2)) for code in _CODES],
    cache=True,
    nogil=True,
)(_dequantize)
scale = numba.njit(
    [types.void(_read(_FLOAT, 2), _read(_FLOAT, 1), _written(code, 2)) for code in _CODES],
    cache=True,
    nogil=True,
)(_scale)
