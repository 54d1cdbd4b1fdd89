import random
import struct
import tracemalloc

import lz4.block
import msgpack
import numpy as np
import pytest
import xxhash
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tierline_codecs import CODECS, CodecError, Limits, decode, decode_tensors, encode, encode_tensors

VALID = encode(np.ones((2, 20), "f4"), "int8")


def sealed(header, payload=b"", *, magic=b"TL", version=2):
    """A frame with a right checksum, whatever it claims."""
    header = header if isinstance(header, bytes) else msgpack.packb(header)
    start = magic + bytes([version, 0]) + struct.pack("<I", len(header))
    return resealed(start + bytes(8) + header + bytes(-len(header) % 8) + payload)


def resealed(frame):
    """The same bytes with a checksum that fits them, as a malicious sender would."""
    seed = int.from_bytes(frame[:8], "little")
    return frame[:8] + struct.pack("<Q", xxhash.xxh3_64_intdigest(frame[16:], seed=seed)) + frame[16:]


def one(codec, dtype, shape, payload=b"", params=(), *more):
    """A frame of one tensor."""
    return sealed([[["", codec, dtype, shape, len(payload), params, *more]]], payload)


def step(*parts, size=1.0, count=1, masked=0):
    """Payload and parameters of a step codec."""
    return scales(size) + b"".join(parts), [count, masked, *map(len, parts)]


def scales(*values):
    return np.array(values, "<f4").tobytes()


def block(size, says_size=False):
    return lz4.block.compress(bytes(size), store_size=says_size)


