"""The codec with one step for the whole array, from the error that is allowed, and entropy coding."""

import itertools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from tierline_codecs.arrays import Array, Spec, dtype_name
from tierline_codecs.codec import (
    Bytes,
    Codec,
    Make,
    Packed,
    Params,
    bytes_in,
    expect_bytes,
    expect_params,
    payload_of,
)
from tierline_codecs.compress import compress_entropy, decompress_entropy
from tierline_codecs.dequantize import check_scales, to_values
from tierline_codecs.errors import CodecError
from tierline_codecs.quantize import (
    SHORT,
    as_rows,
    code_and_peak,
    largest_scale,
    peak_of,
    to_codes,
)
from tierline_codecs.scratch import codes as codes_kept

_PLANES = 4  # bytes of a code, at most
_STEP_BYTES = 4
_MASK_FROM = 1 / 3  # of the codes zero: then a bit for each and the rest compress better than all of them
_GLANCE = 4096  # codes, evenly spread, that tell about how many are zero
_VANISHING, _OVERFLOWING = 1e-30, 1e36  # mean square, and their sum: float32 holds all between
_LARGEST_CODE = 2**23  # up to which float32 counts in whole numbers
_SHORTEST, _LONGEST = 2.0**-126, 2.0**126  # of the steps whose reciprocal float32 holds as well
_MOST = 2**62

Coded = tuple[np.float32, NDArray[np.int32 | np.int8]]
"""A step, and the codes (N,)."""


def step_codec(name: str, error: float) -> Codec:
    """Return the codec whose relative error (L2) is at most `error`."""
    return Codec(
        name=name,
        pack=_packer(error),
        unpack=_unpack,
        payload_bytes=lambda spec: _payload_bytes(spec, error),
        longest_params=lambda spec: (_PLANES, 1, *[spec.size] * (_PLANES + 1)),
    )


def _packer(error: float) -> Callable[[Array], Packed]:
    def pack(array: Array) -> Packed:
        values = as_rows(array, (1, array.size)).reshape(-1)
        most = float(largest_scale(dtype_name(array.dtype), 1))
        wanted = error * math.sqrt(12)
        step, codes = _short(values, wanted, most) or _wide(values, wanted, most)
        if not step:
            return payload_of("step-zstd", (0, 0), np.zeros(1, "<f4"))
        masked, planes = _planes(codes)
        packed = [compress_entropy(plane) for plane in planes]
        params = (len(planes) - masked, masked, *map(len, packed))
        return payload_of("step-zstd", params, np.array([step], "<f4"), *packed)

    return pack


