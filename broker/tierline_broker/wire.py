"""Records to bytes and back: a msgpack map with a version, its size checked before anything is built.

The map holds the record's fields that differ from their defaults, and `v`, the major wire version. Fields
that a receiver does not know are ignored; a major version that it does not know is refused by a typed error.
"""

from typing import Any, TypeVar

import msgpack
from pydantic import ValidationError

from tierline_broker.errors import RecordError
from tierline_broker.records import WIRE_VERSION, Record
from tierline_broker.topics import is_name

R = TypeVar("R", bound=Record)

MAX_MESSAGE_BYTES = 1024 * 1024
"""No record, payload included, is larger than this on the wire; larger payloads travel in parts."""
MAX_PAYLOAD_BYTES = 512 * 1024
"""A larger payload travels in parts."""
PART_BYTES = 256 * 1024
"""The size of a part."""
MAX_WHOLE_BYTES = 64 * 1024 * 1024
"""No payload is larger than this, all its parts together."""

# What msgpack may build from one message, whatever the message claims.
_LIMITS: dict[str, Any] = {
    "raw": False,
    "strict_map_key": True,
    "max_str_len": 64 * 1024,
    "max_bin_len": MAX_PAYLOAD_BYTES,
    "max_array_len": 100_000,
    "max_map_len": 8192,
    "max_ext_len": 0,
}


def pack(record: Record) -> bytes:
    """Return the record as bytes for the wire."""
    fields = record.model_dump(exclude_defaults=True)
    fields["v"] = WIRE_VERSION
    return bytes(msgpack.packb(fields))


def unpack(topic: str, data: bytes, record_type: type[R]) -> R:
    """Return the record that `data`, received on `topic`, holds.

    Raises:
        RecordError: for anything else than a valid record of a known version; its `code` is one of
            `too-large`, `malformed`, `unsupported-version` and `bad-record`.
    """
    fields = _fields(topic, data)
    if fields.get("v") != WIRE_VERSION:
        raise _error(
            "unsupported-version",
            f"message on {topic} has wire version {_shown(fields.get('v'))}, this program speaks"
            f" {WIRE_VERSION}; update the older of the two",
            fields,
        )
    try:
        return record_type.model_validate(fields)
    except ValidationError as exc:
        raise _error(
            "bad-record", f"message on {topic} is no {record_type.__name__}: {_first(exc)}", fields
        ) from exc


def _fields(topic: str, data: bytes) -> dict[str, Any]:
    if len(data) > MAX_MESSAGE_BYTES:
        raise RecordError(
            "too-large", f"message on {topic} has {len(data)} bytes, at most {MAX_MESSAGE_BYTES} are read"
        )
    try:
        fields = msgpack.unpackb(data, **_LIMITS)
    # msgpack raises ValueError and its own subclasses, and RecursionError-like StackError for deep nesting.
    except (ValueError, TypeError, msgpack.UnpackException) as exc:
        raise RecordError("malformed", f"message on {topic} is not the msgpack we read: {exc}") from exc
    if not isinstance(fields, dict):
        raise RecordError("malformed", f"message on {topic} is a {type(fields).__name__}, not a map")
    return fields


def _error(code: str, message: str, fields: dict[str, Any]) -> RecordError:
    """Say which request the bytes belong to and who waits for it, where that much can be read."""
    request_id, origin = fields.get("id"), fields.get("origin")
    return RecordError(
        code,
        message,
        request_id=request_id if isinstance(request_id, bytes) and len(request_id) == 16 else None,
        origin=origin if isinstance(origin, str) and is_name(origin) else None,
    )


def _first(error: ValidationError) -> str:
    # Without the input: it may be half a megabyte, and is hostile.
    details = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(str(part)[:40] for part in details['loc'])}: {details['msg'][:200]}"


def _shown(value: object) -> str:
    return repr(value)[:40] if isinstance(value, int | float | str | None) else type(value).__name__
