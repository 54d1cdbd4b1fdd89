"""Labelled inputs from a file: JSON lines, as `python -m tierline_models.samples` prints them."""

import base64
import binascii
import json
from collections.abc import Iterator
from pathlib import Path

from tierline.errors import UsageError

MOST_BYTES = 1024 * 2**20
MOST_LINES = 1_000_000


def read_labelled(file: str) -> list[tuple[bytes, str | None]]:
    """Return raw inputs with their labels, None where there is none.

    Args:
        file: each line a JSON object with `data` in base64 and `label`, a word or null.

    Raises:
        UsageError: it cannot be read, or a line is something else; the text says which.
    """
    path = Path(file)
    try:
        if path.stat().st_size > MOST_BYTES:
            raise UsageError(f"{file} is larger than {MOST_BYTES // 2**20} MiB; calibrate on fewer inputs")
        return list(_lines(file, path.read_bytes().splitlines()))
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}") from error


def _lines(file: str, lines: list[bytes]) -> Iterator[tuple[bytes, str | None]]:
    if len(lines) > MOST_LINES:
        raise UsageError(f"{file} has over {MOST_LINES} lines; calibrate on fewer inputs")
    for number, line in enumerate(lines, start=1):
        try:
            fields = json.loads(line)
            data, label = base64.b64decode(fields["data"], validate=True), fields.get("label")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
            raise UsageError(
                f'line {number} of {file} is not {{"data": "base64", "label": "word"}} ({error!r:.60})'
            ) from error
        if label is not None and not isinstance(label, str):
            raise UsageError(f"line {number} of {file} has a label that is no word; write null for none")
        yield data, label
