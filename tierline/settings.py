"""What a command falls back to where it is told nothing."""

import os
from pathlib import Path

from tierline.errors import UsageError

DEFAULT_PORT = 21883
"""Our brokers' port; the distribution's own Mosquitto holds 1883."""
DEFAULT_BROKER = f"mqtt://127.0.0.1:{DEFAULT_PORT}"


def broker_url(asked: str | None = None) -> str:
    """Return the broker to use: the one asked for, else `TIERLINE_BROKER`, else our default.

    Services keep the URL, which holds a password, out of their environment: `TIERLINE_BROKER_FILE` names a
    file with it, read where `TIERLINE_BROKER` is not set.

    Raises:
        UsageError: the file cannot be read or is empty.
    """
    return asked or os.environ.get("TIERLINE_BROKER") or _from_file() or DEFAULT_BROKER


def _from_file() -> str | None:
    path = os.environ.get("TIERLINE_BROKER_FILE")
    if not path:
        return None
    try:
        url = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"TIERLINE_BROKER_FILE names {path}, which cannot be read ({error}); put the broker's URL there,"
            " or name the broker with --broker"
        ) from error
    if not url:
        raise UsageError(f"TIERLINE_BROKER_FILE names {path}, which is empty; put the broker's URL there")
    return url
