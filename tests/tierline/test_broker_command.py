"""`tierline broker`: ready when it says so, gone when we go, and no door left open by mistake."""

import json
import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Tierline = Callable[..., Any]


def _reachable(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.parametrize("kind", ["mosquitto", "embedded"])
def test_a_broker_is_ready_when_it_says_so_and_gone_when_we_go(
    kind: str, programs: Any, tierline: Tierline
) -> None:
    flags = ["--embedded"] if kind == "embedded" else []
    broker = programs.start("broker", "--open", "--port", "0", "--json", *flags)
    ready = json.loads(broker.line())

    assert ready["kind"] == kind
    assert _reachable(ready["port"])
    assert tierline("nodes", "--broker", ready["url"]).code == 0
    assert broker.stop() == 0
    assert not _reachable(ready["port"])


def test_ctrl_c_is_as_clean_as_sigterm(programs: Any) -> None:
    broker = programs.start("broker", "--open", "--port", "0")
    assert "is ready at mqtt://127.0.0.1:" in broker.line()

    assert broker.stop(signal.SIGINT) == 0


def test_a_broker_that_dies_is_told_and_is_a_failure(programs: Any) -> None:
    broker = programs.start("broker", "--port", "0", "--json")
    ready = json.loads(broker.line())
    os.kill(ready["pid"], signal.SIGKILL)

    assert broker.process.wait(timeout=5) == 1


def test_a_port_in_use_is_named_with_its_cure(tierline: Tierline) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        ran = tierline("broker", "--port", str(taken.getsockname()[1]))

    assert ran.code == 2
    assert "is in use by another program; choose another with --port" in ran.err
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--listen", "0.0.0.0"], "without a password file"),  # noqa: S104
        (["--listen", "::"], "tierline broker --make-password-file"),
        (["--listen", "0.0.0.0", "--open"], "binds loopback only"),  # noqa: S104
        (["--open", "--password-file", "x"], "leave out --open or --password-file"),
        (["--listen", "0.0.0.0", "--password-file", "none"], "--make-password-file none"),  # noqa: S104
    ],
)
def test_an_open_door_is_refused(flags: list[str], said: str, tierline: Tierline) -> None:
    ran = tierline("broker", "--port", "0", *flags)

    assert ran.code == 2
    assert said in ran.err
    assert len(ran.err.splitlines()) == 1


def test_a_password_file_is_made_once_and_lets_its_user_in_alone(
    tmp_path: Path, tierline: Tierline, programs: Any
) -> None:
    passwords = tmp_path / "passwords"
    made = tierline("broker", "--make-password-file", str(passwords), "--json").document()
    again = tierline("broker", "--make-password-file", str(passwords))

    assert again.code == 2
    assert "exists already" in again.err
    assert passwords.stat().st_mode & 0o077 == 0
    assert made["password"] not in passwords.read_text()

    broker = programs.start("broker", "--port", "0", "--json", "--password-file", str(passwords))
    port = json.loads(broker.line())["port"]

    def nodes(user: str) -> int:
        return int(tierline("nodes", "--broker", f"mqtt://{user}127.0.0.1:{port}").code)

    assert nodes(f"{made['user']}:{made['password']}@") == 0
    assert nodes("") == 2
    assert nodes(f"{made['user']}:guess@") == 2


def test_the_password_is_in_no_error(tierline: Tierline) -> None:
    ran = tierline("nodes", "--broker", "mqtt://tierline:secret@127.0.0.1:9")

    assert ran.code == 2
    assert "secret" not in ran.err


def test_a_broker_that_is_not_there_is_told_in_time(tierline: Tierline) -> None:
    started = time.monotonic()
    ran = tierline("infer", "so so", "--broker", "mqtt://127.0.0.1:9")

    assert ran.code == 2
    assert "no MQTT broker answers at mqtt://127.0.0.1:9" in ran.err
    assert "start one with `tierline broker`" in ran.err
    assert len(ran.err.splitlines()) == 1
    assert time.monotonic() - started < 10
