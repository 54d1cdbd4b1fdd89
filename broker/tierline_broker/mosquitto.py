"""Finds Mosquitto and writes its configuration."""

import os
import pwd
import shutil
from pathlib import Path

# Debian keeps it out of an ordinary user's PATH, Homebrew in a folder that cron and ssh do not see.
_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin", "/opt/homebrew/opt/mosquitto/sbin")

# Our own cap on a payload is 1 MB, and a client that exceeds the broker's is disconnected: leave room.
MAX_PACKET_BYTES = 2 * 2**20
# Mosquitto drops silently at both limits, and 0 means "none" or "everything" by version: large, never 0.
MAX_QUEUED_MESSAGES = 100_000
MAX_QUEUED_BYTES = 256 * 2**20

_TEMPLATE = """\
# Written by tierline for one run; change nothing here.
listener {port} {listen}
{access}
{user}
persistence false
set_tcp_nodelay true
max_packet_size {max_packet_bytes}
max_queued_messages {max_queued_messages}
max_queued_bytes {max_queued_bytes}
sys_interval 5
log_dest stderr
log_type error
log_type warning
log_type notice
log_type information
log_timestamp false
connection_messages false
"""


def find_mosquitto(search_path: str | None = None) -> Path | None:
    """Return where Mosquitto is installed, or None.

    Args:
        search_path: folders to look in, PATH-like; by default PATH, then where packages put it.
    """
    if search_path is None:
        search_path = os.pathsep.join((os.environ.get("PATH", ""), *_FOLDERS))
    found = shutil.which("mosquitto", path=search_path)
    return Path(found) if found else None


def configuration(
    listen: str, port: int, *, password_file: Path | None = None, user: str | None = None
) -> str:
    """Return the configuration for one listener.

    Nothing is persisted: nodes re-publish their retained state whenever they connect.

    Args:
        listen: numeric address or host name to bind.
        port: TCP port to bind.
        password_file: who may connect; without one, anybody who reaches the listener.
        user: whom Mosquitto becomes after start; only read when it is started as root.
    """
    access = "allow_anonymous true"
    if password_file is not None:
        access = f"allow_anonymous false\npassword_file {password_file}"
    return _TEMPLATE.format(
        port=port,
        listen=listen,
        access=access,
        user=f"user {user}" if user else "",
        max_packet_bytes=MAX_PACKET_BYTES,
        max_queued_messages=MAX_QUEUED_MESSAGES,
        max_queued_bytes=MAX_QUEUED_BYTES,
    )


def unprivileged_user() -> str | None:
    """Return the account to run as when we are root, None when we are an ordinary user already."""
    if os.geteuid() != 0:
        return None
    accounts = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("mosquitto", "nobody") if name in accounts), "root")
