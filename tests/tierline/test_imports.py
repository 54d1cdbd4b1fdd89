"""Torch is loaded by nodes alone: a client on a small device never pays for it."""

import subprocess
import sys

import pytest

# Runs the command line in a process of its own and says which of the heavy packages got loaded.
_PROBE = """
import sys
from tierline.__main__ import main
try:
    main({arguments!r})
except SystemExit:
    pass
loaded = {{name.partition(".")[0] for name in sys.modules}}
print("LOADED", *sorted(loaded & {{"torch", "tierline_models", "tierline_nodes", "tierline_scheduler"}}))
"""


def _loaded(*arguments: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE.format(arguments=list(arguments))],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split()[1:])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["node", "--help"],
        ["infer", "--help"],
        ["infer", "so so", "--broker", "mqtt://127.0.0.1:9"],
        ["nodes", "--broker", "mqtt://127.0.0.1:9"],
        ["broker", "--listen", "0.0.0.0"],  # noqa: S104
    ],
    ids=" ".join,
)
def test_clients_and_help_load_neither_torch_nor_a_program(arguments: list[str]) -> None:
    assert _loaded(*arguments) == set()


def test_a_scheduler_loads_no_torch() -> None:
    assert _loaded("scheduler", "--broker", "mqtt://127.0.0.1:9") == {"tierline_scheduler"}


def test_importing_the_public_face_loads_no_component() -> None:
    probe = "import sys, tierline; print(any(name.startswith('tierline_') for name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, timeout=60, check=True
    )

    assert done.stdout == "False\n"
