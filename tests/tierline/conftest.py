"""Runs the command line as users do: in processes of its own, against a real deployment of real nodes."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
import structlog

ROOT = Path(__file__).parents[2]
SECONDS = 60.0
_OF_MAKE = ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    def document(self) -> Any:
        """The one JSON document on stdout."""
        return json.loads(self.out)


Tierline = Callable[..., Ran]


def _environment(folder: Path, **changes: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TIERLINE_BROKER")}
    return kept | {"TIERLINE_STATE": str(folder), "OMP_NUM_THREADS": "1", "COLUMNS": "100"} | changes


def in_readme(language: str) -> list[str]:
    """The README's blocks of code."""
    readme = (ROOT / "README.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", readme, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="session")
def readme_demo(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """The README's first command, once, as a script runs it."""
    # A make that runs these tests would have this one say where it is.
    kept = _environment(tmp_path_factory.mktemp("demo"), DEMO="--json --seed 1")
    environment = {name: value for name, value in kept.items() if name not in _OF_MAKE}
    done = subprocess.run(
        ["bash", "-e", "-c", in_readme("sh")[0]],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=280, check=False, cwd=ROOT, env=environment,
    )  # fmt: skip
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def tierline(tmp_path: Path) -> Tierline:
    """Run `tierline ARGUMENTS` to its end."""

    def run(*arguments: str, stdin: bytes = b"", **environment: str) -> Ran:
        done = subprocess.run(
            [sys.executable, "-m", "tierline", *arguments],
            input=stdin,
            capture_output=True,
            timeout=SECONDS,
            check=False,
            cwd=tmp_path,
            env=_environment(tmp_path / "state", **environment),
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    return run


@dataclass(slots=True)
class Program:
    """A command that runs until it is stopped."""

    process: subprocess.Popen[str]
    out: IO[str]

    def line(self) -> str:
        """The next line that it says on stdout."""
        return self.out.readline()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit code, having waited two seconds at most."""
        self.process.send_signal(number)
        return self.process.wait(timeout=2.0)


class Programs(ExitStack):
    """Starts commands and ends them all."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = folder

    def start(self, *arguments: str, **environment: str) -> Program:
        """Start `tierline ARGUMENTS`."""
        self._folder.mkdir(exist_ok=True)
        log = self.enter_context((self._folder / f"{'-'.join(arguments[:3])}.log".replace("/", "")).open("w"))
        process = self.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "tierline", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=_environment(self._folder / "state", **environment),
            )
        )
        self.callback(process.kill)
        assert process.stdout is not None
        return Program(process, process.stdout)


@pytest.fixture
def programs(tmp_path: Path) -> Generator[Programs]:
    """Start programs for one test."""
    with Programs(tmp_path / "programs") as running:
        yield running


@dataclass(frozen=True, slots=True)
class Deployment:
    """A scheduler and a node of each tier, ready to answer."""

    url: str
    site: str

    @property
    def flags(self) -> Sequence[str]:
        """The flags that lead a command there."""
        return ("--broker", self.url, "--site", self.site)


@pytest.fixture(scope="session")
def deployment(broker_url: str, tmp_path_factory: pytest.TempPathFactory) -> Generator[Deployment]:
    """One deployment for all tests here, running the text workload."""
    found = Deployment(broker_url, "command-line")
    folder = tmp_path_factory.mktemp("deployment")
    with Programs(folder) as running:
        for command in (["scheduler"], *(["node", "--tier", tier] for tier in ("mobile", "edge", "cloud"))):
            running.start(*command, *found.flags)
        _wait_until_ready(found, folder)
        yield found


def _wait_until_ready(found: Deployment, folder: Path) -> None:
    """Ask `tierline doctor` until all is well; it waits for the deployment's own reports each time."""
    for _ in range(40):
        doctor = subprocess.run(
            [sys.executable, "-m", "tierline", "nodes", "--json", *found.flags],
            capture_output=True,
            timeout=SECONDS,
            check=False,
        )
        nodes = json.loads(doctor.stdout or '{"nodes": []}')["nodes"]
        if sum(node["state"] == "ready" for node in nodes) == 4:
            return
    logs = "\n".join(f"{path.name}: {path.read_text()[-1000:]}" for path in sorted(folder.glob("*.log")))
    raise AssertionError(f"the deployment did not come up:\n{logs}")


@pytest.fixture(autouse=True)
def log_as_before() -> Generator[None]:
    """Connecting sets logging up where nobody has; the next test shall not log to this one's stderr."""
    yield
    structlog.reset_defaults()
