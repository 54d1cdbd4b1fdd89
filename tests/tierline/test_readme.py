"""The README's commands, executed in their order as a newcomer would, all but `make demo` and `make test`."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.tierline.conftest import in_readme

ROOT = Path(__file__).parents[2]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(script: str, folder: Path, **environment: str) -> str:
    """Run a script in a shell of its own; what it started in the background ends with it."""
    command = folder / "bin" / "tierline"  # where the virtual environment has none, as before an install
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m tierline "$@"\n')
    command.chmod(0o755)
    log = folder / "log"
    with log.open("w") as out:
        shell = subprocess.Popen(
            ["bash", "-e", "-c", script],
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env=os.environ
            | {"PATH": f"{os.environ['PATH']}:{command.parent}", "TIERLINE_STATE": str(folder / "state")}
            | environment,
        )
        try:
            code = shell.wait(timeout=250)
        finally:
            with suppress(ProcessLookupError):  # nothing was left in the background
                os.killpg(shell.pid, signal.SIGTERM)
    assert code == 0, log.read_text()[-3000:]
    return log.read_text()


def test_the_readme_shows_the_one_command_and_the_commands_of_a_deployment() -> None:
    first, *others = in_readme("sh")

    assert first == "make demo\n"
    assert len(others) == 2
    assert len(in_readme("python")) == 1


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_readmes_commands_do_what_it_says(tmp_path: Path) -> None:
    port = _free_port()
    _, *commands = in_readme("sh")
    python = tmp_path / "readme.py"
    python.write_text("\n".join(in_readme("python")))
    script = "\n".join([*commands, f"{sys.executable} {python}"])

    # Another port, since a developer may have a broker on the default one.
    told = _run(
        script.replace("tierline broker --open", f"tierline broker --open --port {port}"),
        tmp_path,
        TIERLINE_BROKER=f"mqtt://127.0.0.1:{port}",
        OMP_NUM_THREADS="1",
    )

    assert "All is well." in told
    assert '"tier": "cloud"' in told
    assert "[debug" not in told
    assert re.search(r"^\S+-mobile-[0-9a-f]{4} 0 \d", told, re.MULTILINE)  # the first step, printed by Python
