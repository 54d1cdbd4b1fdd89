"""The codecs that only copy or convert: raw and fp16."""

import numpy as np

from tierline_codecs.arrays import Array, Spec
from tierline_codecs.codec import (
    Codec,
    Make,
    Packed,
    Params,
    bytes_in,
    expect_bytes,
    expect_params,
    payload_of,
)
from tierline_codecs.errors import CodecError


def _view_raw(payload: memoryview, params: Params, spec: Spec) -> Array:
    if params:
        expect_params(params)
    expect_bytes(payload, spec.nbytes)
    if spec.dtype.kind == "b" and np.frombuffer(payload, np.uint8).max(initial=0) > 1:
        raise CodecError("bad-payload", "frame has a boolean that is neither 0 nor 1")
    return np.ndarray(spec.shape, spec.dtype, payload)


def _unpack_raw(payload: memoryview, params: Params, spec: Spec, make: Make) -> Array:
    received = _view_raw(payload, params, spec)
    out = make()
    np.copyto(bytes_in(out), bytes_in(received))  # as bytes: a NaN keeps its own
    return out


def _pack_fp16(array: Array) -> Packed:
    try:
        with np.errstate(over="raise", invalid="ignore"):
            half = array.astype("<f2", copy=False)
    except FloatingPointError as error:
        raise CodecError(
            "too-large", "the array has values beyond 65504, which fp16 cannot hold; use raw"
        ) from error
    if array.dtype.kind == "V" and not np.array_equal(np.isinf(half), np.isinf(array.astype(np.float32))):
        # bfloat16 overflows in silence
        raise CodecError("too-large", "the array has values beyond 65504, which fp16 cannot hold; use raw")
    return payload_of("fp16", (), half)


def _unpack_fp16(payload: memoryview, params: Params, spec: Spec, make: Make) -> Array:
    expect_params(params)
    expect_bytes(payload, 2 * spec.size)
    out = make()
    with np.errstate(invalid="ignore"):  # NaN of every kind may come
        np.copyto(out, np.frombuffer(payload, "<f2").reshape(spec.shape), casting="unsafe")
    return out


RAW = Codec(
    name="raw",
    exact=True,
    floats_only=False,
    pack=lambda array: payload_of("raw", (), array),
    unpack=_unpack_raw,
    payload_bytes=lambda spec: spec.nbytes,
    view=_view_raw,
)
FP16 = Codec(name="fp16", pack=_pack_fp16, unpack=_unpack_fp16, payload_bytes=lambda spec: 2 * spec.size)
