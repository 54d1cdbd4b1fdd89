import os
import re
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tierline_codecs import CODECS, CodecError, bytes_of, decode, decode_tensors, encode, encode_tensors

EIGHT_BIT = ["int8", "int8-lz4", "int8-mask"]
SIZED = ["raw", "fp16", "int8", "int4"]
FINITE_ONLY = [name for name in CODECS if name not in ("raw", "fp16")]
ERRORS = {"step-zstd-2": 0.02, "step-zstd": 0.05, "step-zstd-10": 0.1}
LOSSY = [name for name, codec in CODECS.items() if not codec.exact]
DTYPES = ["b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]
SHAPES = [
    (),
    (0,),
    (1,),
    (5,),
    (3, 0),
    (0, 4),
    (2, 17),
    (1, 16, 384),
    (2, 3, 8, 8),
    (1, 1280, 1, 1),
    (2,) * 8,
]
PROTOCOL = Path(__file__).parents[2] / "docs" / "protocol.md"


def floats(dtype, limit):
    elements = st.floats(-limit, limit, width=8 * np.dtype(dtype).itemsize)
    return hnp.arrays(
        dtype, hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=20), elements=elements
    )


def rows(array):
    """The rows that share a scale, as docs/protocol.md has them."""
    first = array.ndim - (2 if array.ndim == 4 else 1)
    while first > 1 and np.prod(array.shape[first:]) < 16:
        first -= 1
    length = int(np.prod(array.shape[max(first, 0) :]))
    if array.ndim != 4 and length > 256:
        length //= next((n for n in range(-(-length // 256), length // 128 + 1) if length % n == 0), 1)
    return array.reshape(-1, length) if array.size else np.empty((0, 1))


def int8_error_allowed(array):
    """Half a step of each row's scale, and rounding: of float32, and of what is handed back."""
    peaks = np.abs(rows(array.astype("f8"))).max(axis=1, keepdims=True, initial=0)
    rounding = 2.0**-20 + (2.0**-10 if array.dtype == np.float16 else 0)
    return peaks * (1 / 254 + rounding) + 2.0**-110 + (2.0**-24 if array.dtype == np.float16 else 0)


@given(
    hnp.arrays(
        st.sampled_from(DTYPES).map(np.dtype),
        hnp.array_shapes(min_dims=0, max_dims=6, min_side=0, max_side=6),
    )
)
def test_raw_returns_every_bit_of_every_type_and_shape(array):
    returned = decode(encode(array, "raw"))

    assert returned.dtype == array.dtype
    assert returned.shape == array.shape
    assert returned.tobytes() == array.tobytes()  # NaN and its payload included


@given(floats("f4", 65504) | floats("f8", 65504) | floats("f2", 65504))
def test_fp16_returns_values_within_its_stated_error(array):
    returned = decode(encode(array, "fp16"))

    assert (returned.dtype, returned.shape) == (array.dtype, array.shape)
    allowed = np.maximum(np.abs(array.astype("f8")) * 2.0**-11, 2.0**-25)
    assert (np.abs(returned.astype("f8") - array.astype("f8")) <= allowed).all()


@pytest.mark.parametrize("codec", EIGHT_BIT)
@given(array=floats("f4", float(np.finfo("f4").max)) | floats("f8", 1e30) | floats("f2", 65504))
def test_int8_returns_values_within_half_a_step_of_the_row(codec, array):
    returned = decode(encode(array, codec))

    assert (returned.dtype, returned.shape) == (array.dtype, array.shape)
    error = np.abs(rows(returned.astype("f8")) - rows(array.astype("f8")))
    assert (error <= int8_error_allowed(array)).all()


@pytest.mark.parametrize("codec", EIGHT_BIT)
@pytest.mark.parametrize(
    ("shape", "each"), [((8, 384), 192), ((4, 4096), 256), ((2, 257), 257), ((700,), 175)]
)
def test_a_long_row_is_cut_into_pieces_with_scales_of_their_own(codec, shape, each):
    array = np.random.default_rng(1).normal(size=shape).astype("f4")
    array[..., 0] = 100
    pieces = array.reshape(-1, each)

    error = np.abs(decode(encode(array, codec)).reshape(-1, each) - pieces).max(axis=1)

    assert len(encode(array, "int8")) <= array.size + 4 * len(pieces) + 64
    assert (error <= np.abs(pieces).max(axis=1) * (1 / 254 + 1e-6)).all()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
