"""The four-bit codec: groups of 32 elements share a scale, two codes share a byte."""

import numpy as np
from numpy.typing import NDArray

from tierline_codecs.arrays import Array, Spec
from tierline_codecs.codec import Codec, Make, Packed, Params, expect_bytes, expect_params, payload_of
from tierline_codecs.dequantize import check_scales, to_values
from tierline_codecs.quantize import (
    as_rows,
    largest_scale,
    peaks_of,
    scales_of,
    to_codes,
)

GROUP = 32
_SIGNED, _UNSIGNED = 7, 15
_MIDDLE = 8  # what is added to a signed code, so that it is one of 0 to 15
_TOP_BYTES, _SCALE_BYTES = 4, 2


def _pack(array: Array) -> Packed:
    flat = as_rows(array, (1, array.size)).reshape(-1)
    groups = -(-flat.size // GROUP)
    if flat.size % GROUP:
        flat = np.concatenate([flat, np.zeros(-flat.size % GROUP, np.float32)])
    values = flat.reshape(groups, GROUP)
    peaks, unsigned = peaks_of(values)
    levels = _UNSIGNED if unsigned else _SIGNED
    top = peaks.max(initial=0)
    # Shares of the largest peak: halves hold them whatever the values' magnitude.
    shares = (peaks / top if top else peaks).astype("<f2")
    tops, _ = scales_of(np.array([top], np.float32), levels)
    _, factors = scales_of(shares.astype(np.float32) * top, levels)
    factors[shares == 0] = 0  # a group that is nothing beside the largest
    codes = np.empty(values.shape, np.int8)
    to_codes(values, factors, codes)
    np.clip(codes, 0 if unsigned else -levels, levels, out=codes)
    nibbles = (codes if unsigned else codes + np.int8(_MIDDLE)).view(np.uint8).reshape(-1, 2)
    packed = nibbles[:, 0] | (nibbles[:, 1] << 4)
    return payload_of("int4", (int(unsigned),), tops, shares, packed)


def _unpack(payload: memoryview, params: Params, spec: Spec, make: Make) -> Array:
    (unsigned,) = expect_params(params, 1)
    groups = -(-spec.size // GROUP)
    expect_bytes(payload, _size(spec.size))
    top = np.frombuffer(payload, "<f4", count=1)
    check_scales(top, spec.name, _UNSIGNED if unsigned else _SIGNED)
    shares = np.frombuffer(payload, "<f2", count=groups, offset=_TOP_BYTES).astype(np.float32)
    check_scales(shares, "f4", 1)
    scales = np.minimum(shares, 1) * top
    packed = np.frombuffer(payload, np.uint8, offset=_TOP_BYTES + groups * _SCALE_BYTES)
    codes = _unpacked(packed, unsigned).reshape(groups, GROUP)
    if top[0] > largest_scale(spec.name, _MIDDLE):
        np.maximum(codes, -_SIGNED, out=codes)  # a sender who is not us may use -8
    whole, out = spec.size // GROUP, make()
    flat = out.reshape(-1)
    to_values(codes[:whole], scales[:whole], flat[: whole * GROUP].reshape(whole, GROUP))
    if whole < groups:
        rest = flat[whole * GROUP :].reshape(1, -1)
        to_values(codes[whole:, : rest.size], scales[whole:], rest)
    return out


def _unpacked(packed: NDArray[np.uint8], unsigned: int) -> NDArray[np.int8]:
    codes = np.empty((packed.size, 2), np.int8)
    np.bitwise_and(packed, 15, out=codes[:, 0].view(np.uint8))
    np.right_shift(packed, 4, out=codes[:, 1].view(np.uint8))
    if not unsigned:
        codes -= np.int8(_MIDDLE)
    return codes


def _size(elements: int) -> int:
    groups = -(-elements // GROUP)
    return _TOP_BYTES + groups * (_SCALE_BYTES + GROUP // 2)


INT4 = Codec(
    name="int4",
    pack=_pack,
    unpack=_unpack,
    payload_bytes=lambda spec: _size(spec.size),
    longest_params=lambda _: (1,),
)
