"""The codecs that only copy or convert: raw and fp16."""

import numpy as np

from tierline_codecs.arrays import Array, Spec
from tierline_codecs.codec import Bytes, Codec, Make, Packed, Params, bytes_in, expect_bytes, expect_params
from tierline_codecs.errors import CodecError


def _pack_raw(array: Array) -> Packed:
    def write(into: Bytes) -> None:
        np.copyto(into, bytes_in(array))

    return Packed("raw", (), array.nbytes, write)


def _unpack_raw(payload: memoryview, params: Params, spec: Spec, make: Make) -> Array:
    expect_params(params)
    expect_bytes(payload, spec.nbytes)
    received = np.frombuffer(payload, np.uint8)
    if spec.dtype.kind == "b" and received.max(initial=0) > 1:
        raise CodecError("bad-payload", "frame has a boolean that is neither 0 nor 1")
    out = make()
    bytes_in(out)[:] = received
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
    return Packed("fp16", (), half.nbytes, lambda into: np.copyto(into, bytes_in(half)))


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
    pack=_pack_raw,
    unpack=_unpack_raw,
    payload_bytes=lambda spec: spec.nbytes,
)
FP16 = Codec(name="fp16", pack=_pack_fp16, unpack=_unpack_fp16, payload_bytes=lambda spec: 2 * spec.size)
