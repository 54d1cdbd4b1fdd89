import ml_dtypes
import numpy as np
import pytest

from tierline_codecs import CODECS, Calibration, CodecError, calibrate, decode, encode, encode_tensors

RNG = np.random.default_rng(21)
SPREAD = np.exp(RNG.normal(size=384)).astype("f4")
OFFSET = RNG.normal(size=384).astype("f4") * 3
SPIKES = np.zeros(384, "f4")
SPIKES[[7, 300]] = 60


def hidden(tokens, seed=1):
    """Channels of different means and widths, two of them massive now and then."""
    rng = np.random.default_rng(seed)
    usual = rng.normal(size=(1, tokens, 384)) * SPREAD + OFFSET
    return (usual + SPIKES * (rng.random((1, tokens, 1)) < 0.2)).astype("f4")


CALIBRATION = calibrate([hidden(200, seed) for seed in (2, 3)], outliers=2)


def relative(returned, array):
    return np.linalg.norm((returned - array).astype("f8")) / np.linalg.norm(array.astype("f8"))


def test_channels_of_different_widths_lose_less_when_calibrated():
    array = hidden(64)

    plain = relative(decode(encode(array, "int8")), array)
    calibrated = relative(CALIBRATION.decode(CALIBRATION.encode(array, "int8")), array)

    assert CALIBRATION.outliers.tolist() == [7, 300]
    assert calibrated < 0.6 * plain


def test_a_calibrated_frame_costs_the_outliers_and_little_more():
    array = hidden(64)

    assert len(CALIBRATION.encode(array)) <= len(encode(array, "int8")) + 2 * 2 * 64 + 100


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", ml_dtypes.bfloat16])
def test_every_codec_and_float_can_be_calibrated(codec, dtype):
    array = hidden(16).astype(dtype)

    returned = CALIBRATION.decode(CALIBRATION.encode(array, codec))

    assert (returned.dtype, returned.shape) == (array.dtype, array.shape)
    assert relative(returned.astype("f4"), array.astype("f4")) < 0.15


def test_the_channels_of_a_map_are_its_second_axis():
    wide = np.array([1, 100, 1e4], "f4").reshape(1, 3, 1, 1)
    array = (np.random.default_rng(1).normal(size=(1, 3, 9, 9)) * wide + 5 * wide).astype("f4")
    calibration = calibrate([array], outliers=1)

    returned = calibration.decode(calibration.encode(array))

    assert calibration.outliers.tolist() == [2]
    np.testing.assert_allclose(calibration.mean, 5 * wide.reshape(-1), rtol=0.2)
    assert relative(returned[:, 0], array[:, 0]) < 0.003


def test_what_a_bundle_keeps_makes_the_same_calibration():
    again = Calibration.from_arrays(CALIBRATION.to_arrays())

    assert again.digest == CALIBRATION.digest
    assert (
        again.decode(CALIBRATION.encode(hidden(4))) == CALIBRATION.decode(CALIBRATION.encode(hidden(4)))
    ).all()
    with pytest.raises(CodecError, match="has no 'scale'"):
        Calibration.from_arrays({"mean": CALIBRATION.mean})


def test_a_frame_is_read_only_with_the_calibration_that_made_it():
    frame = CALIBRATION.encode(hidden(4))
    other = calibrate([hidden(50, 9)])

    with pytest.raises(CodecError, match="another calibration"):
        other.decode(frame)
    with pytest.raises(CodecError, match="decode_tensors"):
        decode(frame)
    with pytest.raises(CodecError, match="decode it without"):
        CALIBRATION.decode(encode(hidden(4)))


@pytest.mark.parametrize(
    "parts",
    [
        {"": hidden(4)},
        {"": hidden(4), "outliers": np.ones((1, 4, 3), "f4")},
        {"": hidden(4), "outliers": np.ones((1, 4, 2), "f8")},
        {"": np.ones((4, 5), "f4"), "outliers": np.ones((4, 2), "f4")},
        {"": np.ones((), "f4")},
        {"": np.ones((4, 384), "i4")},
    ],
)
def test_a_frame_that_only_claims_a_calibration_is_refused(parts):
    digest = np.frombuffer(CALIBRATION.digest, "u1")

    with pytest.raises(CodecError):
        CALIBRATION.decode(encode_tensors({**parts, "calibration": digest}, "raw"))


def test_what_cannot_be_calibrated_is_refused():
    one, none = np.ones(2, "f4"), np.empty(0, "i8")

    for mean, scale, outliers in (
        (one, one[:1], none),
        (one * np.nan, one, none),
        (one, one * 0, none),
        (one, one, np.array([2])),
    ):
        with pytest.raises(CodecError):
            Calibration(mean=mean, scale=scale, outliers=outliers)
    for arrays in ([], [np.empty((0, 3), "f4")]):
        with pytest.raises(CodecError, match="at least one"):
            calibrate(arrays)
    with pytest.raises(CodecError, match="384 calibrated channels"):
        CALIBRATION.encode(np.ones((2, 383), "f4"))
    with pytest.raises(CodecError, match="whole numbers"):
        CALIBRATION.encode(np.ones((2, 384), "i4"))
    with pytest.raises(CodecError, match="NaN"):
        CALIBRATION.encode(np.full((2, 384), np.nan, "f4"))