HUGE = 2**31
Z = zstandard.ZstdCompressor()
REFUSED = {
    "nothing": (b"", "bad-frame"),
    "not bytes": (object(), "bad-frame"),
    "text": ("TL", "bad-frame"),
    "scattered bytes": (memoryview(VALID)[::2], "bad-frame"),
    "cut within the start": (VALID[:15], "bad-frame"),
    "cut within the header": (VALID[:20], "bad-frame"),
    "header of four gigabytes": (b"TL\2\0\xff\xff\xff\xff" + bytes(100), "bad-frame"),
    "cut within the payload": (VALID[:-1], "bad-checksum"),
    "longer than sent": (VALID + b"\0", "bad-checksum"),
    "a pickle": (b"\x80\x05K\x01." * 10, "bad-frame"),
    "another version": (sealed([[]], version=1), "bad-version"),
    "no header": (sealed(b""), "bad-header"),
    "header of garbage": (sealed(b"\xc1\xff\xff"), "bad-header"),
    "header cut short": (sealed(b"\x93\xa3raw"), "bad-header"),
    "header with a tail": (sealed(msgpack.packb([[]]) + b"\0"), "bad-header"),
    "header that nests": (sealed(b"\x91" * 2000 + b"\xc0"), "bad-header"),
    "header with a long string": (sealed(b"\xdb\xff\xff\xff\xff"), "bad-header"),
    "header with a long array": (sealed(b"\xdd\xff\xff\xff\xff"), "bad-header"),
    "header with an extension": (sealed([[], msgpack.ExtType(1, b"x")]), "bad-header"),
    "header with bad text": (sealed(b"\x92\x90\xa3\xff\xff\xff"), "bad-header"),
    "header that is a map": (sealed({}), "bad-header"),
    "header with a map": (sealed([[], {"more": 1}]), "bad-header"),
    "header that is a number": (sealed(7), "bad-header"),
    "header of numbers": (sealed([7]), "bad-header"),
    "header that is empty": (sealed([]), "bad-header"),
    "tensor that is a number": (sealed([[7]]), "bad-header"),
    "tensor without params": (sealed([[["", "raw", "u1", [0], 0]]]), "bad-header"),
    "tensor named by a number": (sealed([[[1, "raw", "u1", [0], 0, []]]]), "bad-header"),
    "tensor with a long name": (sealed([[["x" * 101, "raw", "u1", [0], 0, []]]]), "bad-header"),
    "tensor with a huge name": (sealed([[["x" * 9999, "raw", "u1", [0], 0, []]]]), "bad-header"),
    "two of one name": (sealed([[["", "raw", "u1", [0], 0, []]] * 2]), "bad-header"),
    "65 tensors": (sealed([[[str(i), "raw", "u1", [0], 0, []] for i in range(65)]]), "too-large"),
    "arrays too large together": (
        sealed([[[str(i), "int8-lz4", "f4", [2**24], 0, []] for i in range(5)]]),
        "too-large",
    ),
    "no payload where one is said": (sealed([[["", "raw", "u1", [3], 3, []]]]), "bad-payload"),
    "more payload than said": (sealed([[["", "raw", "u1", [3], 3, []]]], b"abcd"), "bad-payload"),
    "negative payload": (sealed([[["", "raw", "u1", [3], -3, []]]], b"abc"), "bad-header"),
    "huge payload": (sealed([[["", "raw", "u1", [3], 2**63, []]]], b"abc"), "bad-header"),
    "payload of 3.0": (sealed([[["", "raw", "u1", [3], 3.0, []]]], b"abc"), "bad-header"),
    "payload of true": (sealed([[["", "raw", "u1", [1], True, []]]], b"a"), "bad-header"),
    "params that are a number": (sealed([[["", "raw", "u1", [0], 0, 0]]]), "bad-header"),
    "params of floats": (one("int8", "f4", [1], scales(1) + b"\1", [0.0, 0]), "bad-header"),
    "params of booleans": (one("int8", "f4", [1], scales(1) + b"\1", [0, True]), "bad-header"),
    "raw with params": (one("raw", "u1", [1], b"a", [0]), "bad-header"),
    "fp16 with params": (one("fp16", "f4", [1], b"ab", [0]), "bad-header"),
    "int8 without params": (one("int8", "f4", [1], scales(1) + b"\1"), "bad-header"),
    "int8 with more params": (one("int8", "f4", [1], scales(1) + b"\1", [0, 0, 1, 1]), "bad-header"),
    "int8 with rows beyond its axes": (one("int8", "f4", [1], scales(1) + b"\1", [2, 0]), "bad-header"),
    "int8 with rows before its axes": (one("int8", "f4", [1], scales(1) + b"\1", [-1, 0]), "bad-header"),
    "int8 with a sign of 2": (one("int8", "f4", [1], scales(1) + b"\1", [0, 2]), "bad-header"),
    "int8 with huge params": (one("int8", "f4", [1], scales(1) + b"\1", [2**63, 0]), "bad-header"),
    "int8 in no pieces": (one("int8", "f4", [1], scales(1) + b"\1", [0, 0, 0]), "bad-header"),
    "int8 in pieces with a rest": (one("int8", "f4", [3], scales(1) + b"\1\1\1", [0, 0, 2]), "bad-header"),
    "int8 in pieces of nothing": (one("int8", "f4", [2], scales(1) + b"\1", [0, 0, 2**31]), "bad-header"),
    "int8 in pieces without scales": (one("int8", "f4", [2], scales(1) + b"\1\1", [0, 0, 2]), "bad-payload"),
    "int8 of nothing in pieces": (one("int8", "f4", [0], scales(1), [0, 0, 2**31]), "bad-payload"),
    "lz4 in pieces with a rest": (one("int8-lz4", "f4", [4], scales(1) + b"\0", [0, 0, 0, 3]), "bad-header"),
    "lz4 with more params": (one("int8-lz4", "f4", [4], scales(1) + b"\0", [0, 0, 0, 1, 1]), "bad-header"),
    "unknown codec": (one("pickle", "u1", [0]), "unknown-codec"),
    "codec that is a list": (one(["raw"], "u1", [0]), "unknown-codec"),
    "codec of bytes": (one(b"raw", "u1", [0]), "unknown-codec"),
    "unknown type": (one("raw", "O", [0]), "bad-dtype"),
    "type with byte order": (one("raw", ">f4", [0]), "bad-dtype"),
    "type that is a number": (one("raw", 4, [0]), "bad-dtype"),
    "int8 of whole numbers": (one("int8", "i4", [1], scales(1) + b"\1", [0, 0]), "bad-dtype"),
    "fp16 of booleans": (one("fp16", "b1", [1], b"\0\0"), "bad-dtype"),
    "shape that is a number": (one("raw", "u1", 3, b"abc"), "bad-shape"),
    "shape that is text": (one("raw", "u1", "abc", b"abc"), "bad-shape"),
    "shape of floats": (one("raw", "u1", [3.0], b"abc"), "bad-shape"),
    "shape of booleans": (one("raw", "u1", [True], b"a"), "bad-shape"),
    "negative side": (one("raw", "u1", [-1], b"a"), "bad-shape"),
    "two negative sides": (one("raw", "u1", [-1, -3], b"abc"), "bad-shape"),
    "nine sides": (one("raw", "u1", [1] * 9, b"a"), "bad-shape"),
    "huge side": (one("raw", "f8", [2**63]), "too-large"),
    "huge product": (one("raw", "f8", [HUGE] * 8), "too-large"),
    "huge sides hidden by a zero": (one("raw", "f8", [HUGE, HUGE, 0]), "too-large"),
    "larger than its payload": (one("raw", "f4", [1000], bytes(3999)), "bad-payload"),
    "smaller than its payload": (one("raw", "f4", [1000], bytes(4001)), "bad-payload"),
    "fp16 cut short": (one("fp16", "f4", [3], bytes(5)), "bad-payload"),
    "int8 without scales": (one("int8", "f4", [2, 20], bytes(40), [1, 0]), "bad-payload"),
    "int8 of nothing with a scale": (one("int8", "f4", [0], scales(1), [0, 0]), "bad-payload"),
    "int8 of nothing with much": (one("int8", "f4", [0], bytes(100), [0, 0]), "bad-payload"),
    "boolean of 2": (one("raw", "b1", [3], b"\0\1\2"), "bad-payload"),
    "negative scale": (one("int8", "f4", [1], scales(-1) + b"\1", [0, 0]), "bad-scale"),
    "infinite scale behind a negative zero": (
        one("int8", "f4", [2, 1], scales(-0.0, np.inf) + b"\1\1", [1, 0]),
        "bad-scale",
    ),
    "infinite scale": (one("int8", "f4", [1], scales(np.inf) + b"\1", [0, 0]), "bad-scale"),
    "scale that is no number": (one("int8", "f4", [1], scales(np.nan) + b"\1", [0, 0]), "bad-scale"),
    "scale beyond float32": (one("int8", "f4", [1], scales(3e36) + b"\x7f", [0, 0]), "bad-scale"),
    "code of -128 beyond float32": (one("int8", "f4", [1], scales(2.67e36) + b"\x80", [0, 0]), "bad-payload"),
    "unsigned scale beyond float32": (one("int8", "f4", [1], scales(1.4e36) + b"\xff", [0, 1]), "bad-scale"),
    "scale beyond float16": (one("int8", "f2", [1], scales(600) + b"\x7f", [0, 0]), "bad-scale"),
    "scale beyond bfloat16": (one("int8", "bf16", [1], scales(2.67e36) + b"\x7f", [0, 0]), "bad-scale"),
    "scale beyond float32 for float64": (one("int8", "f8", [1], scales(3e38) + b"\x80", [0, 0]), "bad-scale"),
    "lz4 of nothing": (one("int8-lz4", "f4", [0], b"", [0, 0, 0]), "bad-payload"),
    "lz4 without a block": (one("int8-lz4", "f4", [20], scales(1), [0, 0, 0]), "bad-payload"),
    "lz4 without scales": (one("int8-lz4", "f4", [20], b"\0\0", [0, 0, 0]), "bad-payload"),
    "lz4 of garbage": (one("int8-lz4", "f4", [20], scales(1) + b"\xff" * 9, [0, 0, 0]), "bad-payload"),
    "lz4 of less": (one("int8-lz4", "f4", [20], scales(1) + block(19), [0, 0, 0]), "bad-payload"),
    "lz4 of more": (one("int8-lz4", "f4", [20], scales(1) + block(21), [0, 0, 0]), "bad-payload"),
    "lz4 of planes too short": (one("int8-lz4", "f4", [20], scales(1) + block(20), [0, 0, 1]), "bad-payload"),
    "lz4 that says its size": (
        one("int8-lz4", "f4", [20], scales(1) + block(20, True), [0, 0, 0]),
        "bad-payload",
    ),
    "lz4 bomb": (one("int8-lz4", "f4", [2**26 - 1], scales(1) + bytes(100), [0, 0, 0]), "bad-payload"),
    "mask of nothing": (one("int8-mask", "f4", [0], b"", [0, 0]), "bad-payload"),
    "mask cut short": (one("int8-mask", "f4", [20], scales(1) + b"\0\0", [0, 0]), "bad-payload"),
    "mask without its codes": (one("int8-mask", "f4", [8], scales(1) + b"\3\1", [0, 0]), "bad-payload"),
    "mask with more codes": (one("int8-mask", "f4", [8], scales(1) + b"\3\1\1\1", [0, 0]), "bad-payload"),
    "mask without scales": (one("int8-mask", "f4", [8, 1], b"\0", [1, 0]), "bad-payload"),
    "step of nothing": (one("step-zstd", "f4", [0], *step(b"")), "bad-header"),
    "step without planes": (one("step-zstd", "f4", [8], scales(1), []), "bad-header"),
    "step with a mask alone": (one("step-zstd", "f4", [8], *step(b"\0", count=0, masked=1)), "bad-header"),
    "step with five planes": (one("step-zstd", "f4", [1], *step(*[b"\1"] * 5, count=5)), "bad-header"),
    "step with a plane missing": (one("step-zstd", "f4", [1], *step(b"\1", count=2)), "bad-header"),
    "step with a negative plane": (one("step-zstd", "f4", [1], scales(1), [1, 0, -1]), "bad-header"),
    "step with a longer plane": (one("step-zstd", "f4", [1], scales(1) + b"\1", [1, 0, 2]), "bad-payload"),
    "step of zeros with a tail": (one("step-zstd", "f4", [1], scales(1) + b"\1", [0, 0]), "bad-payload"),
    "step of less": (one("step-zstd", "f4", [99], *step(Z.compress(bytes(98)))), "bad-payload"),
    "step of more": (one("step-zstd", "f4", [99], *step(Z.compress(bytes(100)))), "bad-payload"),
    "step of garbage": (one("step-zstd", "f4", [99], *step(b"\xff" * 30)), "bad-payload"),
    "step bomb": (one("step-zstd", "f4", [99], *step(Z.compress(bytes(2**24)))), "bad-payload"),
    "step with a mask of all": (
        one("step-zstd", "f4", [8], *step(b"\xff", b"\1", masked=1)),
        "bad-payload",
    ),
    "negative step": (one("step-zstd", "f4", [1], *step(b"\1", size=-1)), "bad-scale"),
    "infinite step": (one("step-zstd", "f4", [1], *step(b"\1", size=np.inf)), "bad-scale"),
    "step beyond float16": (one("step-zstd", "f2", [1], *step(b"\x7f", size=600)), "bad-scale"),
    "step beyond float32": (
        one("step-zstd", "f4", [1], *step(*[b"\1"] * 4, size=1e32, count=4)),
        "bad-scale",
    ),
    "int4 cut short": (one("int4", "f4", [32], bytes(21), [0]), "bad-payload"),
    "int4 with a negative share": (
        one("int4", "f4", [32], scales(1) + b"\0\xbc" + bytes(16), [0]),
        "bad-scale",
    ),
    "int4 with an infinite share": (
        one("int4", "f4", [32], scales(1) + b"\0\x7c" + bytes(16), [0]),
        "bad-scale",
    ),
    "int4 beyond float16": (one("int4", "f2", [32], scales(9400) + bytes(18), [0]), "bad-scale"),
}  # fmt: skip


