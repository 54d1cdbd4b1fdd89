"""Being stopped: a signal cancels the work, its cleanup has two seconds, and no longer."""

import signal
import subprocess
import sys
import time

import pytest

_PROGRAM = """
import asyncio, sys
from tierline.lifetime import Stopped, run_until_stopped

async def work():
    try:
        print("started", flush=True)
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep({cleanup})
        print("cleaned", flush=True)

try:
    run_until_stopped(work())
except Stopped:
    sys.exit(0)
"""


def _stopped(number: int, cleanup: float) -> tuple[int, str, str, float]:
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM.format(cleanup=cleanup)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        asked = time.monotonic()
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
        return process.returncode, out, err, time.monotonic() - asked


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_cancels_the_work_and_lets_it_clean_up(number: int) -> None:
    code, out, err, _ = _stopped(number, 0.01)

    assert (code, out, err) == (0, "cleaned\n", "")


def test_a_cleanup_that_hangs_is_cut_short_within_two_seconds() -> None:
    code, out, err, seconds = _stopped(signal.SIGTERM, 30)

    assert code == 1
    assert out == ""
    assert "ending anyway" in err
    assert seconds < 2.5
