"""Self-describing frames: arrays as bytes, and bytes as arrays once every claim in them is checked.

 0  2  magic "TL"
 2  1  version, 2
 3  1  zero
 4  4  length of the header, H, little-endian
 8  8  xxh3-64 of all other bytes, little-endian
16  H  header, msgpack: of each tensor its name, codec, data type, shape, size of its payload, parameters
       payloads, each from the next multiple of 8 on
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import xxhash

from tierline_codecs.arrays import DTYPES, Array, Spec, as_array, dtype_name, spec_of
from tierline_codecs.codec import Codec, Packed, Params
from tierline_codecs.errors import CodecError
from tierline_codecs.header import (
    KIND,
    MAGIC,
    PREFIX,
    PREFIX_BYTES,
    VERSION,
    Entry,
    Start,
    field_of,
    read_header,
    write_start,
)
from tierline_codecs.limits import DEFAULT, Limits
from tierline_codecs.registry import codec_named

_KIND_BITS = 0xFFFFFF  # of the first four bytes: the last is zero, and readers leave it open

Frame = bytes | bytearray | memoryview


def encode(array: object, codec: str = "int8-lz4") -> bytearray:
    """Return an array as one frame, which names the codec that was used.

    Args:
        array: a numpy array, or any CPU tensor that speaks DLPack; it is not changed.
        codec: a name of `CODECS`. Stages that save too little (LZ4, the mask) leave themselves out.

    Raises:
        CodecError: this array cannot be encoded so; the text says what would do.
    """
    values = as_array(array)
    chosen = codec_named(codec)
    spec = _for(chosen, values.dtype, values.shape)
    packed = chosen.pack(values)
    start = _start_of_one(packed.codec, spec, packed.size, packed.params)
    return _assembled(start, (packed,))


def encode_tensors(arrays: Mapping[str, object], codec: str = "int8-lz4") -> bytearray:
    """Return several named arrays as one frame.

    Args:
        arrays: by name, at most 64; whole numbers and booleans go as raw whatever `codec` is.
        codec: a name of `CODECS`.

    Raises:
        CodecError: one of them cannot be encoded so; the text says what would do.
    """
    several = len(arrays) > 1
    parts = [(name, as_array(array)) for name, array in arrays.items()]
    return encode_each(
        [(name, array, "raw" if several and not spec_of(array).is_float else codec) for name, array in parts]
    )


def encode_each(parts: Sequence[tuple[str, Array, str]]) -> bytearray:
    """Return arrays as one frame, each a name, contiguous little-endian values and a codec of its own.

    Raises:
        CodecError: one of them cannot be encoded so; the text says what would do.
    """
    if len(parts) > DEFAULT.tensors:
        raise CodecError("too-large", f"{len(parts)} tensors do not fit one frame, {DEFAULT.tensors} do")
    packed, fields = [], []
    for name, values, codec in parts:
        chosen = codec_named(codec)
        spec = _for(chosen, values.dtype, values.shape)
        one = chosen.pack(values)
        packed.append(one)
        fields.append(field_of(name, one.codec, spec, one.size, one.params))
    return _assembled(write_start(tuple(fields)), packed)


def decode(frame: Frame, limits: Limits = DEFAULT, out: Array | None = None, *, copy: bool = True) -> Array:
    """Return the one array in a frame: of the data type and shape that went in, and writable if a copy.

    Args:
        frame: bytes from anywhere.
        limits: what they may claim; checked before anything is allocated.
        out: an array to write the values into, contiguous and of the frame's data type and shape.
        copy: False lets an array that travelled `raw` be the frame's own memory: as writable as that is,
            and different once that is.

    Raises:
        CodecError: they are no frame that we accept; nothing else is raised.
    """
    view, entries = _opened(frame, limits)
    if len(entries) != 1:
        raise CodecError("not-one", f"frame holds {len(entries)} tensors; read them with decode_tensors")
    return _values(view, entries[0], out, copy=copy)


def decode_tensors(frame: Frame, limits: Limits = DEFAULT, *, copy: bool = True) -> dict[str, Array]:
    """Return the arrays in a frame by name, in the order in which they went in.

    Args:
        frame: bytes from anywhere.
        limits: what they may claim together; checked before anything is allocated.
        copy: as of `decode`.

    Raises:
        CodecError: they are no frame that we accept; nothing else is raised.
    """
    view, entries = _opened(frame, limits)
    return {entry.name: _values(view, entry, None, copy=copy) for entry in entries}


def bytes_of(shape: tuple[int, ...], codec: str = "int8-lz4", dtype: str = "f4") -> int:
    """Return how many bytes a frame takes, at most; exactly so for all codecs that do not compress.

    Args:
        shape: of the array.
        codec: a name of `CODECS`.
        dtype: a data type in numpy's spelling, such as `f4` or `float32`.

    Raises:
        CodecError: an array like that cannot be encoded so.
    """
    try:
        name = dtype if dtype in DTYPES else dtype_name(np.dtype(dtype))
    except TypeError as error:
        raise CodecError("bad-dtype", f"{dtype!r} is no data type") from error
    spec, chosen = Spec(DTYPES[name], tuple(shape), name), codec_named(codec)
    chosen.check(spec)
    size = chosen.payload_bytes(spec)
    return write_start((field_of("", codec, spec, size, chosen.longest_params(spec)),)).end


@lru_cache(maxsize=256)
def _for(codec: Codec, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Spec:
    """Return what a codec is to code; raises CodecError where it is not for that."""
    spec = Spec(dtype, shape, dtype_name(dtype))
    codec.check(spec)
    return spec


@lru_cache(maxsize=256)
def _start_of_one(codec: str, spec: Spec, size: int, params: Params) -> Start:
    """Return how the frame of one tensor without a name begins."""
    return write_start((field_of("", codec, spec, size, params),))


def _assembled(start: Start, packed: Sequence[Packed]) -> bytearray:
    """Return the frame, every payload written where it is to lie."""
    frame = _written(start, packed)
    PREFIX.pack_into(frame, 0, start.seed, _checksum(memoryview(frame), start.seed))
    return frame


def _written(start: Start, packed: Sequence[Packed]) -> bytearray:
    """Return a frame without its checksum."""
    for one in packed:
        if one.write:
            break
    else:
        return bytearray().join(_chunks(start, packed))  # which clears no memory before it writes
    frame = bytearray(start.end)
    frame[: len(start.head)] = start.head
    for one, (left, right) in zip(packed, start.slots, strict=True):
        if one.write:
            one.write(frame, left)
        else:
            np.concatenate(one.parts, out=np.ndarray(right - left, np.uint8, frame, left))
    return frame


def _chunks(start: Start, packed: Sequence[Packed]) -> list[bytes | memoryview]:
    """Return a frame's bytes in order."""
    chunks: list[bytes | memoryview] = [start.head]
    at = len(start.head)
    for one, (left, right) in zip(packed, start.slots, strict=True):
        chunks.append(bytes(left - at))
        chunks.extend([part.data for part in one.parts])
        at = right
    return chunks


