"""`tierline broker`: a real broker from a generated configuration, ready when it says so, gone when we go."""

import json
from argparse import Namespace
from contextlib import suppress
from pathlib import Path

import structlog

from tierline.errors import RunError, UsageError
from tierline.lifetime import Stopped, run_until_stopped
from tierline_broker import Broker, generate_password, is_loopback, serve, write_password_file

_USER = "tierline"

_log = structlog.get_logger()


def main(args: Namespace) -> int:
    """Run the command."""
    if args.make_password_file is not None:
        return _make_password_file(Path(args.make_password_file), as_json=args.json)
    _refuse_unsafe(args)
    with suppress(Stopped):  # that is how a service ends
        run_until_stopped(_serve(args))
    return 0


async def _serve(args: Namespace) -> None:
    password_file = None if args.password_file is None else Path(args.password_file)
    async with serve(
        port=args.port,
        listen=args.listen,
        kind="embedded" if args.embedded else None,
        password_file=password_file,
    ) as broker:
        _announce(broker, as_json=args.json)
        code = await broker.wait()
    raise RunError(f"the {broker.kind} broker ended by itself with code {code}; start it again")


def _refuse_unsafe(args: Namespace) -> None:
    """Say no before anything starts, and offer the command that makes it safe."""
    if args.open and not is_loopback(args.listen):
        raise UsageError(
            f"--open lets anybody in, so it binds loopback only, not {args.listen};"
            " leave out --listen or --open"
        )
    if args.open and args.password_file is not None:
        raise UsageError("--open means no password: leave out --open or --password-file")
    if args.password_file is None and not is_loopback(args.listen):
        raise UsageError(
            f"refusing to listen on {args.listen} without a password file, for anybody could connect;"
            " make one with `tierline broker --make-password-file passwords` and add"
            " --password-file passwords (TLS comes with joining: until then a password crosses the network"
            " readable, so prefer an SSH tunnel)"
        )
    if args.password_file is not None and not Path(args.password_file).is_file():
        raise UsageError(
            f"there is no password file {args.password_file}; make it with"
            f" `tierline broker --make-password-file {args.password_file}`"
        )


def _announce(broker: Broker, *, as_json: bool) -> None:
    """Say on stdout that clients may come; scripts wait for this line."""
    if as_json:
        print(
            json.dumps({"url": broker.url, "kind": broker.kind, "port": broker.port, "pid": broker.pid}),
            flush=True,
        )
    else:
        print(f"{broker.kind} is ready at {broker.url} (Ctrl-C ends it)", flush=True)


def _make_password_file(path: Path, *, as_json: bool) -> int:
    password = generate_password()
    write_password_file(path, {_USER: password})
    if as_json:
        print(json.dumps({"file": str(path), "user": _USER, "password": password}))
    else:
        print(f"{path} lets one user in: {_USER}, password {password}")
        print("The password is shown this once. Programs take it in the URL:")
        print(f"  export TIERLINE_BROKER=mqtt://{_USER}:{password}@HOST:PORT")
    return 0
