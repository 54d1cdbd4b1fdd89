"""What the deployment of compose.yaml takes: to come up, to answer again once its broker was killed, to stop.

Needs a Docker engine. Images are built and weights fetched before anything is timed.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SENTENCE = "a gorgeous, witty film"
PROGRAMS = ("mobile", "edge", "cloud", "scheduler", "broker")
RUNS, QUICK_RUNS = 5, 1
ANSWER_SECONDS = 60.0

Row = dict[str, Any]


def compose(*arguments: str, check: bool = True) -> str:
    """Run `docker compose` on a project of the benchmark's own and return what it prints."""
    command = ["docker", "compose", "--project-name", "tierline-bench", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800, check=False)
    if check and done.returncode != 0:
        raise SystemExit(f"`{' '.join(command)}` failed: {done.stderr}")
    return done.stdout


def up(*options: str) -> None:
    """Start what does not run, two edges among it, and wait until all are healthy."""
    compose("up", "--detach", "--wait", "--scale", "edge=2", *options)


def ask() -> bool:
    """Whether the deployment answers an input now."""
    inside = ("exec", "--no-TTY", "mobile", "tierline", "infer", "--json", SENTENCE)
    out = compose(*inside, check=False)
    return bool(out) and json.loads(out)["results"][0]["error"] is None


def ask_until_answered() -> None:
    """Ask again and again, for a minute at most."""
    deadline = time.monotonic() + ANSWER_SECONDS
    while not ask():
        if time.monotonic() > deadline:
            raise SystemExit(f"no answer within {ANSWER_SECONDS:g} s; see `docker compose logs`")


def timed(work: Callable[..., object], *arguments: str) -> float:
    """Return how many seconds `work` takes."""
    started = time.monotonic()
    work(*arguments)
    return time.monotonic() - started


def come_up() -> None:
    """From no container to an answer, with images and weights there."""
    up()
    ask_until_answered()


def lose_broker() -> None:
    """From the broker's SIGKILL, through its next start, to an answer."""
    compose("kill", "--signal", "SIGKILL", "broker")
    up("--no-recreate")
    ask_until_answered()


def stop() -> float:
    """Return how long the slowest program took to end once the engine was asked to stop it."""
    slowest = 0.0
    for program in PROGRAMS:
        asked = time.time()
        compose("stop", program)
        for identifier in compose("ps", "--all", "--quiet", program).split():
            slowest = max(slowest, finished(identifier) - asked)
    return slowest


def finished(identifier: str) -> float:
    """Return when a container ended, on the engine's clock, which is this machine's."""
    command = ["docker", "inspect", "--format", "{{.State.FinishedAt}}", identifier]
    out = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    # Nine digits of a second are three more than Python reads.
    whole, _, fraction = out.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}+00:00").timestamp()


def run(runs: int) -> list[Row]:
    """Measure, and leave nothing behind but the images."""
    ups, losses, stops = [], [], []
    compose("build")
    try:
        come_up()  # fetches the weights
        for number in range(runs):
            compose("down", "--timeout", "2")
            print(f"round {number + 1} of {runs}", file=sys.stderr)
            ups.append(timed(come_up))
            losses.append(timed(lose_broker))
            stops.append(stop())
    finally:
        compose("down", "--volumes", "--timeout", "2")
    return [
        row("from `docker compose up`, two edges, to an answer; images and weights there", ups, 60),
        row("from the broker's SIGKILL, through its restart, to an answer", losses, 15),
        row("slowest program to end after SIGTERM", stops, 2),
    ]


def row(claim: str, seconds: list[float], reach: float) -> Row:
    """Return a row: the median of some times."""
    return {
        "claim": claim,
        "value": sorted(seconds)[len(seconds) // 2],
        "reach": reach,
        "better": "lower",
        "unit": "s",
        "spread": [min(seconds), max(seconds)],
        "runs": len(seconds),
    }


def engine_answers() -> bool:
    """Whether there are a Docker engine and compose."""
    try:
        for command in (["docker", "info"], ["docker", "compose", "version"]):
            subprocess.run(command, capture_output=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def main() -> int:
    """Print the rows, or null where there is no engine to measure with."""
    if not engine_answers():
        print("compose: not measured, for no Docker engine with compose answers here", file=sys.stderr)
        print("null")
        return 0
    print(json.dumps(run(QUICK_RUNS if "--quick" in sys.argv[1:] else RUNS)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