def _opened(frame: Frame, limits: Limits) -> tuple[memoryview, tuple[Entry, ...]]:
    """Return a frame's bytes and what it holds, having checked that they are ours and undamaged."""
    view = _bytes(frame, limits)
    seed, checksum = PREFIX.unpack_from(view)
    if (seed ^ KIND) & _KIND_BITS:
        raise _foreign(view)
    stop = PREFIX_BYTES + (seed >> 32)
    if stop > len(view):
        raise CodecError("bad-frame", f"frame is cut short: {len(view)} bytes end within its header")
    if _checksum(view, seed) != checksum:
        raise CodecError("bad-checksum", "frame is damaged or cut short: its checksum does not match")
    entries, end = read_header(bytes(view[PREFIX_BYTES:stop]), limits)
    if end != len(view):
        raise CodecError("bad-payload", f"frame has {len(view)} bytes where its header asks for {end}")
    return view, entries


def _bytes(frame: Frame, limits: Limits) -> memoryview:
    """Return a frame's bytes, having checked that they are not too many or too few."""
    try:
        view = memoryview(frame)
        view = view if view.format == "B" and view.ndim == 1 and view.c_contiguous else view.cast("B")
    except (TypeError, ValueError) as error:
        raise CodecError("bad-frame", f"a {type(frame).__name__} is no frame") from error
    if len(view) > limits.frame_bytes:
        raise CodecError(
            "too-large", f"frame of {len(view)} bytes, at most {limits.frame_bytes} are accepted"
        )
    if len(view) < PREFIX_BYTES:
        raise CodecError("bad-frame", f"frame is cut short: {len(view)} bytes")
    return view


def _foreign(view: memoryview) -> CodecError:
    if view[: len(MAGIC)] != MAGIC:
        return CodecError("bad-frame", "these bytes are no Tierline frame")
    return CodecError(
        "bad-version",
        f"frame is of version {view[len(MAGIC)]}, this is {VERSION}; update the older side",
    )


def _values(view: memoryview, entry: Entry, out: Array | None, *, copy: bool) -> Array:
    spec = entry.spec
    if out is not None and not _fits(out, spec):
        raise CodecError("bad-array", f"the frame's {spec.dtype.name} {spec.shape} do not fit `out`")
    payload = view[entry.start : entry.stop]
    if not copy and out is None and entry.codec.view:
        array = entry.codec.view(payload, entry.params, spec)
    else:
        array = entry.codec.unpack(payload, entry.params, spec, lambda: _memory(spec) if out is None else out)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _fits(out: Array, spec: Spec) -> bool:
    flags = out.flags
    return out.dtype == spec.dtype and out.shape == spec.shape and flags.c_contiguous and flags.writeable


def _memory(spec: Spec) -> Array:
    return np.empty(spec.shape, spec.dtype)


def _checksum(view: memoryview, seed: int) -> int:
    return xxhash.xxh3_64_intdigest(view[PREFIX_BYTES:], seed)
