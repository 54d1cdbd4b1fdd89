"""Loops that numba compiles when this module is imported: numpy's codes and values, in one pass."""

import numba
import numpy as np
from numba import types
from numpy.typing import NDArray

_FLOAT = types.float32
_CODES = (types.int8, types.uint8)
_MAGNITUDE, _INFINITE = np.int32(0x7FFFFFFF), np.int32(0x7F800000)  # bits of float32


def _quantize(
    values: NDArray[np.float32],
    scales: NDArray[np.float32],
    codes: NDArray[np.int8 | np.uint8],
    levels: np.float32,
    negligible: np.float32,
    largest: np.float32,
) -> bool:
    """Write each row's scale (R,) and its codes (R, N), and return whether all values are finite.

    The largest magnitude is found among whole numbers, which vectorises and catches NaN; the row is then
    still in the first cache.
    """
    bits = values.view(np.int32)
    for row in range(values.shape[0]):
        top = np.int32(0)
        for at in range(values.shape[1]):
            top = np.int32(max(top, bits[row, at] & _MAGNITUDE))
        if top >= _INFINITE:
            return False
        peak = max(np.int32(top).view(np.float32), negligible)  # int32: of a variable numba takes no view
        scales[row] = min(peak / levels, largest)
        factor = levels / peak
        for at in range(values.shape[1]):
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


def _read(element: types.Type, dimensions: int) -> types.Array:
    return types.Array(element, dimensions, "C", readonly=True)


def _written(element: types.Type, dimensions: int) -> types.Array:
    return types.Array(element, dimensions, "C")


# With signatures, so that all is compiled now and nothing at a call.
quantize = numba.njit(
    [
        types.boolean(_read(_FLOAT, 2), _written(_FLOAT, 1), _written(code, 2), _FLOAT, _FLOAT, _FLOAT)
        for code in _CODES
    ],
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
