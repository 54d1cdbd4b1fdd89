import asyncio
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from tierline_broker import process, server
from tierline_broker.errors import ServerError
from tierline_broker.process import answers
from tierline_broker.server import serve

BOTH = pytest.mark.parametrize("kind", ["mosquitto", "embedded"])


def reachable(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def gone(pid):
    """Wait until a process that need not be our child has ended."""
    with suppress(psutil.NoSuchProcess):
        await asyncio.to_thread(psutil.Process(pid).wait, timeout=10)


@BOTH
async def test_a_broker_is_ready_when_it_says_so_and_gone_when_we_go(kind, connack):
    async with serve(kind=kind) as broker:
        assert broker.kind == kind
        assert broker.url == f"mqtt://127.0.0.1:{broker.port}"
        assert await connack(broker.port) == 0
        assert psutil.pid_exists(broker.pid)

    assert not reachable(broker.port)
    await gone(broker.pid)


@BOTH
async def test_a_broker_serves_again_on_the_port_where_it_was_killed(kind, start_broker, connack):
    first = await start_broker(kind=kind)
    await first.kill()
    assert not reachable(first.port)

    second = await start_broker(kind=kind, port=first.port)

    assert second.port == first.port
    assert await connack(second.port) == 0


async def test_a_killed_broker_ends_with_the_code_of_its_signal(start_broker):
    broker = await start_broker()

    await broker.kill()

    assert await broker.wait() in (-signal.SIGKILL, 256 - signal.SIGKILL)
    await broker.kill()  # once more does no harm
    await broker.stop()


async def test_a_paused_broker_answers_nobody_until_it_is_resumed(start_broker):
    broker = await start_broker()

    broker.pause()
    paused = await answers("127.0.0.1", broker.port)
    broker.resume()

    assert not paused
    assert await answers("127.0.0.1", broker.port)


async def test_a_broker_that_will_not_end_is_ended(start_broker, monkeypatch):
    monkeypatch.setattr(process, "_STOP_SECONDS", 0.2)
    broker = await start_broker()
    broker.pause()  # a stopped process keeps SIGTERM pending for ever

    await broker.stop()

    await gone(broker.pid)


@BOTH
async def test_a_broker_does_not_outlive_a_program_that_was_killed(kind):
    program = f"""
import asyncio
from tierline_broker.server import serve
async def main():
    async with serve(kind={kind!r}) as broker:
        print(broker.pid, broker.port, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    pid, port = map(int, (await parent.stdout.readline()).split())
    assert reachable(port)
    parent.kill()
    await parent.wait()

    await gone(pid)
    assert not reachable(port)


async def test_an_explicit_url_starts_nothing():
    async with serve(url="mqtt://broker.example", port=1) as broker:
        assert (broker.url, broker.kind, broker.port, broker.pid) == (
            "mqtt://broker.example",
            "external",
            None,
            None,
        )
        await broker.stop()
        with pytest.raises(ServerError, match="not started here"):
            await broker.wait()


@BOTH
async def test_a_port_in_use_is_one_clear_sentence(kind, start_broker):
    first = await start_broker(kind="mosquitto")

    with pytest.raises(
        ServerError, match=rf"port {first.port} on 127\.0\.0\.1 is in use .* --port, .* --broker$"
    ):
        await start_broker(kind=kind, port=first.port)


async def test_a_free_port_taken_at_the_last_moment_is_given_up_for_another(start_broker, monkeypatch):
    taken = (await start_broker()).port
    offers = iter([taken])
    look = server._bindable
    monkeypatch.setattr(server, "_bindable", lambda listen, port: next(offers, None) or look(listen, port))
    monkeypatch.setattr(process, "answers", answers_only_for_others(taken))

    broker = await start_broker()

    assert broker.port != taken


def answers_only_for_others(taken):
    async def check(host, port):
        if port == taken:
            await asyncio.sleep(0.05)
            return False
        return await answers(host, port)

    return check


async def test_a_broker_that_cannot_start_says_its_last_words(monkeypatch):
    monkeypatch.setattr(server, "configuration", lambda *_, **__: "no_such_option 1\n")

    with pytest.raises(
        ServerError, match=r"mosquitto could not serve .* ended with code \d+; .*no_such_option"
    ):
        async with serve(kind="mosquitto"):
            pass


async def test_a_broker_that_never_answers_is_given_up_and_ended(monkeypatch):
    monkeypatch.setattr(process, "_START_SECONDS", 0.2)
    monkeypatch.setattr(
        server, "embedded_command", lambda _: [sys.executable, "-c", "import time; time.sleep(60)"]
    )
    monkeypatch.setattr(server, "choose_broker", lambda _: "embedded")

    with pytest.raises(ServerError, match=r"embedded could not serve .*: no answer within 0\.2 s$"):
        async with serve():
            pass


async def test_a_start_that_is_cancelled_leaves_nothing_behind(tmp_path, monkeypatch):
    note = tmp_path / "pid"
    os.mkfifo(note)
    monkeypatch.setattr(server, "choose_broker", lambda _: "embedded")
    monkeypatch.setattr(
        server, "embedded_command", lambda _: ["sh", "-c", f"echo $$ > {note}; exec sleep 60"]
    )
    broker = serve()
    start = asyncio.ensure_future(broker.__aenter__())
    pid = int(await asyncio.to_thread(note.read_text))

    start.cancel()

    with pytest.raises(asyncio.CancelledError):
        await start
    assert not psutil.pid_exists(pid)


async def test_a_binary_that_vanished_is_a_server_error(monkeypatch):
    monkeypatch.setattr(server, "choose_broker", lambda _: "mosquitto")
    monkeypatch.setattr(server, "find_mosquitto", lambda: Path("/nowhere/mosquitto"))

    with pytest.raises(ServerError, match=r"could not serve .* /nowhere/mosquitto|No such file"):
        async with serve():
            pass


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": 65536}, "port 65536 is no TCP port"),
        ({"port": -1}, "port -1 is no TCP port"),
        ({"listen": "127.0.0.256"}, "refusing to listen"),
        ({"listen": "192.0.2.1", "password_file": Path(__file__)}, "an address of this machine"),
        ({"listen": "no-such-host.invalid", "password_file": Path(__file__)}, "an address of this machine"),
    ],
)
async def test_an_address_that_cannot_be_bound_is_one_clear_sentence(options, message):
    with pytest.raises(ServerError, match=message):
        async with serve(kind="mosquitto", **options):
            pass


def test_a_port_that_needs_more_rights_is_one_clear_sentence():
    assert "above 1023" in server._why_not(PermissionError(13, "Permission denied"), "127.0.0.1", 80)
