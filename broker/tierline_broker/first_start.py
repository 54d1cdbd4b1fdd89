"""Prepares a folder for a broker in a container: a password made once, and a configuration that wants it."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import structlog

from tierline_broker.address import DEFAULT_PORT
from tierline_broker.errors import ServerError
from tierline_broker.mosquitto import configuration
from tierline_broker.passwords import generate_password, write_password_file

USER = "tierline"
CONFIGURATION = "mosquitto.conf"
PASSWORDS = "passwords"
URL = "broker-url"

_log = structlog.get_logger()


def prepare(folder: Path, host: str) -> bool:
    """Make the password where there is none yet, and write the configuration.

    Args:
        folder: where the files go, and where the broker will find them; only their owner can read them.
        host: the name by which programs reach the broker.

    Returns:
        Whether this was the first start.

    Raises:
        ServerError: the folder cannot be written.
    """
    text = configuration("0.0.0.0", DEFAULT_PORT, password_file=folder / PASSWORDS)  # noqa: S104
    _write(folder / CONFIGURATION, text)
    if (folder / URL).exists():
        return False
    password = generate_password()
    # The URL comes last: what a start left that was cut short is made anew.
    (folder / PASSWORDS).unlink(missing_ok=True)
    write_password_file(folder / PASSWORDS, {USER: password})
    _write(folder / URL, f"mqtt://{USER}:{password}@{host}:{DEFAULT_PORT}\n")
    return True


def _write(path: Path, text: str) -> None:
    """Write a file that only we can read, in one step."""
    fresh = path.with_name(f".{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600)
        fresh.write_text(text)
        fresh.rename(path)
    except OSError as error:
        raise ServerError(
            f"{path} cannot be written ({error.strerror}); name a folder that exists and is ours"
        ) from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Prepare the folder named on the command line."""
    parser = argparse.ArgumentParser(prog="python -m tierline_broker.first_start", description=__doc__)
    parser.add_argument("folder", type=Path, help="a folder that the broker and its clients can read")
    parser.add_argument("--host", default="broker", help="name by which programs reach the broker (broker)")
    args = parser.parse_args(arguments)
    try:
        made = prepare(args.folder, args.host)
    except ServerError as error:
        parser.exit(1, f"{error}\n")
    _log.info("password_made" if made else "password_kept", folder=str(args.folder))


if __name__ == "__main__":
    main()
