"""A frame's header: what its tensors are and where their payloads lie; every claim is checked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import msgpack

from tierline_codecs.arrays import Spec, read_spec
from tierline_codecs.codec import Codec, Params
from tierline_codecs.errors import CodecError
from tierline_codecs.limits import DEFAULT, Limits
from tierline_codecs.registry import codec_named

PREFIX_BYTES = 16
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


@lru_cache(maxsize=256)
def write_header(fields: tuple[Field, ...]) -> tuple[bytes, list[int], int]:
    """Return the header of these tensors, where each payload starts, and where the frame ends."""
    header: bytes = msgpack.packb((fields,))
    return header, *_layout(len(header), [size for *_, size, _ in fields])


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
    if limits is DEFAULT and len(header) <= _CACHED_BYTES:
        return _cached(header)
    return _parsed(header, limits)


@lru_cache(maxsize=256)
def _cached(header: bytes) -> tuple[tuple[Entry, ...], int]:
    return _parsed(header, DEFAULT)


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
