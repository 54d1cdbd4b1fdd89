import threading
import time

import pytest

from tierline import terminal


def test_a_long_wait_shows_itself_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(terminal, "_PATIENCE_SECONDS", 0.01)
    seen = ""
    with terminal.waiting("splitting"):
        end = time.monotonic() + 10
        while "splitting" not in seen and time.monotonic() < end:
            seen += capsys.readouterr().err

    assert "splitting" in seen


def _waits_to_be_shown() -> bool:
    return any(isinstance(one, threading.Timer) for one in threading.enumerate())


def test_progress_is_drawn_as_it_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(terminal, "_PATIENCE_SECONDS", 0.01)
    with terminal.progress("profiling", 7) as done:
        end = time.monotonic() + 10
        while _waits_to_be_shown() and time.monotonic() < end:
            time.sleep(0.001)
        done()
        seen = capsys.readouterr().err

    assert "1/7" in seen


def test_a_short_wait_and_a_pipe_are_told_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.waiting("splitting"), terminal.progress("profiling", 3) as done:
        done()

    assert capsys.readouterr().err == ""