def test_the_predicted_size_is_the_size_of_the_frame(codec, shape, dtype):
    array = np.random.default_rng(1).normal(size=shape).astype(dtype)

    predicted, frame = bytes_of(shape, codec, dtype), encode(array, codec)

    assert len(frame) <= predicted
    if codec in SIZED:
        assert len(frame) == predicted


def test_a_frame_costs_at_most_64_bytes_and_a_scale_for_each_row():
    array = np.random.default_rng(1).normal(size=(1, 64, 384)).astype("f4")

    assert len(encode(array, "int8-lz4")) <= array.size + 2 * 4 * 64 + 64  # a token's vector in two pieces
    assert len(encode(array, "raw")) <= array.nbytes + 64
    assert len(encode(array, "int4")) <= array.size // 2 + 2 * array.size // 32 + 64


@pytest.mark.parametrize("codec", ERRORS)
@pytest.mark.parametrize("shape", [(1, 64, 384), (1, 32, 28, 28)])
@pytest.mark.parametrize("magnitude", [1e-30, 1, 1e30])
def test_a_step_makes_the_error_that_was_asked_for(codec, shape, magnitude):
    array = (np.random.default_rng(9).standard_t(5, size=shape) * magnitude).astype("f4")
    dense, sparse = array, np.maximum(array, 0)

    for values, most in ((dense, 1.01), (sparse, 0.8)):
        error = np.linalg.norm((decode(encode(values, codec)) - values).astype("f8"))
        assert error <= most * ERRORS[codec] * np.linalg.norm(values.astype("f8"))


@pytest.mark.parametrize("codec", ERRORS)
@pytest.mark.parametrize("dtype", ["f2", "bf16", "f4", "f8"])
@pytest.mark.parametrize("count", [1, 3, 400])
def test_a_step_reaches_as_far_as_the_data_type(codec, dtype, count):
    kind = ml_dtypes.bfloat16 if dtype == "bf16" else np.dtype(dtype)
    largest = min(float(ml_dtypes.finfo(kind).max), float(np.finfo("f4").max))
    array = (np.random.default_rng(9).uniform(-1, 1, count) * largest).astype(kind)
    array[0] = largest

    wanted, got = (one.astype("f8") / largest for one in (array, decode(encode(array, codec))))

    assert np.linalg.norm(got - wanted) <= 1.1 * ERRORS[codec] * np.linalg.norm(wanted)


def test_values_far_beyond_the_rest_cost_a_step_codec_few_bytes_and_no_error():
    array = np.random.default_rng(9).normal(size=(64, 384)).astype("f4")
    spiked = array.copy()
    spiked[::8, 7] = 80

    frame = encode(spiked, "step-zstd-2")

    assert np.abs(decode(frame) - spiked).max() < 80 * 0.02
    assert len(frame) < len(encode(array, "step-zstd-2"))  # the spikes make the step longer