@pytest.mark.parametrize(("frame", "code"), REFUSED.values(), ids=REFUSED.keys())
def test_a_hostile_frame_is_refused_before_anything_is_allocated_for_it(frame, code):
    tracemalloc.start()
    try:
        with pytest.raises(CodecError) as raised:
            decode(frame)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert raised.value.code == code
    assert "\n" not in str(raised.value)
    assert peak < 100_000


def test_later_fields_of_a_header_are_ignored():
    assert (decode(one("raw", "u1", [2], b"ab", [], "later", [1])) == [97, 98]).all()
    assert (decode(sealed([[["", "raw", "u1", [2], 2, []]], "later"], b"ab")) == [97, 98]).all()


def test_the_extreme_code_that_we_never_send_is_within_what_a_float_holds():
    array = decode(one("int8", "f4", [2], scales(2.6e36) + b"\x80\x7f", [0, 0]))

    assert np.isfinite(array).all()


@pytest.mark.parametrize("codec", CODECS)
def test_limits_are_the_readers_own(codec):
    frame = encode(np.ones((4, 256), "f4"), codec)

    assert decode(frame, Limits(frame_bytes=len(frame), array_bytes=4096, dimensions=2)).shape == (4, 256)
    for tighter in (Limits(frame_bytes=len(frame) - 1), Limits(array_bytes=4095)):
        with pytest.raises(CodecError) as raised:
            decode(frame, tighter)
        assert raised.value.code == "too-large"
    with pytest.raises(CodecError, match="at most 1 numbers"):
        decode(frame, Limits(dimensions=1))


