"""Names of this machine's programs: host, tier and four hex digits, kept across restarts."""

import fcntl
import os
import re
import secrets
import socket
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import platformdirs
import structlog

from tierline_broker import is_name

_SLOTS = 1000  # programs of one kind on one machine
_HOST_CHARACTERS = 40  # leaves room for tier and digits in the 63 that a name may have

_log = structlog.get_logger()


@contextmanager
def own_name(asked: str | None, kind: str, site: str) -> Generator[str]:
    """Hold a name for as long as the program runs: the one asked for, else one kept from earlier runs.

    Two programs of one kind that run at once get two names, each the same one at the next start.

    Args:
        asked: what the user wants to be called.
        kind: `mobile`, `edge`, `cloud` or `scheduler`.
        site: the deployment; names of different sites are independent.

    """
    if asked is not None:
        yield asked
        return
    try:
        slot, name = _take(state_folder() / "names" / site, kind)
    except OSError as error:
        _log.warning(
            "name_not_kept", reason=str(error), cure="set TIERLINE_STATE to a folder you may write to"
        )
        yield _fresh(kind)
        return
    try:
        yield name
    finally:
        os.close(slot)


def state_folder() -> Path:
    """Where names are kept: `TIERLINE_STATE`, else the user's state directory."""
    chosen = os.environ.get("TIERLINE_STATE")
    return Path(chosen) if chosen else platformdirs.user_state_path("tierline")


def _take(folder: Path, kind: str) -> tuple[int, str]:
    """Lock the first slot that no running program holds; the lock goes with the process."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(1, _SLOTS + 1):
        slot = os.open(folder / f"{kind}.{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(slot)
            continue
        return slot, _kept(slot, kind)
    raise OSError(f"{_SLOTS} programs of kind {kind} run here already")


def _kept(slot: int, kind: str) -> str:
    """Return the name in a slot, writing a fresh one where there is none that can be used."""
    name = os.read(slot, 100).decode(errors="replace").strip()
    if not is_name(name):
        name = _fresh(kind)
        os.ftruncate(slot, 0)
        os.pwrite(slot, f"{name}\n".encode(), 0)
    return name


def _fresh(kind: str) -> str:
    host = re.sub(r"[^a-z0-9]+", "-", socket.gethostname().partition(".")[0].lower()).strip("-")
    return f"{host[:_HOST_CHARACTERS].strip('-') or 'host'}-{kind}-{secrets.token_hex(2)}"
