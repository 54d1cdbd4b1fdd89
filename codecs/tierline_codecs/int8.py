"""The eight-bit codecs: a scale for each row, a code for each element, and two ways to shorten those."""

import math
from functools import lru_cache, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierline_codecs.arrays import FLOAT32, Array, Spec
from tierline_codecs.codec import (
    Bytes,
    Codec,
    Make,
    Packed,
    Params,
    expect_bytes,
    expect_params,
    payload_of,
)
from tierline_codecs.compress import compress, decompress, shuffle, shuffle_pays, unshuffle
from tierline_codecs.dequantize import check_scales, to_values
from tierline_codecs.errors import CodecError
from tierline_codecs.quantize import (
    SIGNED,
    UNSIGNED,
    as_rows,
    first_of,
    is_unsigned,
    pieces_of,
    quantize,
    rows_of,
)

_SCALE_BYTES = 4
_MOST_PIECES = 2**32
_MASK_PAYS = 7 / 8  # of the codes: the mask itself takes a bit for each


class _Layout(NamedTuple):
    """How scales and codes (R, N) lie in a payload."""

    scales: int
    """How many, R."""
    scale_bytes: int
    codes: tuple[int, int]
    """Their shape."""
    size: int
    """How many codes."""
    dtype: np.dtype[Any]
    """Of the codes."""


@lru_cache(maxsize=256)
def _layout(shape: tuple[int, ...], params: Params) -> _Layout:
    """Return the layout of an array's payload.

    Raises:
        CodecError: the parameters are none of this codec.
    """
    whole = params if len(params) == 3 else (*params, 1)
    first, unsigned, pieces = expect_params(whole, len(shape), 1, _MOST_PIECES)
    if not pieces or math.prod(shape[first:]) % pieces:
        raise CodecError("bad-header", f"frame has rows that do not divide into {pieces} pieces")
    rows, length = rows_of(shape, first, pieces)
    dtype = np.dtype(np.uint8 if unsigned else np.int8)
    return _Layout(rows, rows * _SCALE_BYTES, (rows, length), rows * length, dtype)


class _Plan(NamedTuple):
    """How an array of a shape is coded."""

    rows: tuple[int, int]
    """(R, N)."""
    signed: tuple[Params, _Layout]
    unsigned: tuple[Params, _Layout]


@lru_cache(maxsize=256)
def _plan(shape: tuple[int, ...]) -> _Plan:
    first, pieces = first_of(shape), pieces_of(shape)
    cut = () if pieces == 1 else (pieces,)
    signed, unsigned = ((params, _layout(shape, params)) for params in ((first, 0, *cut), (first, 1, *cut)))
    return _Plan(rows_of(shape, first, pieces), signed, unsigned)


def _planned(array: Array) -> tuple[NDArray[np.float32], Params, _Layout]:
    """Return the values (R, N) of an array, and how they are to be coded."""
    plan = _plan(array.shape)
    values = as_rows(array, plan.rows)
    params, layout = plan.unsigned if is_unsigned(values) else plan.signed
    return values, params, layout


def _pack_int8(array: Array) -> Packed:
    values, params, layout = _planned(array)
    return Packed("int8", params, layout.scale_bytes + layout.size, (), partial(_write, values, layout))


def _write(values: NDArray[np.float32], layout: _Layout, into: bytearray | Bytes, at: int) -> None:
    """Write scales and codes into memory from this byte on."""
    scales = np.ndarray(layout.scales, FLOAT32, into, at)
    codes: NDArray[Any] = np.ndarray(layout.codes, layout.dtype, into, at + layout.scale_bytes)
    quantize(values, scales, codes, unsigned=layout.dtype.kind == "u")


def _unpack_int8(payload: memoryview, params: Params, spec: Spec, make: Make) -> Array:
    layout = _layout(spec.shape, params)
    expect_bytes(payload, layout.scale_bytes + layout.size)
    return _dequantize(payload, payload[layout.scale_bytes :], layout, spec, make)


def _dequantize(
    scale_bytes: memoryview, code_bytes: memoryview | Bytes, layout: _Layout, spec: Spec, make: Make
) -> Array:
    """Return the values of codes, of which there are enough, with the scales that these bytes start with."""
    if len(scale_bytes) < layout.scale_bytes:
        expect_bytes(scale_bytes, layout.scale_bytes)
    scales = np.ndarray(layout.scales, FLOAT32, scale_bytes)
    codes: NDArray[Any] = np.ndarray(layout.codes, layout.dtype, code_bytes)
    signed = layout.dtype.kind == "i"
    tight = check_scales(scales, spec.name, SIGNED if signed else UNSIGNED)
    if tight and signed and codes.min() < -SIGNED:
        raise CodecError("bad-payload", "frame has a code of -128, and a scale that is too large for it")
    out = make()
    to_values(codes, scales, out.reshape(layout.codes))
    return out


def _coded(array: Array) -> tuple[Packed, Bytes, Bytes]:
    """Return an array as int8, and its scales and its codes."""
    values, params, layout = _planned(array)
    both = np.empty(layout.scale_bytes + layout.size, np.uint8)
    _write(values, layout, both, 0)
    start = layout.scale_bytes
    return payload_of("int8", params, both), both[:start], both[start:]


def _pack_int8_lz4(array: Array) -> Packed:
    plain, scales, codes = _coded(array)
    shuffled = int(codes.size > 0 and shuffle_pays(codes))
    block = compress((shuffle(codes) if shuffled else codes).data)
    if block is None:
        return plain
    return payload_of("int8-lz4", (*plain.params[:2], shuffled, *plain.params[2:]), scales, block)


def _unpack_int8_lz4(payload: memoryview, params: Params, spec: Spec, make: Make) -> Array:
    layout = _layout(spec.shape, params[:2] + params[3:])
    (shuffled,) = expect_params(params[2:3], 1)
    size = -(-layout.size // 8) * 8 if shuffled else layout.size
    codes = np.frombuffer(decompress(payload[layout.scale_bytes :], size), np.uint8)
    codes = unshuffle(codes, layout.size) if shuffled else codes
    return _dequantize(payload, codes, layout, spec, make)


def _pack_int8_mask(array: Array) -> Packed:
    plain, scales, codes = _coded(array)
    held = codes != 0
    if np.count_nonzero(held) > _MASK_PAYS * codes.size or not codes.size:
        return plain
    return payload_of("int8-mask", plain.params, scales, np.packbits(held), codes.compress(held))


def _unpack_int8_mask(payload: memoryview, params: Params, spec: Spec, make: Make) -> Array:
    layout = _layout(spec.shape, params)
    codes = _unmask(payload[layout.scale_bytes :], layout.size)
    return _dequantize(payload, codes, layout, spec, make)


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
    rows, length = rows_of(spec.shape, first_of(spec.shape), pieces_of(spec.shape))
    return rows * (_SCALE_BYTES + length)


def _int8_params(spec: Spec) -> Params:
    count = pieces_of(spec.shape)
    return (7, 1) if count == 1 else (7, 1, count)


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
    longest_params=lambda spec: (1, *_int8_params(spec)),
)
INT8_MASK = Codec(
    name="int8-mask",
    pack=_pack_int8_mask,
    unpack=_unpack_int8_mask,
    payload_bytes=_int8_bytes,
    longest_params=_int8_params,
)