def _short(values: NDArray[np.float32], wanted: float, most: float) -> Coded | None:
    """Return the step, so many times the values' RMS, and codes of a byte, or None where these do not do.

    Nearly always they do, and then the values are read twice only: for their squares, and for the codes.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        square = float(np.dot(values, values))
    if not _VANISHING * values.size < square < _OVERFLOWING:
        return None
    step = _step(wanted * math.sqrt(square / values.size), 0, most)
    codes = codes_kept((1, values.size)).reshape(-1)
    peak = code_and_peak(values, np.float32(1 / float(step)), codes)
    return (step, codes) if peak < SHORT * float(step) and peak + float(step) <= most else None


def _wide(values: NDArray[np.float32], wanted: float, most: float) -> Coded:
    """Return the step, which is 0 for zeros alone, and codes of as many bytes as they take."""
    peak = peak_of(values)
    if not peak:
        return np.float32(0), np.zeros(values.shape, np.int8)
    step = _step(wanted * _rms(values, peak), peak, most)
    codes = np.empty(values.shape, np.int8 if peak < SHORT * float(step) else np.int32)
    to_codes(values[None], np.array([1 / float(step)], np.float32), codes[None])
    return step, codes


def _step(wanted: float, peak: float, most: float) -> np.float32:
    """Return the step, no longer than wanted, with which no code makes a value beyond `most`."""
    step = min(max(wanted, peak / _LARGEST_CODE, _SHORTEST), _LONGEST)
    if peak + step > most:  # then the peak is to be a whole number of steps
        step = float(np.nextafter(np.float32(peak / math.ceil(peak / step)), np.float32(0)))
    return np.float32(step)


def _rms(values: NDArray[np.float32], peak: float) -> float:
    """Return the root of the mean square of values whose squares may overflow or vanish."""
    scaled = (values / np.float32(peak)).astype(np.float32)
    return peak * math.sqrt(float(np.dot(scaled, scaled)) / scaled.size)


def _planes(codes: NDArray[np.int32 | np.int8]) -> tuple[int, list[Bytes]]:
    """Return codes as planes of bytes, each as signed as the rest allows; mostly one plane is enough.

    Where a third of some codes are zero, the first plane is a bit for each, and the others leave zeros out.
    """
    glance = codes[:: codes.size // _GLANCE | 1]  # odd, so that it is no few columns of a map alone
    masked = int(glance.size - np.count_nonzero(glance) >= _MASK_FROM * glance.size)
    planes, rest = [], codes
    if masked:
        held = codes != 0
        planes, rest = [np.packbits(held)], codes.compress(held)
    if rest.dtype == np.int8:
        return masked, [*planes, bytes_in(rest)]
    while True:
        low = rest.astype(np.int8)
        planes.append(bytes_in(low))
        rest = (rest - low) >> 8
        if not rest.any():
            return masked, planes


def _unpack(payload: memoryview, params: Params, spec: Spec, make: Make) -> Array:
    if params == (0, 0):
        expect_bytes(payload, _STEP_BYTES)
        out = make()
        out[...] = 0
        return out
    count, masked, *sizes = expect_params(params, _PLANES, 1, *[_MOST] * (len(params) - 2))
    if not count or len(sizes) != count + masked or not spec.size:
        raise CodecError("bad-header", "frame's header has parameters that its codec does not have")
    expect_bytes(payload, _STEP_BYTES + sum(sizes))
    step = np.frombuffer(payload, "<f4", count=1)
    check_scales(step, spec.name, 1)
    ends = np.cumsum([_STEP_BYTES, *sizes]).tolist()
    parts = [payload[start:end] for start, end in itertools.pairwise(ends)]
    codes = _codes(parts, masked, spec.size)
    if step[0] > largest_scale(spec.name, 2 ** (8 * count - 1)):
        check_scales(step, spec.name, max(int(codes.max()), -int(codes.min()), 1))
    out = make()
    to_values(codes.reshape(1, -1), step, out.reshape(1, -1))
    return out


def _codes(parts: list[memoryview], masked: int, size: int) -> NDArray[np.int32 | np.int8]:
    held = None
    if masked:
        bits = decompress_entropy(parts.pop(0), -(-size // 8))
        held = np.unpackbits(bits, count=size).view(np.bool_)
    wanted = size if held is None else int(np.count_nonzero(held))
    codes = _joined([decompress_entropy(part, wanted).view(np.int8) for part in parts])
    if held is None:
        return codes
    spread = np.zeros(size, codes.dtype)
    if wanted:
        np.place(spread, held, codes)
    return spread


def _joined(planes: list[NDArray[np.int8]]) -> NDArray[np.int32 | np.int8]:
    if len(planes) == 1:
        return planes[0]
    codes = np.zeros(planes[0].size, np.int32)
    for number, plane in enumerate(planes):
        codes += plane.astype(np.int32) << (8 * number)
    return codes


def _payload_bytes(spec: Spec, error: float) -> int:
    """Return an upper bound: no element is larger than the root of their number times their RMS."""
    most = min(math.sqrt(spec.size) / (error * math.sqrt(12)) + 1, _LARGEST_CODE)
    planes, reach = 1, 127
    while reach < most:
        planes, reach = planes + 1, reach * 256 + 127
    return _STEP_BYTES + planes * spec.size + (-(-spec.size // 8) if spec.size else 0)
