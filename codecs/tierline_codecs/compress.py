"""Lossless compression where it pays, and its bounded inverse."""

import threading
from collections.abc import Callable

import lz4.block
import numpy as np
import zstandard
from numpy.typing import NDArray

from tierline_codecs.errors import CodecError

Bytes = NDArray[np.uint8]

PAYS = 0.97
"""Of the size before: what saves less than 3 % costs the receiver more than the wire."""

_PROBE_BYTES = 4096
_MOST_FROM_ONE_BYTE = 255  # what the LZ4 format can make of one byte
# Level 1, but with a table that stays in the first cache and matches of 7 bytes and more: codes have next to
# no repetitions, so looking for them is what takes the time.
_FAST = zstandard.ZstdCompressionParameters(
    strategy=zstandard.STRATEGY_FAST,
    window_log=17,
    hash_log=12,
    chain_log=6,
    search_log=1,
    min_match=7,
    target_length=0,
    write_content_size=True,
)


class _Coders(threading.local):
    """Each thread's own, since making one takes longer than using it, and none serves two threads."""

    def __init__(self) -> None:
        self.packer = zstandard.ZstdCompressor(compression_params=_FAST)
        self.unpacker = zstandard.ZstdDecompressor()


_CODERS = _Coders()


def compress(data: memoryview) -> bytes | None:
    """Return `data` as an LZ4 block, or None where that would save less than 3 %.

    Anything longer than 16 kB is judged by 4 kB from its middle first.
    """
    if len(data) > 4 * _PROBE_BYTES and _pays(_middle(data)) is None:
        return None
    return _pays(data)


def shuffle_pays(data: Bytes) -> bool:
    """Whether LZ4 makes the middle of `data` over 3 % smaller with its bits shuffled than without."""
    middle = np.frombuffer(_middle(data.data), np.uint8) if data.size > _PROBE_BYTES else data
    plain = len(lz4.block.compress(middle, store_size=False))
    return len(lz4.block.compress(shuffle(middle), store_size=False)) <= PAYS * min(plain, middle.size)


def shuffle(data: Bytes) -> Bytes:
    """Return the bits of bytes by plane, lowest first: each plane is padded to whole bytes."""
    return np.concatenate([np.packbits(data & np.uint8(1 << plane)) for plane in range(8)])


def unshuffle(planes: Bytes, size: int) -> Bytes:
    """Return the `size` bytes whose bits these planes are."""
    data = np.zeros(size, np.uint8)
    for number, plane in enumerate(planes.reshape(8, -1)):
        bits = np.unpackbits(plane, count=size)
        data |= np.left_shift(bits, number, out=bits)
    return data


def decompress(block: memoryview, size: int) -> bytes:
    """Return exactly `size` bytes out of an LZ4 block.

    Raises:
        CodecError: the block is damaged, or holds more or less than that.
    """
    if not 0 < size <= len(block) * _MOST_FROM_ONE_BYTE:
        raise _impossible(block, size)
    return _exactly(lambda: lz4.block.decompress(block, uncompressed_size=size), size)


def compress_entropy(data: Bytes) -> bytes:
    """Return bytes as one zstd frame that states their number, or as they are where that is no shorter."""
    packed = _CODERS.packer.compress(data.data)
    return packed if len(packed) < data.size else data.tobytes()


def decompress_entropy(frame: memoryview, size: int) -> Bytes:
    """Return exactly `size` bytes: a frame as long as that holds them as they are.

    zstandard ignores its own bound where a frame states its size, so the statement is compared first.

    Raises:
        CodecError: the frame is damaged, or holds more or less than that.
    """
    if len(frame) == size:
        return np.frombuffer(frame, np.uint8)
    try:
        stated = zstandard.get_frame_parameters(frame)
    except zstandard.ZstdError as error:
        raise CodecError("bad-payload", f"frame does not decompress ({error}); it is damaged") from error
    if stated.content_size != size or len(frame) > size:
        raise _impossible(frame, size)
    unpacker = _CODERS.unpacker
    data = _exactly(lambda: unpacker.decompress(frame, max_output_size=size, allow_extra_data=False), size)
    return np.frombuffer(data, np.uint8)


def _exactly(unpack: Callable[[], bytes], size: int) -> bytes:
    try:
        data = unpack()
    except (lz4.block.LZ4BlockError, zstandard.ZstdError, ValueError, OverflowError, MemoryError) as error:
        raise CodecError("bad-payload", f"frame does not decompress ({error}); it is damaged") from error
    if len(data) != size:
        raise CodecError("bad-payload", f"frame decompresses to {len(data)} bytes instead of {size}")
    return data


def _impossible(data: memoryview, size: int) -> CodecError:
    return CodecError("bad-payload", f"{len(data)} compressed bytes cannot hold {size}; the frame is damaged")


def _middle(data: memoryview) -> memoryview:
    start = (len(data) - _PROBE_BYTES) // 2
    return data[start : start + _PROBE_BYTES]


def _pays(data: memoryview) -> bytes | None:
    block: bytes = lz4.block.compress(data, store_size=False)
    return block if len(block) <= PAYS * len(data) else None