def test_every_single_flipped_bit_is_noticed():
    for codec in CODECS:
        frame = encode(np.arange(40, dtype="f4").reshape(2, 20), codec)
        for bit in range(8 * len(frame)):
            damaged = bytearray(frame)
            damaged[bit // 8] ^= 1 << bit % 8
            with pytest.raises(CodecError):
                decode(bytes(damaged))


def decodes_or_refuses(frame, limits):
    """Return whether it decoded; whatever else happens is raised, and so is memory beyond the limits."""
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        arrays = decode_tensors(frame, limits)
    except CodecError:
        return False
    finally:
        _, peak = tracemalloc.get_traced_memory()
        assert peak - before < 4 * limits.array_bytes + 4 * len(frame) + 100_000
    assert sum(array.nbytes for array in arrays.values()) <= limits.array_bytes
    return True


def mutated(frame, rng):
    """A frame as a malicious sender would bend it: bytes changed, cut, doubled or moved, checksum right."""
    data = bytearray(frame)
    for _ in range(rng.randint(1, 4)):
        at, length = rng.randrange(len(data)), rng.randint(1, 8)
        match rng.randrange(5):
            case 0:
                data[at] = rng.randrange(256)
            case 1:
                data[at] ^= 1 << rng.randrange(8)
            case 2:
                del data[at : at + length]
            case 3:
                data[at:at] = data[at : at + length]
            case 4:
                data[at : at + length] = rng.randbytes(length)
    return bytes(data) if len(data) < 16 or rng.random() < 0.1 else resealed(bytes(data))


def valid_frames():
    """Frames to bend: every codec, and what each does in its corners."""
    rng = np.random.default_rng(7)
    shapes = [(), (0, 3), (2, 20), (1, 4, 6, 6)]
    arrays = [rng.normal(size=shape).astype("f4") for shape in shapes]
    arrays += [np.zeros((8, 64), "f4"), np.maximum(arrays[3], 0), arrays[2].astype("f2")]
    arrays.append(np.concatenate([[300], rng.normal(size=400)]).astype("f4"))
    arrays.append(rng.normal(size=(1, 272)).astype("f4"))  # in two pieces
    frames = [bytes(encode(array, codec)) for array in arrays for codec in CODECS]
    return [*frames, bytes(encode_tensors({"a": arrays[2], "b": np.ones(3, "?")}))]


def random_frame(rng):
    """A frame of one tensor with random claims, its checksum right."""
    sides = [0, 1, 2, 3, 20, 255, 70_000, HUGE, 2**63, -1, 1.5, None, "x", True]
    payload = rng.randbytes(rng.choice([0, 1, 4, 5, 8, 22, 64]))
    codec = rng.choice([*CODECS, "zip", 1])
    shape = [rng.choice(sides[:6] if rng.random() < 0.7 else sides) for _ in range(rng.randrange(5))]
    params = rng.choice([[], [0, 0], [1, 1], [0, 1, 0], [1], [1, 0, max(len(payload) - 4, 0)]])
    return one(codec, rng.choice(["f2", "f4", "f8", "bf16", "i1", "b1", "x"]), shape, payload, params)


def test_four_thousand_bent_frames_decode_or_are_refused_within_their_limits():
    rng, limits, frames = random.Random(6), Limits(array_bytes=1_000_000), valid_frames()

    tracemalloc.start()
    try:
        decoded = sum(decodes_or_refuses(mutated(rng.choice(frames), rng), limits) for _ in range(4000))
    finally:
        tracemalloc.stop()

    assert 100 < decoded < 3900  # both ways were tried


def test_two_thousand_random_headers_and_payloads_are_refused_or_decode_within_their_limits():
    rng, limits = random.Random(8), Limits(array_bytes=1_000_000)

    tracemalloc.start()
    try:
        outcomes = {decodes_or_refuses(random_frame(rng), limits) for _ in range(2000)}
    finally:
        tracemalloc.stop()

    assert outcomes == {True, False}


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "bf16"])
def test_every_half_float_there_is_becomes_a_number_or_stays_none(dtype):
    every = np.arange(2**16, dtype="<u2")

    array = decode(one("fp16", dtype, [2**16], every.tobytes()))

    assert np.isnan(array).sum() == np.isnan(every.view("<f2")).sum()


@given(st.binary(max_size=300))
def test_random_bytes_are_refused(data):
    with pytest.raises(CodecError):
        decode(data)
    with pytest.raises(CodecError):
        decode(b"TL\x02" + data)
