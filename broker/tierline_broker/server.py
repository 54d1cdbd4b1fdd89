"""Runs a broker of our own from a generated configuration, for as long as we run."""

import errno
import ipaddress
import shutil
import socket
import sys
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from tierline_broker.embedded import embedded_command, embedded_configuration, embedded_installed
from tierline_broker.errors import ServerError
from tierline_broker.mosquitto import configuration, find_mosquitto, unprivileged_user
from tierline_broker.process import Broker, Kind, launch

_ATTEMPTS = 5  # another program may take a free port between our look and the broker's bind


@dataclass(frozen=True, slots=True, kw_only=True)
class _Listener:
    """What to run and where; `port` 0 is any free one."""

    kind: Kind
    listen: str
    port: int
    password_file: Path | None


@asynccontextmanager
async def serve(
    *,
    url: str | None = None,
    port: int = 0,
    listen: str = "127.0.0.1",
    kind: Kind | None = None,
    password_file: Path | None = None,
) -> AsyncGenerator[Broker]:
    """Have a broker for as long as the block runs.

    Args:
        url: use this broker and start none.
        port: TCP port; 0 takes a free one.
        listen: address to bind; any but a loopback address needs `password_file`.
        kind: which broker; by default Mosquitto where it is installed, else the embedded one.
        password_file: who may connect, see `write_password_file`; Mosquitto only.

    Raises:
        ServerError: no broker can be started as asked; the text names the cure.
    """
    if url is not None:
        yield Broker(url=url, kind="external")
        return
    listener = _Listener(kind=choose_broker(kind), listen=listen, port=port, password_file=password_file)
    _check(listener)
    with tempfile.TemporaryDirectory(prefix="tierline-broker-") as folder:
        broker = await _start(listener, Path(folder))
        try:
            yield broker
        finally:
            await broker.stop()


def choose_broker(kind: Kind | None = None) -> Kind:
    """Return which broker can be started here: `kind` itself, or the first that is installed.

    Raises:
        ServerError: it is not installed; the text names the command that installs it.
    """
    if kind in (None, "mosquitto") and find_mosquitto() is not None:
        return "mosquitto"
    if kind in (None, "embedded") and embedded_installed():
        return "embedded"
    mosquitto = "brew install mosquitto" if sys.platform == "darwin" else "sudo apt-get install -y mosquitto"
    embedded = "pip install 'tierline[embedded]'"
    if kind == "mosquitto":
        raise ServerError(f"Mosquitto is not installed; install it with `{mosquitto}`")
    if kind == "embedded":
        raise ServerError(f"the embedded broker is not installed; install it with `{embedded}`")
    raise ServerError(f"no MQTT broker is installed; install one with `{mosquitto}` or `{embedded}`")


def is_loopback(listen: str) -> bool:
    """Whether only this machine can reach a listener on that address."""
    try:
        return ipaddress.ip_address(listen).is_loopback
    except ValueError:
        return listen == "localhost"


def _check(listener: _Listener) -> None:
    """Refuse what would be unsafe or is bound to fail, before anything is started."""
    password_file = listener.password_file
    if password_file is None and not is_loopback(listener.listen):
        raise ServerError(
            f"refusing to listen on {listener.listen} without a password file, for anybody could connect;"
            " make one with `tierline broker --make-password-file FILE` and give it with --password-file"
            " (TLS comes with joining: until then passwords cross the network readable; prefer an SSH tunnel)"
        )
    if password_file is not None and listener.kind == "embedded":
        raise ServerError("the embedded broker knows no password file; install Mosquitto for that")
    if password_file is not None and not _is_file(password_file):
        raise ServerError(
            f"there is no password file {password_file}; make it with"
            f" `tierline broker --make-password-file {password_file}`"
        )


async def _start(listener: _Listener, folder: Path) -> Broker:
    """Start the broker on its port, or on a free one that stays free until it is bound."""
    attempts = _ATTEMPTS if listener.port == 0 else 1
    while True:
        port = _bindable(listener.listen, listener.port)
        command = _prepare(listener, port, folder)
        host = _reachable(listener.listen)
        try:
            return await launch(command, kind=listener.kind, host=host, port=port, folder=folder)
        except ServerError:
            attempts -= 1
            if attempts == 0:
                raise


def _prepare(listener: _Listener, port: int, folder: Path) -> list[str]:
    """Write the configuration into `folder` and return the command that runs it."""
    folder.mkdir(mode=0o700, exist_ok=True)  # a failed attempt has removed it
    config = folder / "broker.toml"  # the embedded broker insists on the ending
    if listener.kind == "embedded":
        config.write_text(embedded_configuration(listener.listen, port))
        return embedded_command(config)
    user, password_file = unprivileged_user(), None
    if listener.password_file is not None:
        password_file = _copied(listener.password_file, folder / "passwords")
    config.write_text(configuration(listener.listen, port, password_file=password_file, user=user))
    if user is not None:
        for path in (folder, *folder.iterdir()):
            shutil.chown(path, user)
    return [str(find_mosquitto()), "-c", str(config)]


def _is_file(password_file: Path) -> bool:
    try:
        return password_file.is_file()
    except OSError as error:  # in a folder that is closed to us
        raise _unreadable(password_file, error) from error


def _copied(password_file: Path, copy: Path) -> Path:
    """Copy the password file: the account that Mosquitto changes to could not read root's own."""
    try:
        shutil.copyfile(password_file, copy)
    except OSError as error:
        raise _unreadable(password_file, error) from error
    copy.chmod(0o600)
    return copy


def _unreadable(password_file: Path, error: OSError) -> ServerError:
    return ServerError(
        f"the password file {password_file} cannot be read ({error.strerror});"
        " run as its owner, or have its owner give it to us"
    )


def _bindable(listen: str, port: int) -> int:
    """Return `port`, or a free one where it is 0, having seen that it can be bound.

    Mosquitto takes port 0 for the name of a Unix socket, so we have to look for a free one ourselves.
    """
    if not 0 <= port <= 65_535:
        raise ServerError(f"port {port} is no TCP port; choose one from 1 to 65535, or 0 for any free one")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(listen, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ServerError(_why_not(error, listen, port)) from error


def _why_not(error: OSError, listen: str, port: int) -> str:
    """Say in one sentence why a port cannot be bound, and what to do."""
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} on {listen} is in use by another program; choose another with --port,"
            " or use the broker that is there with --broker"
        )
    if error.errno == errno.EACCES:
        return f"port {port} needs more rights than we have; choose one above 1023 with --port"
    return f"cannot listen on {listen}: {error}; --listen takes an address of this machine"


def _reachable(listen: str) -> str:
    """Return an address at which we reach a listener of ours."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen, listen)  # noqa: S104 (compared, not bound)
