import msgpack
import numpy as np
import pytest
import zstandard

from tierline_codecs import CodecError, bytes_of, compress, decode, encode
from tierline_codecs.compress import (
    compress_entropy,
    decompress,
    decompress_entropy,
    shuffle,
    shuffle_pays,
    unshuffle,
)

NOISE = np.random.default_rng(4).integers(0, 256, 100_000, dtype=np.uint8).tobytes()


def sparse(shape, zeros):
    rng = np.random.default_rng(5)
    return (rng.normal(size=shape) * (rng.random(shape) >= zeros)).astype("f4")


def codec_in(frame):
    header = msgpack.unpackb(frame[16 : 16 + int.from_bytes(frame[4:8], "little")])
    return header[0][0][1]


@pytest.mark.parametrize("size", [1, 100, 16_384, 16_385, 100_000])
def test_what_compresses_comes_back_as_it_was(size):
    data = (b"activation" * size)[:size] if size > 1 else b"\0"

    block = compress.compress(memoryview(data))

    if size == 1:
        assert block is None
    else:
        assert len(block) < 0.97 * size
        assert decompress(memoryview(block), size) == data


@pytest.mark.parametrize("size", [0, 1, 100, 16_384, 100_000])
def test_what_saves_under_three_per_cent_is_left_alone(size):
    assert compress.compress(memoryview(NOISE[:size])) is None


def test_a_long_payload_is_judged_by_its_middle_before_all_of_it_is_compressed(monkeypatch):
    seen = []
    pays = compress._pays
    monkeypatch.setattr(compress, "_pays", lambda data: seen.append(len(data)) or pays(data))

    compress.compress(memoryview(NOISE))
    compress.compress(memoryview(bytes(100_000)))

    assert seen == [4096, 4096, 100_000]


def test_a_middle_that_promises_too_much_is_not_believed():
    data = NOISE[:48_000] + bytes(4_000) + NOISE[52_000:]
    lying = NOISE[:47_952] + bytes(2_000) + NOISE[49_952:]

    assert compress.compress(memoryview(data)) is not None
    assert compress.compress(memoryview(lying)) is None


def test_lz4_is_used_for_sparse_maps_and_left_out_for_dense_ones():
    assert codec_in(encode(sparse((1, 64, 28, 28), 0.8), "int8-lz4")) == "int8-lz4"
    assert codec_in(encode(sparse((1, 64, 384), 0.0), "int8-lz4")) == "int8"


@pytest.mark.parametrize("zeros", [0.5, 0.9, 1.0])
@pytest.mark.parametrize("shape", [(1, 64, 28, 28), (64, 384), (300,)])
def test_lz4_changes_the_size_and_not_the_values(zeros, shape):
    array = sparse(shape, zeros)

    plain, packed = encode(array, "int8"), encode(array, "int8-lz4")

    np.testing.assert_array_equal(decode(packed), decode(plain))
    assert len(packed) <= bytes_of(shape, "int8-lz4")
    if zeros > 0.5:
        assert len(packed) < 0.97 * len(plain)


@pytest.mark.parametrize("size", [0, -1, 9, 11, 10_000, 2**40])
def test_a_block_of_another_size_than_promised_is_refused(size):
    block = b"\xa0" + bytes(10)  # ten literal zeros

    assert decompress(memoryview(block), 10) == bytes(10)
    with pytest.raises(CodecError) as raised:
        decompress(memoryview(block), size)
    assert raised.value.code == "bad-payload"


@pytest.mark.parametrize("size", [0, 1, 8, 1001, 70_000])
def test_shuffled_bits_come_back_in_their_places(size):
    data = np.frombuffer(NOISE[:size], np.uint8)

    assert (unshuffle(shuffle(data), size) == data).all()


def test_bits_are_shuffled_only_where_that_helps():
    noise = np.frombuffer(NOISE[:20_000], "u1")

    assert shuffle_pays(noise & 3)
    assert not shuffle_pays(noise)
    assert not shuffle_pays(np.repeat(noise, 50))


def test_a_mask_is_used_for_maps_with_zeros_and_left_out_for_dense_ones():
    assert codec_in(encode(sparse((1, 64, 28, 28), 0.5), "int8-mask")) == "int8-mask"
    assert codec_in(encode(sparse((1, 64, 384), 0.02), "int8-mask")) == "int8"


@pytest.mark.parametrize("size", [0, 1, 100, 20_000])
@pytest.mark.parametrize("noisy", [True, False])
def test_entropy_coding_returns_every_byte_and_never_makes_more_of_them(size, noisy):
    data = np.frombuffer(NOISE[:size], "u1") if noisy else np.zeros(size, "u1")

    packed = compress_entropy(data)

    assert len(packed) <= size
    assert (decompress_entropy(memoryview(packed), size) == data).all()


ZSTD = zstandard.ZstdCompressor()
SILENT = zstandard.ZstdCompressor(write_content_size=False)


@pytest.mark.parametrize(
    "frame",
    [
        ZSTD.compress(bytes(999)),
        ZSTD.compress(bytes(1001)),
        ZSTD.compress(bytes(2**24)),
        SILENT.compress(bytes(1000)),
        ZSTD.compress(bytes(1000)) + b"more",
        ZSTD.compress(bytes(1000))[:-1],
        b"\x28\xb5\x2f\xfd",
        b"no zstd",
        b"",
    ],
)
def test_a_zstd_frame_is_refused_unless_it_states_and_holds_exactly_what_it_should(frame):
    with pytest.raises(CodecError) as raised:
        decompress_entropy(memoryview(frame), 1000)
    assert raised.value.code == "bad-payload"
