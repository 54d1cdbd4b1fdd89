"""The eight-bit codecs: a scale for each row, a code for each element, and two ways to shorten those."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierline_codecs.arrays import Array, Spec
from tierline_codecs.codec import (
    Bytes,
    Codec,
    Make,
    Packed,
    Params,
    bytes_in,
    expect_bytes,
    expect_params,
    pieces,
)
from tierline_codecs.compress import compress, decompress, shuffle, shuffle_pays, unshuffle
from tierline_codecs.errors import CodecError
from tierline_codecs.quantize import (
    SIGNED,
    UNSIGNED,
    as_rows,
    check_scales,
    first_of,
    largest_scale,
    peaks_of,
    rows_of,
    scales_of,
    to_codes,
    to_values,
)

_SCALE_BYTES = 4
_MASK_PAYS = 7 / 8  # of the codes: the mask itself takes a bit for each


def _pack_int8(array: Array) -> Packed:
    first = first_of(array.shape)
    values = as_rows(array, first)
    peaks, unsigned = peaks_of(values)
    scales, factors = scales_of(peaks, UNSIGNED if unsigned else SIGNED)
    start = scales.nbytes

    def write(into: Bytes) -> None:
        into[:start] = bytes_in(scales)
        codes = into[start:].reshape(values.shape)
        to_codes(values, factors, codes if unsigned else codes.view(np.int8))

    return Packed("int8", (first, int(unsigned)), start + values.size, write)


def _unpack_int8(payload: memoryview, params: Params, spec: Spec, make: Make) -> Array:
    first, unsigned = expect_params(params, len(spec.shape), 1)
    rows, length = rows_of(spec.shape, first)
    expect_bytes(payload, rows * (_SCALE_BYTES + length))
    codes = np.frombuffer(payload, np.uint8, offset=rows * _SCALE_BYTES)
    return _dequantize(payload[: rows * _SCALE_BYTES], codes.reshape(rows, length), unsigned, spec, make)


def _dequantize(payload: memoryview, codes: Bytes, unsigned: int, spec: Spec, make: Make) -> Array:
    """Return the values of codes (R, N), whose scales the payload is."""
    expect_bytes(payload, codes.shape[0] * _SCALE_BYTES)
    scales = np.frombuffer(payload, "<f4")
    largest = check_scales(scales, spec.name, UNSIGNED if unsigned else SIGNED)
    typed: NDArray[Any] = codes if unsigned else codes.view(np.int8)
    if not unsigned and largest > largest_scale(spec.name, SIGNED + 1) and typed.min() < -SIGNED:
        raise CodecError("bad-payload", "frame has a code of -128, and a scale that is too large for it")
    out = make()
    to_values(typed, scales, out.reshape(typed.shape))
    return out


def _coded(array: Array) -> tuple[Packed, Bytes, Bytes]:
    """Return an array as int8, and its scales and its codes."""
    plain = _pack_int8(array)
    both = np.empty(plain.size, np.uint8)
    plain.write(both)
    scales = _SCALE_BYTES * rows_of(array.shape, plain.params[0])[0]
    return pieces("int8", plain.params, both), both[:scales], both[scales:]


def _pack_int8_lz4(array: Array) -> Packed:
    plain, scales, codes = _coded(array)
    shuffled = int(codes.size > 0 and shuffle_pays(codes))
    block = compress((shuffle(codes) if shuffled else codes).data)
    return plain if block is None else pieces("int8-lz4", (*plain.params, shuffled), scales, block)


def _unpack_int8_lz4(payload: memoryview, params: Params, spec: Spec, make: Make) -> Array:
    first, unsigned, shuffled = expect_params(params, len(spec.shape), 1, 1)
    rows, length = rows_of(spec.shape, first)
    size = rows * length
    block = payload[rows * _SCALE_BYTES :]
    codes = np.frombuffer(decompress(block, -(-size // 8) * 8 if shuffled else size), np.uint8)
    codes = unshuffle(codes, size) if shuffled else codes
    return _dequantize(payload[: rows * _SCALE_BYTES], codes.reshape(rows, length), unsigned, spec, make)


def _pack_int8_mask(array: Array) -> Packed:
    plain, scales, codes = _coded(array)
    held = codes != 0
    if np.count_nonzero(held) > _MASK_PAYS * codes.size or not codes.size:
        return plain
    return pieces("int8-mask", plain.params, scales, np.packbits(held), codes.compress(held))


def _unpack_int8_mask(payload: memoryview, params: Params, spec: Spec, make: Make) -> Array:
    first, unsigned = expect_params(params, len(spec.shape), 1)
    rows, length = rows_of(spec.shape, first)
    start = rows * _SCALE_BYTES
    codes = _unmask(payload[start:], rows * length)
    return _dequantize(payload[:start], codes.reshape(rows, length), unsigned, spec, make)


def _unmask(payload: memoryview, size: int) -> Bytes:
    """Return `size` codes out of a bit for each, 1 where the code is not zero, and those that are not zero.

    Raises:
        CodecError: there are more or fewer codes than bits say.
    """
    mask = -(-size // 8)
    if len(payload) < mask or not size:
        raise CodecError("bad-payload", f"frame has no room for the mask of {size} codes")
    held = np.unpackbits(np.frombuffer(payload, np.uint8, count=mask), count=size).view(np.bool_)
    expect_bytes(payload, mask + int(np.count_nonzero(held)))
    codes = np.zeros(size, np.uint8)
    np.place(codes, held, np.frombuffer(payload, np.uint8, offset=mask))
    return codes


def _int8_bytes(spec: Spec) -> int:
    rows, length = rows_of(spec.shape, first_of(spec.shape))
    return rows * (_SCALE_BYTES + length)


def _int8_params(_: Spec) -> Params:
    return 7, 1


INT8 = Codec(
    name="int8",
    pack=_pack_int8,
    unpack=_unpack_int8,
    payload_bytes=_int8_bytes,
    longest_params=_int8_params,
)
INT8_LZ4 = Codec(
    name="int8-lz4",
    pack=_pack_int8_lz4,
    unpack=_unpack_int8_lz4,
    payload_bytes=_int8_bytes,
    longest_params=lambda _: (7, 1, 1),
)
INT8_MASK = Codec(
    name="int8-mask",
    pack=_pack_int8_mask,
    unpack=_unpack_int8_mask,
    payload_bytes=_int8_bytes,
    longest_params=_int8_params,
)
