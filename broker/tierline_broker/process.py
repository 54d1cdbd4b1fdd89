"""A broker's process: started under a guard, ready when it answers MQTT, ended in one way or another."""

import asyncio
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

from tierline_broker.errors import ServerError

Kind = Literal["mosquitto", "embedded"]

_GUARD = Path(__file__).with_name("guard.py")
_START_SECONDS = 30.0  # an emulated Raspberry Pi takes several
_STOP_SECONDS = 5.0
_PROBE_SECONDS = 0.01

# CONNECT: MQTT 5, clean start, keep-alive 5 s, no properties, client id "tierline-ready"; then DISCONNECT.
_CONNECT = b"\x10\x1b\x00\x04MQTT\x05\x02\x00\x05\x00\x00\x0etierline-ready"
_CONNACK = b"\x20"
_DISCONNECT = b"\xe0\x00"


class Broker:
    """A broker to use; `port` and `pid` are None where it is not ours (an explicit URL)."""

    def __init__(
        self,
        *,
        url: str,
        kind: Kind | Literal["external"],
        port: int | None = None,
        pid: int | None = None,
        guard: asyncio.subprocess.Process | None = None,
    ) -> None:
        self.url = url
        self.kind = kind
        self.port = port
        self.pid = pid
        self._guard = guard

    async def wait(self) -> int:
        """Wait until the broker has ended and return its exit code.

        Raises:
            ServerError: the broker is not ours to watch.
        """
        if self._guard is None:
            raise ServerError(f"the broker at {self.url} was not started here")
        return await self._guard.wait()

    async def stop(self) -> None:
        """End the broker as a service manager would, and wait until it is gone."""
        if self._guard is None or self._guard.stdin is None:
            return
        self._guard.stdin.close()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await self._guard.wait()
        except TimeoutError:
            self._signal(signal.SIGKILL)
            self._guard.kill()
            await self._guard.wait()

    async def kill(self) -> None:
        """End the broker at once, without a word to its clients (a crash, for tests)."""
        self._signal(signal.SIGKILL)
        await self.wait()

    def pause(self) -> None:
        """Keep the broker from doing anything while its connections stay open (a hang, for tests)."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let a paused broker go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None and self._guard is not None and self._guard.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)


async def launch(command: list[str], *, kind: Kind, host: str, port: int, folder: Path) -> Broker:
    """Start a broker and return once it has answered an MQTT 5 handshake.

    Args:
        command: the broker's own command line.
        kind: which broker that is.
        host: address at which we reach it.
        port: its port.
        folder: holds its configuration and its messages; gone when the broker and we are.

    Raises:
        ServerError: it ended or did not answer; the text ends with its own last words.
    """
    log = folder / "broker.log"
    with log.open("wb") as messages:
        # A session of its own: Ctrl-C is for us, and we end the broker last.
        guard = await asyncio.create_subprocess_exec(
            sys.executable, "-I", "-S", str(_GUARD), str(folder), *command,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=messages,
            start_new_session=True,
        )  # fmt: skip
    broker = Broker(url=broker_url(host, port), kind=kind, port=port, guard=guard)
    try:
        async with asyncio.timeout(_START_SECONDS):
            broker.pid = await _first_number(guard)
            await _until_ready(guard, host, port)
    except (TimeoutError, ServerError) as error:
        reason = _last_words(log, error)
        await broker.stop()
        raise ServerError(f"{kind} could not serve {broker.url}: {reason}") from error
    except BaseException:
        await broker.stop()
        raise
    return broker


def broker_url(host: str, port: int) -> str:
    """Return the URL of a broker without TLS."""
    return f"mqtt://[{host}]:{port}" if ":" in host else f"mqtt://{host}:{port}"


async def answers(host: str, port: int) -> bool:
    """Whether an MQTT 5 broker answers there, be it with a refusal."""
    writer = None
    try:
        async with asyncio.timeout(1.0):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(_CONNECT)
            answer = await reader.readexactly(1)
            writer.write(_DISCONNECT)
            await writer.drain()
            return answer == _CONNACK
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return False
    finally:
        if writer is not None:
            writer.close()


async def _first_number(guard: asyncio.subprocess.Process) -> int | None:
    """Return the process id that the guard says first, None where it could not start the broker."""
    line = await guard.stdout.readline() if guard.stdout else b""
    return int(line) if line.strip().isdigit() else None


async def _until_ready(guard: asyncio.subprocess.Process, host: str, port: int) -> None:
    """Wait until clients may come; a foreign program's readiness can only be asked for again and again."""
    while not await answers(host, port):
        if guard.returncode is not None:
            raise ServerError(f"it ended with code {guard.returncode}")
        await asyncio.sleep(_PROBE_SECONDS)


def _last_words(log: Path, error: Exception) -> str:
    """Say what the broker wrote before it went."""
    lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
    reason = str(error) or f"no answer within {_START_SECONDS:g} s"
    return f"{reason}; its last words: {' '.join(lines[-2:])[:300]}" if lines else reason
