"""Child processes that end with us, and whose own end is noticed: each is a program of the deployment."""

import asyncio
import json
import os
import signal
import sys
from asyncio.subprocess import PIPE
from collections import deque
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import structlog

from tierline_replay.errors import ChildError, ChildRefusedError

_KEPT_LINES = 12
_LINE_BYTES = 4096
_STOP_SECONDS = 1.0  # then they are killed: we promise to be gone within two
_REFUSED = 2

_log = structlog.get_logger()


class Child:
    """A running program; made by `supervise`.

    Attributes:
        name: what it is called.
        last_lines: the last it said on stderr.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.last_lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def say(self, what: Mapping[str, Any]) -> None:
        """Write one JSON line to its standard input; a child that is gone is left to `watch`."""
        if self._process.stdin is not None and not self._process.stdin.is_closing():
            self._process.stdin.write(json.dumps(what).encode() + b"\n")

    async def watch(self) -> None:
        """Keep its last lines until it ends.

        Raises:
            ChildError: it has ended, which it should not have by itself.
        """
        assert self._process.stderr is not None  # noqa: S101 (asked for when it was started)
        while chunk := await _line(self._process.stderr):
            line = chunk[:_LINE_BYTES].decode(errors="replace").rstrip()
            self.last_lines.append(line)
            _log.debug("child_said", child=self.name, line=line)
        code = await self._process.wait()
        kind = ChildRefusedError if code == _REFUSED else ChildError
        raise kind(self.name, code, tuple(self.last_lines))

    async def stop(self) -> None:
        """Ask it to end, insist after a while, and wait until it is gone."""
        self._signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._process.wait()
        except TimeoutError:
            _log.warning("child_killed", child=self.name, waited=_STOP_SECONDS)
            self._signal(signal.SIGKILL)
            await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        if self._process.returncode is None:
            with suppress(ProcessLookupError):
                self._process.send_signal(number)


class Supervisor:
    """Starts children and watches them; made by `supervise`."""

    def __init__(self, watchers: asyncio.TaskGroup, environment: Mapping[str, str]) -> None:
        self.children: dict[str, Child] = {}
        self._watchers = watchers
        self._environment = environment
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self, name: str, command: Sequence[str]) -> Child:
        """Start a program and return at once.

        Args:
            name: what to call it.
            command: what follows `python -m`.
        """
        child = await _start(name, command, self._environment)
        self.children[name] = child
        self._tasks.append(self._watchers.create_task(child.watch(), name=f"watch-{name}"))
        return child

    def unwatch(self) -> None:
        """Let children end."""
        for task in self._tasks:
            task.cancel()

    async def stop_all(self) -> None:
        """Ask all children to end at once, and wait until they are gone."""
        async with asyncio.TaskGroup() as tasks:
            for child in self.children.values():
                tasks.create_task(child.stop(), name=f"stop-{child.name}")


@asynccontextmanager
async def supervise(environment: Mapping[str, str] | None = None) -> AsyncGenerator[Supervisor]:
    """Have programs run for as long as the block lasts; one that ends before is an error that ends the block.

    Args:
        environment: to be added to ours; unlike a command line, others cannot read it.

    Raises:
        ChildError: one ended by itself; the text has its name and its last lines.
    """
    supervisor = None
    try:
        async with asyncio.TaskGroup() as watchers:
            supervisor = Supervisor(watchers, environment or {})
            try:
                yield supervisor
            finally:
                supervisor.unwatch()
    except BaseExceptionGroup as several:
        # Several may end of one cause; the first to do so tells most of it.
        raise several.exceptions[0] from several.exceptions[0].__cause__
    finally:
        if supervisor is not None:
            await supervisor.stop_all()


async def _start(name: str, command: Sequence[str], environment: Mapping[str, str]) -> Child:
    # A session of its own: Ctrl-C is for us, and we end it. One thread each: they share this machine.
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", *command,
        stdin=PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=PIPE,
        start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    )  # fmt: skip
    return Child(name, process)


async def _line(stream: asyncio.StreamReader) -> bytes:
    """Return the next line, a piece of it where it is very long, or nothing at the end."""
    try:
        return await stream.readline()
    except ValueError:
        return await stream.read(_LINE_BYTES)
