"""A frame's header: what its tensors are and where their payloads lie; every claim is checked."""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import msgpack

from tierline_codecs.arrays import Spec, read_spec
from tierline_codecs.codec import Codec, Params
from tierline_codecs.errors import CodecError
from tierline_codecs.limits import DEFAULT, Limits
from tierline_codecs.registry import codec_named

MAGIC = b"TL"
VERSION = 2
KIND = int.from_bytes(MAGIC + bytes([VERSION, 0]), "little")
"""The four bytes that a frame begins with, as a number."""

PREFIX = struct.Struct("<QQ")
"""The first eight bytes, which seed the checksum, and the checksum."""

PREFIX_BYTES = PREFIX.size
_ALIGNMENT = 8  # payloads start at multiples of this, so that readers may view them as numbers
_CACHED_BYTES = 256  # longer headers are parsed each time: a stream's header is the same again and again
_NAME_CHARACTERS = 100

# name, codec, data type, shape, size of the payload, params
Field = tuple[str, str, str, tuple[int, ...], int, Params]


@dataclass(frozen=True, slots=True)
class Entry:
    """One tensor of a frame."""

    name: str
    codec: Codec
    spec: Spec
    params: Params
    start: int
    stop: int


def field_of(name: str, codec: str, spec: Spec, size: int, params: Params) -> Field:
    """Return what a header says of one tensor.

    Raises:
        CodecError: it has too many dimensions, or its name is too long.
    """
    if len(spec.shape) > DEFAULT.dimensions:
        raise CodecError(
            "bad-shape",
            f"an array of {len(spec.shape)} dimensions cannot be encoded, {DEFAULT.dimensions} can",
        )
    if not isinstance(name, str) or len(name) > _NAME_CHARACTERS:
        raise CodecError("bad-name", f"a tensor's name is text of at most {_NAME_CHARACTERS} characters")
    return name, codec, spec.name, spec.shape, size, params


class Start(NamedTuple):
    """How a frame begins, and where the rest goes."""

    head: bytes
    """Everything before the first payload but the checksum, which is zero here."""
    seed: int
    """Of the checksum."""
    slots: list[tuple[int, int]]
    """Where each payload begins and ends."""
    end: int


@lru_cache(maxsize=256)
def write_start(fields: tuple[Field, ...]) -> Start:
    """Return how the frame of these tensors begins."""
    header: bytes = msgpack.packb((fields,))
    seed = len(header) << 32 | KIND
    sizes = [size for *_, size, _ in fields]
    starts, end = _layout(len(header), sizes)
    slots = [(start, start + size) for start, size in zip(starts, sizes, strict=True)]
    return Start(PREFIX.pack(seed, 0) + header, seed, slots, end)


def _layout(header_bytes: int, sizes: Sequence[int]) -> tuple[list[int], int]:
    at, starts = PREFIX_BYTES + header_bytes, []
    for size in sizes:
        at += -at % _ALIGNMENT
        starts.append(at)
        at += size
    return starts, at


def read_header(header: bytes, limits: Limits) -> tuple[tuple[Entry, ...], int]:
    """Return the tensors that a header claims, having checked that it may, and how long such a frame is.

    Raises:
        CodecError: it is malformed or claims more than the limits.
    """
    if len(header) > _CACHED_BYTES:
        return _parsed(header, limits)
    return _cached(header, None if limits is DEFAULT else limits)


@lru_cache(maxsize=256)
def _cached(header: bytes, limits: Limits | None) -> tuple[tuple[Entry, ...], int]:
    return _parsed(header, limits or DEFAULT)


def _parsed(header: bytes, limits: Limits) -> tuple[tuple[Entry, ...], int]:
    fields = [_checked(field, limits) for field in _fields(header, limits)]
    starts, end = _layout(len(header), [size for *_, size in fields])
    total = sum(spec.nbytes for _, _, spec, _, _ in fields)
    if total > limits.array_bytes:
        raise CodecError(
            "too-large", f"frame claims {total} bytes, at most {limits.array_bytes} are accepted"
        )
    if len({name for name, *_ in fields}) < len(fields):
        raise CodecError("bad-header", "frame has two tensors of one name")
    entries = (
        Entry(name, codec, spec, params, start, start + size)
        for (name, codec, spec, params, size), start in zip(fields, starts, strict=True)
    )
    return tuple(entries), end


def _fields(header: bytes, limits: Limits) -> list[Any]:
    try:
        content: Any = msgpack.unpackb(
            header, max_ext_len=0, max_map_len=0, max_str_len=2 * _NAME_CHARACTERS, use_list=True
        )
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException) as error:
        raise CodecError(
            "bad-header", "frame's header is not msgpack, or holds what no header holds"
        ) from error
    if not isinstance(content, list) or not content or not isinstance(content[0], list):
        raise CodecError("bad-header", "frame's header is no list that starts with a list of tensors")
    fields: list[Any] = content[0]
    if len(fields) > limits.tensors:
        raise CodecError(
            "too-large", f"frame has {len(fields)} tensors, at most {limits.tensors} are accepted"
        )
    return fields


def _checked(field: object, limits: Limits) -> tuple[str, Codec, Spec, Params, int]:
    """Return name, codec, spec, params and payload bytes of one tensor; later elements are ignored."""
    if not isinstance(field, list) or len(field) < 6:
        raise CodecError("bad-header", "frame's header has a tensor without one of its six fields")
    name, codec, dtype, shape, size, params = field[:6]
    if not isinstance(name, str) or len(name) > _NAME_CHARACTERS:
        raise CodecError("bad-header", "frame has a tensor whose name is no text, or too long")
    chosen, spec = codec_named(codec), read_spec(dtype, shape, limits)
    chosen.check(spec)
    if type(size) is not int or not 0 <= size <= limits.frame_bytes:
        raise CodecError("bad-header", "frame has a payload whose size is no number within its limits")
    if not isinstance(params, list) or not all(type(one) is int for one in params):
        raise CodecError("bad-header", "frame has parameters that are no list of whole numbers")
    if math.prod(spec.shape) == 0 and size > PREFIX_BYTES:
        raise CodecError("bad-payload", "frame has a payload for an array without elements")
    return name, chosen, spec, tuple(params), size
