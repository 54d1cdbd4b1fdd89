"""The demo as users start it: real processes, a real broker, the real text model."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.tierline.conftest import Ran
from tierline_broker import Tier

Demo = subprocess.Popen[str]
StartDemo = Callable[..., Demo]

STARTED = "answers are wanted within"  # the last line before requests flow
PROGRAMS = 5  # broker, scheduler, a node for each tier


@pytest.fixture
def start(tmp_path: Path) -> Generator[StartDemo]:
    """Start `tierline demo ARGUMENTS`."""
    started: list[Demo] = []

    def run(*arguments: str) -> Demo:
        demo = subprocess.Popen(
            [sys.executable, "-m", "tierline", "demo", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
            env={name: value for name, value in os.environ.items() if name != "TIERLINE_BROKER"},
        )  # fmt: skip
        started.append(demo)
        return demo

    yield run
    for demo in started:
        demo.kill()
        demo.communicate()


def until(demo: Demo, words: str) -> None:
    """Read the demo's lines until one holds these words."""
    assert demo.stdout is not None
    for line in demo.stdout:
        if words in line:
            return
    raise AssertionError(f"the demo ended without saying {words!r}")


def computes_on_edge(plan: dict[str, Any]) -> bool:
    """Whether a plan has the edge compute anything."""
    done = 0
    for stage in plan["stages"]:
        done = 0 if stage["codec"] == "input" else done
        if stage["layer"] > done and stage["tier"] == "edge":
            return True
        done = max(done, stage["layer"])
    return False


@pytest.fixture
def found(readme_demo: Ran) -> dict[str, Any]:
    """The document of one whole demo."""
    document: dict[str, Any] = readme_demo.document()
    return document


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_readmes_demo_prints_exactly_one_document_and_tells_its_story_elsewhere(
    readme_demo: Ran,
) -> None:
    assert readme_demo.code == 0, readme_demo.err[-2000:]
    assert len(readme_demo.out.splitlines()) == 1
    assert "now: uplink 20 times slower, edge 30 times slower" in readme_demo.err


@pytest.mark.timeout(240)
def test_every_request_of_the_demo_ends_once(found: dict[str, Any]) -> None:
    assert found["requests"] >= 400
    assert found["answered"] + found["failed"] == found["requests"]
    assert (found["lost"], found["duplicates"]) == (0, 0)
    assert found["answered"] > 0.98 * found["requests"]
    assert found["seed"] == 1


@pytest.mark.timeout(240)
def test_the_plan_moves_when_link_and_edge_get_worse_and_moves_back(found: dict[str, Any]) -> None:
    _, worse, again = found["phases"]
    history = found["plan_history"]
    before = [plan for plan in history if plan["at"] <= worse["from"]]
    away = [plan for plan in history if worse["from"] < plan["at"] and not computes_on_edge(plan)]
    back = [plan for plan in history if again["from"] < plan["at"] and computes_on_edge(plan)]

    assert computes_on_edge(before[-1]), history
    assert away, history
    assert away[0]["at"] < again["from"], history
    assert back, history
    assert found["plans"] == len(history)


@pytest.mark.timeout(240)
def test_the_demo_measures_what_it_saves(found: dict[str, Any]) -> None:
    cloud = found["all_cloud"]

    assert cloud["answered"] > 0.98 * found["requests"]
    assert 0 < found["work_seconds"]["cloud"] < cloud["cloud_work_seconds"]
    assert found["cloud_work_saved"] == pytest.approx(
        1 - found["work_seconds"]["cloud"] / cloud["cloud_work_seconds"], abs=0.05
    )
    assert found["uplink_bytes_all_cloud"] > 50 * found["requests"]
    assert 0.8 < found["accuracy"] < 1
    assert found["accuracy"] > found["accuracy_all_cloud"] - 0.03
    assert sum(found["tier_share"].values()) == pytest.approx(1)
    assert found["emulated"]["slowdown"] == {"mobile": 10, "edge": 3, "cloud": 1}
    assert found["emulated"]["max_layer"] == {"mobile": 2, "edge": 6, "cloud": 6}


@pytest.mark.timeout(120)
def test_ctrl_c_ends_the_demo_and_all_its_programs_within_two_seconds(start: StartDemo) -> None:
    demo = start("--no-view")
    until(demo, STARTED)
    until(demo, "plan 1")
    programs = psutil.Process(demo.pid).children(recursive=True)
    demo.send_signal(signal.SIGINT)

    assert demo.wait(timeout=2.5) == 1
    assert len(programs) >= PROGRAMS
    assert psutil.wait_procs(programs, timeout=1)[1] == []


@pytest.mark.timeout(120)
def test_a_killed_demo_leaves_no_program_behind(start: StartDemo) -> None:
    demo = start("--no-view")
    until(demo, "plan 1")
    programs = psutil.Process(demo.pid).children(recursive=True)
    demo.kill()

    assert len(programs) >= PROGRAMS
    assert psutil.wait_procs(programs, timeout=15)[1] == []


@pytest.mark.timeout(120)
def test_a_node_that_crashes_ends_the_demo_with_its_name(start: StartDemo) -> None:
    demo = start("--no-view")
    until(demo, STARTED)
    node = next(
        child for child in psutil.Process(demo.pid).children(recursive=True) if Tier.EDGE in child.cmdline()
    )
    node.kill()
    _, said = demo.communicate(timeout=30)

    assert demo.returncode == 1
    assert "the edge process was ended by signal 9" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--bundle", "nope"], "no bundle called 'nope'"),
        (["--network", "missing.up"], "missing.up cannot be read"),
        (["--broker", "mqtt://127.0.0.1:9"], "127.0.0.1:9"),
        (["--requests", "0"], "whole number"),
    ],
)
def test_mistakes_are_one_sentence_and_code_2(start: StartDemo, arguments: list[str], sentence: str) -> None:
    demo = start("--no-view", *arguments)
    _, said = demo.communicate(timeout=60)

    assert demo.returncode == 2
    assert sentence in said
    assert len(said.strip().splitlines()) == 1
