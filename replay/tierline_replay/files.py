"""Reads trace files, plain or xz, within a limit."""

import lzma
from pathlib import Path

from tierline_replay.errors import TraceError

MAX_BYTES = 64 * 2**20


def read_text(path: Path) -> str:
    """Return a file's text, unpacked if its name ends in `.xz`.

    Raises:
        TraceError: it is not there, too large, not xz, or not text.
    """
    try:
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, lzma.LZMAError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise TraceError(
            f"{path} cannot be read: {why}; check the path and that the file is whole"
        ) from error
    if len(content) > MAX_BYTES:
        raise TraceError(f"{path} has more than {MAX_BYTES} bytes of text; cut it into shorter traces")
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as error:
        raise TraceError(
            f"{path} is not a text file (byte {error.start}); name a .xz file .xz, and unpack others"
        ) from error
