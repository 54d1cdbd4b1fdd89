"""The compiled kernels: installed with the extra `native`, and no different in what they make."""

import sys
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tierline_codecs import CodecError, decode, encode, native, warm_up

CODECS = ("int8", "int8-lz4", "int8-mask", "step-zstd", "int4")
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)


@pytest.fixture(scope="module")
def kernels():
    """Compiled kernels, not in use."""
    pytest.importorskip("numba", reason="numba (the extra `native`) is not installed")
    assert warm_up() is not None
    found, native._LOADED.kernels = native._LOADED.kernels, None
    return found


def both(kernels, call):
    """What a call returns, or the code of its error, with numpy and with the kernels."""
    found = []
    for use in (None, kernels):
        native._LOADED.kernels = use
        try:
            found.append(call())
        except CodecError as error:
            found.append(error.code)
        finally:
            native._LOADED.kernels = None
    return found


def check_equal(kernels, array, codec):
    plain, compiled = both(kernels, lambda: encode(array, codec))
    assert plain == compiled
    if isinstance(plain, bytearray):
        one, other = both(kernels, lambda: decode(plain))
        assert one.dtype == other.dtype
        assert one.tobytes() == other.tobytes()


@settings(deadline=None, max_examples=150)
@given(
    array=hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=40), elements=FLOATS
    ),
    codec=st.sampled_from(CODECS),
    unsigned=st.booleans(),
)
def test_frames_and_values_are_the_same_bit_for_bit(kernels, array, codec, unsigned):
    check_equal(kernels, np.abs(array) if unsigned else array, codec)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("shape", [(3, 400), (2, 5, 30, 30), (2, 200_000), (1, 2, 400, 400)])
def test_large_arrays_and_other_floats_give_the_same_frames(kernels, shape, dtype, codec):
    array = np.random.default_rng(1).normal(size=shape).astype(dtype)

    check_equal(kernels, array, codec)
    check_equal(kernels, np.maximum(array, 0), codec)


@pytest.mark.parametrize("bad", [np.nan, -np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 5, 799])
@pytest.mark.parametrize("codec", CODECS)
def test_values_that_are_not_finite_are_refused_by_both(kernels, bad, where, codec):
    array = np.ones((2, 400), "f4")
    array.reshape(-1)[where] = bad

    assert both(kernels, lambda: encode(array, codec)) == ["not-finite", "not-finite"]


def test_arrays_and_frames_at_odd_addresses_are_read_all_the_same(kernels):
    odd = np.frombuffer(bytearray(1 + 4 * 800), np.uint8)[1:].view("f4").reshape(2, 400)
    odd[...] = np.random.default_rng(1).normal(size=odd.shape)
    frame = encode(odd, "int8")
    shifted = memoryview(bytearray(b"x") + frame)[1:]

    assert both(kernels, lambda: encode(odd, "int8")) == [frame, frame]
    assert len({array.tobytes() for array in both(kernels, lambda: decode(shifted))}) == 1


def test_arrays_that_must_not_be_written_to_are_read(kernels):
    array = np.random.default_rng(1).normal(size=(2, 400)).astype("f4")
    array.flags.writeable = False

    check_equal(kernels, array, "int8")


def test_threads_that_warm_up_together_get_the_same_kernels(kernels):
    threads = [threading.Thread(target=warm_up) for _ in range(4)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert native.kernels() == kernels
    finally:
        native._LOADED.kernels = None


@pytest.mark.parametrize("codec", ["int8", "int8-mask", "step-zstd"])
def test_what_another_library_multiplies_is_the_same_bit_for_bit(codec):
    calls = []

    def scale_rows(codes, scales, out):
        calls.append(codes.shape)
        np.multiply(codes, scales[:, None], out)

    large, small = (np.random.default_rng(1).normal(size=(rows, 512)).astype("f4") for rows in (512, 511))
    frames = [encode(array, codec) for array in (large, small)]
    plain = [decode(frame).tobytes() for frame in frames]

    native.lend(scale_rows)
    try:
        assert [decode(frame).tobytes() for frame in frames] == plain
    finally:
        native.lend(None)

    assert len(calls) == 1  # a small array is numpy's


def test_without_numba_numpy_goes_on(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "tierline_codecs.kernels", raising=False)
    monkeypatch.delattr("tierline_codecs.kernels", raising=False)

    assert warm_up() is None
    assert native.kernels() is None


def test_a_numba_that_does_not_work_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "numba", object())
    monkeypatch.delitem(sys.modules, "tierline_codecs.kernels", raising=False)
    monkeypatch.delattr("tierline_codecs.kernels", raising=False)

    with pytest.raises(CodecError, match="numba cannot compile"):
        warm_up()