@given(floats("f4", 2.0**100) | floats("f8", 2.0**100) | floats("f2", 65504))
def test_int4_returns_values_within_half_a_step_of_the_group(array):
    returned = decode(encode(array, "int4"))

    assert (returned.dtype, returned.shape) == (array.dtype, array.shape)
    padded = np.zeros(-(-array.size // 32) * 32)
    padded[: array.size] = array.reshape(-1)
    peaks = np.repeat(np.abs(padded.reshape(-1, 32)).max(axis=1, initial=0), 32)[: array.size]
    error = np.abs(returned.astype("f8") - array.astype("f8")).reshape(-1)
    allowed = peaks / 14 * 1.002 + np.abs(padded).max(initial=0) * 2.0**-24 + 2.0**-110
    assert (error <= allowed + (2.0**-24 if array.dtype == np.float16 else 0)).all()


def test_values_without_a_sign_are_coded_with_twice_the_levels():
    array = np.abs(np.random.default_rng(1).normal(size=(4, 512))).astype("f4")

    def error(values, codec):
        return np.linalg.norm(decode(encode(values, codec)) - values)

    for codec in ("int8", "int4"):
        assert error(array, codec) < 0.6 * error(-array, codec)


@pytest.mark.parametrize("codec", CODECS)
def test_bfloat16_goes_in_from_numpy_and_torch_alike_and_comes_back(codec):
    tensor = torch.randn((3, 40), generator=torch.Generator().manual_seed(3)).bfloat16()
    array = tensor.float().numpy().astype(ml_dtypes.bfloat16)

    frame = encode(tensor, codec)

    assert frame == encode(array, codec)
    assert decode(frame).dtype == ml_dtypes.bfloat16
    assert len(frame) <= bytes_of((3, 40), codec, "bf16")
    if codec == "raw":
        assert decode(frame).tobytes() == array.tobytes()
    if codec in EIGHT_BIT:
        np.testing.assert_allclose(decode(frame).astype("f4"), array.astype("f4"), atol=0.02)


def test_bfloat16_beyond_fp16_is_refused_and_its_extremes_survive_int8():
    array = np.array([[3e38, -3e38, 1], [0, 0, 0]], ml_dtypes.bfloat16)

    with pytest.raises(CodecError, match="65504"):
        encode(array, "fp16")
    np.testing.assert_allclose(decode(encode(array, "int8")).astype("f4")[0, :2], [3e38, -3e38], rtol=0.01)
    assert np.isfinite(decode(encode(array, "int8")).astype("f4")).all()


@pytest.mark.parametrize("codec", CODECS)
def test_several_named_tensors_share_a_frame(codec):
    hidden = np.random.default_rng(1).normal(size=(1, 16, 384)).astype("f4")
    mask, empty = np.ones((1, 16), "b1"), np.empty((0, 3), "f2")

    returned = decode_tensors(encode_tensors({"hidden": hidden, "mask": mask, "empty": empty}, codec))

    assert list(returned) == ["hidden", "mask", "empty"]
    np.testing.assert_array_equal(returned["hidden"], decode(encode(hidden, codec)))
    np.testing.assert_array_equal(returned["mask"], mask)
    assert (returned["empty"].shape, returned["empty"].dtype) == ((0, 3), np.float16)


def test_a_frame_of_no_tensor_or_several_is_not_taken_for_one():
    two = encode_tensors({"a": np.ones(3, "f4"), "b": np.ones(3, "f4")})

    assert decode_tensors(encode_tensors({})) == {}
    for frame in (two, encode_tensors({})):
        with pytest.raises(CodecError, match="decode_tensors"):
            decode(frame)


@pytest.mark.parametrize("codec", CODECS)
def test_values_are_written_where_the_caller_wants_them(codec):
    array = np.random.default_rng(1).normal(size=(4, 64)).astype("f4")
    out = np.empty_like(array)

    assert decode(encode(array, codec), out=out) is out
    np.testing.assert_array_equal(out, decode(encode(array, codec)))
    for other in (np.empty((64, 4), "f4"), np.empty((4, 64), "f8"), np.empty((64, 4), "f4").T):
        with pytest.raises(CodecError, match="do not fit"):
            decode(encode(array, codec), out=other)


@pytest.mark.parametrize("codec", CODECS)
def test_arrays_longer_than_the_working_memory_are_coded_in_pieces_that_join(codec):
    rng = np.random.default_rng(1)
    for shape in ((3, 70_000), (300, 500)):
        array = rng.normal(size=shape).astype("f4")
        half = array.astype("f2").astype("f4")

        np.testing.assert_allclose(decode(encode(array, codec)), array, atol=0.6)
        np.testing.assert_allclose(decode(encode(half.astype("f2"), codec)), half, atol=0.6)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("shape", SHAPES)
def test_an_encoded_array_is_left_as_it_was(codec, shape):
    array = np.random.default_rng(2).normal(size=shape).astype("f4")
    before = array.copy()
    array.flags.writeable = False

    encode(array, codec)

    assert (array == before).all()


@pytest.mark.parametrize("codec", CODECS)
def test_a_decoded_array_is_writable_aligned_and_no_view_of_the_frame(codec):
    frame = bytearray(encode(np.ones((3, 40), "f4"), codec))

    array, before = decode(frame), decode(frame)
    array += 1
    frame[-1] ^= 0xFF

    assert array.flags.aligned
    assert array.flags.owndata or array.base.flags.owndata
    assert (array == before + 1).all()


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("shape", [(), (0,), (2, 17), (1, 3, 8, 8)])
def test_a_torch_tensor_is_read_as_the_array_that_it_is(codec, shape):
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(3))

    assert encode(tensor, codec) == encode(tensor.numpy(), codec)
    assert torch.from_numpy(decode(encode(tensor, codec))).shape == tensor.shape


def test_a_tensor_with_its_axes_swapped_keeps_its_values():
    tensor = torch.arange(6.0).reshape(2, 3).T
    array = np.arange(24.0).reshape(2, 3, 4)[:, ::-1, ::2]

    assert (decode(encode(tensor, "raw")) == tensor.numpy()).all()
    assert (decode(encode(array, "raw")) == array).all()


def test_an_array_of_the_other_byte_order_makes_the_same_frame():
    array = np.arange(6, dtype=">f4")

    assert encode(array, "raw") == encode(array.astype("<f4"), "raw")
    assert decode(encode(array, "raw")).dtype.isnative


def test_a_numpy_scalar_is_an_array_without_dimensions():
    assert decode(encode(np.float32(1.5), "int8")) == np.float32(1.5)


@pytest.mark.parametrize(
    ("array", "codec", "code", "cure"),
    [
        ([1.0, 2.0], "raw", "bad-array", "give a numpy array"),
        (None, "raw", "bad-array", "give a numpy array"),
        (torch.ones(2, requires_grad=True), "raw", "bad-array", "detach it"),
        (torch.ones(2, dtype=torch.bfloat16, requires_grad=True), "raw", "bad-array", "detach it"),
        (torch.ones(2, dtype=torch.float8_e5m2), "raw", "bad-array", "convert it to one of .* float32"),
        (torch.ones(2, device="meta"), "raw", "bad-array", "move it to the CPU"),
        (np.array(["text"]), "raw", "bad-dtype", "convert to one of"),
        (np.array([None]), "raw", "bad-dtype", "convert to one of"),
        (np.ones(2, "c8"), "raw", "bad-dtype", "convert to one of"),
        (np.ones((1,) * 9), "raw", "bad-shape", "9 dimensions cannot be encoded, 8 can"),
        (np.ones(2, "i4"), "int8", "bad-dtype", "use codec raw"),
        (np.ones(2, "?"), "fp16", "bad-dtype", "use codec raw"),
        (
            np.ones(2, "f4"),
            "int9",
            "unknown-codec",
            "known are raw, fp16, int8, int8-lz4, int8-mask, step-zstd",
        ),
        (np.ones(2, "f4"), None, "unknown-codec", "known are"),
        (np.array([1, 65520.0]), "fp16", "too-large", "use raw"),
        (np.array([1e39]), "int8", "not-finite", "codec raw"),
    ],
)
def test_what_cannot_be_encoded_is_refused_with_its_cure(array, codec, code, cure):
    with pytest.raises(CodecError, match=cure) as raised:
        encode(array, codec)
    assert raised.value.code == code


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("codec", FINITE_ONLY)
@pytest.mark.parametrize("shape", [(), (7,), (3, 40), (1, 3, 8, 8)])
def test_codecs_of_small_numbers_refuse_values_that_are_not_finite_wherever_they_stand(bad, codec, shape):
    array = np.ones(shape, "f4")
    array.reshape(-1)[-1] = bad

    with pytest.raises(CodecError, match="NaN, infinite") as raised:
        encode(array, codec)
    assert raised.value.code == "not-finite"


@pytest.mark.parametrize("codec", ["raw", "fp16"])
def test_other_codecs_carry_values_that_are_not_finite(codec):
    array = np.array([np.nan, np.inf, -np.inf, 1], "f4")

    np.testing.assert_array_equal(decode(encode(array, codec)), array)


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("codec", EIGHT_BIT)
def test_the_largest_and_the_smallest_values_survive_int8(dtype, codec):
    largest = min(np.finfo(dtype).max, np.finfo("f4").max)
    array = np.array([[largest, -largest, 0], [np.finfo("f4").smallest_subnormal, 0, 0], [0, 0, 0]], dtype)

    returned = decode(encode(array, codec))

    np.testing.assert_allclose(returned[0], array[0], rtol=2e-3)
    assert (returned[1:] == 0).all()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (((3,), "int9"), "unknown-codec"),
        (((3,), "raw", "c8"), "bad-dtype"),
        (((3,), "raw", "no-such-type"), "bad-dtype"),
        (((3,), "int8", "i4"), "bad-dtype"),
        (((1,) * 9, "raw"), "bad-shape"),
    ],
)
def test_the_size_of_what_cannot_be_encoded_is_refused_as_well(arguments, code):
    with pytest.raises(CodecError) as raised:
        bytes_of(*arguments)
    assert raised.value.code == code


def test_the_frames_of_the_protocol_page_are_the_ones_we_make_and_read():
    array = np.array([[0.5, -1.0, 0.25], [0, 0, 0]], "f4")
    eighths = np.array([[64, -127, 32], [0, 0, 0]], "f4") * np.float32(1 / 127)
    returned = {
        "raw": array,
        "int8": eighths,
        "int8-mask": eighths,
        "step-zstd": decode(encode(array, "step-zstd")),
        "int4": np.array([[4, -7, 2], [0, 0, 0]], "f4") * np.float32(1 / 7),
    }

    vectors = dict(re.findall(r"```frame (\S+)\n(.*?)```", PROTOCOL.read_text(), re.DOTALL))

    assert set(vectors) == set(returned)
    for codec, text in vectors.items():
        assert encode(array, codec).hex() == "".join(text.split())
        np.testing.assert_array_equal(decode(bytes.fromhex(text)), returned[codec])


def test_the_protocol_page_names_every_codec():
    text = PROTOCOL.read_text()

    assert re.findall(
        r"^\| `([a-z0-9-]+)` \|", text.split("## Frame")[1].split("\n## ")[0], re.MULTILINE
    ) == list(CODECS)


def test_encoding_a_tensor_imports_no_torch():
    program = """
import sys
import numpy as np
from tierline_codecs import decode, encode
decode(encode(np.ones((2, 3), "f4")))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


@settings(max_examples=25)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["fp16", *EIGHT_BIT]))
def test_encoding_what_came_back_changes_nothing_more(seed, codec):
    array = np.random.default_rng(seed).normal(size=(4, 64)).astype("f4")

    once = decode(encode(array, codec))

    np.testing.assert_allclose(decode(encode(once, codec)), once, rtol=1e-6, atol=1e-12)


def test_a_raw_array_can_be_the_memory_of_its_frame():
    array = np.arange(6, dtype="f4").reshape(2, 3)
    frame = encode(array, "raw")

    view, copied = decode(frame, copy=False), decode(frame)
    frame[-4:] = np.float32(9).tobytes()

    assert (view[1, 2], copied[1, 2]) == (9, 5)
    assert not decode(bytes(encode(array, "raw")), copy=False).flags.writeable
    assert decode(encode(array, "int8"), copy=False).flags.owndata
    parts = encode_tensors({"a": array, "b": array.astype("i4")}, "raw")
    assert not any(part.flags.owndata for part in decode_tensors(parts, copy=False).values())


@pytest.mark.parametrize("codec", FINITE_ONLY)
def test_rows_of_negative_zeros_are_rows_of_zeros(codec):
    array = np.zeros((3, 64), "f4")
    array[0], array[1] = 1, -0.0

    assert np.abs(decode(encode(array, codec)) - array).max() < 0.06
