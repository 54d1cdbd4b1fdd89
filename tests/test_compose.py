"""compose.yaml: checked where there is compose, and brought up for real where a Docker engine answers."""

import functools
import json
import os
import subprocess
import time
import tomllib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
SENTENCE = "a gorgeous, witty film"
STOP_SECONDS = 2
PROGRAMS = ("mobile", "edge", "cloud", "scheduler", "broker")

starts_containers = [pytest.mark.slow, pytest.mark.timeout(1200)]


def compose(*arguments: str, seconds: float = 60, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `docker compose` on a project of the tests' own, beside one that the user may have."""
    command = ["docker", "compose", "--project-name", "tierline-test", *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ, capture_output=True, text=True, timeout=seconds, check=False
    )
    assert not check or done.returncode == 0, f"{' '.join(command)}\n{done.stdout}\n{done.stderr}"
    return done


@functools.cache
def lacking(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, timeout=20, check=False).returncode != 0
    except (OSError, subprocess.TimeoutExpired):
        return True


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """Every service as compose understands it."""
    if lacking("docker", "compose", "version"):
        pytest.skip("docker compose is not installed")
    return dict(json.loads(compose("--profile", "*", "config", "--format", "json").stdout)["services"])


@pytest.fixture(scope="module")
def deployment() -> Generator[None]:
    """The whole deployment with two edges, from nothing to healthy, and away again."""
    if lacking("docker", "compose", "version"):
        pytest.skip("docker compose is not installed")
    if lacking("docker", "info"):
        pytest.skip("no Docker engine answers (DOCKER_HOST)")
    compose("down", "--volumes", "--timeout", "2")
    try:
        compose("up", "--detach", "--build", "--wait", "--scale", "edge=2", seconds=1000)
        yield
    finally:
        compose("down", "--volumes", "--timeout", "2")


def test_all_that_the_wheel_is_made_of_goes_into_the_image() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    allowed = set((ROOT / ".dockerignore").read_text().split())

    assert {f"!{package.split('/')[0]}" for package in packages} <= allowed


def tierline(*arguments: str, check: bool = True) -> dict[str, Any]:
    """Run a command of ours in the deployment, as a user would, and return its document."""
    command, *rest = arguments
    out = compose("run", "--rm", "--no-TTY", "tierline", command, "--json", *rest, check=check).stdout
    return dict(json.loads(out)) if out else {}


def states() -> dict[str, dict[str, Any]]:
    """What the engine says of each container."""
    listed = compose("ps", "--all", "--format", "json").stdout.splitlines()
    return {one["Name"]: one for one in map(json.loads, listed)}


def test_nothing_is_published(services: dict[str, Any]) -> None:
    assert {name for name, service in services.items() if "ports" in service} == set()
    assert {name for name, service in services.items() if service.get("network_mode") == "host"} == set()


def test_every_service_gives_up_what_it_does_not_need(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_only_the_first_start_may_change_the_credentials(services: dict[str, Any]) -> None:
    may = {
        name
        for name, service in services.items()
        for volume in service["volumes"]
        if volume["source"] == "credentials" and not volume.get("read_only")
    }

    assert may == {"credentials"}


def test_every_image_of_ours_runs_as_an_ordinary_user_and_needs_no_other_frontend() -> None:
    text = (ROOT / "nodes" / "Dockerfile").read_text()
    stages = {part.split()[2 if "AS" not in part else -1]: part for part in text.split("\nFROM ")[1:]}
    final = [part for part in stages.values() if "\nCMD " in part]

    assert len(final) == 2
    assert all("\nUSER tierline\n" in part for part in final)
    assert "syntax=" not in text


class TestDeployment:
    """In this order: what runs, what it answers, what it survives, how it ends."""

    pytestmark = starts_containers

    def test_every_replica_is_a_node_of_its_own(self, deployment: None) -> None:
        nodes = tierline("nodes")["nodes"]
        tiers = sorted(one["tier"] or one["role"] for one in nodes if one["state"] == "ready")

        assert tiers == ["cloud", "edge", "edge", "mobile", "scheduler"]
        assert len({one["node"] for one in nodes}) == len(nodes)

    def test_an_input_is_answered(self, deployment: None) -> None:
        (result,) = tierline("infer", SENTENCE)["results"]

        assert result["error"] is None
        assert result["label"] == "positive"

    @pytest.mark.parametrize("tier", ["mobile", "edge", "cloud"])
    def test_every_tier_answers(self, tier: str, deployment: None) -> None:
        (result,) = tierline("infer", SENTENCE, "--tier", tier)["results"]

        assert (result["error"], result["tier"]) == (None, tier)

    def test_nobody_gets_in_without_the_password(self, deployment: None) -> None:
        visit = ("exec", "--no-TTY", "broker", "mosquitto_sub", "-h", "broker", "-t", "#", "-W", "5")
        done = compose(*visit, check=False)

        assert "not authorised" in (done.stdout + done.stderr).lower()

    def test_service_resumes_after_the_broker_was_killed(self, deployment: None) -> None:
        compose("kill", "--signal", "SIGKILL", "broker")
        assert states()["tierline-test-broker-1"]["State"] == "exited"
        compose("up", "--detach", "--no-recreate", "--scale", "edge=2")

        deadline = time.monotonic() + 60
        while True:
            results = tierline("infer", SENTENCE, check=False).get("results")
            if results and results[0]["error"] is None:
                break
            assert time.monotonic() < deadline, "no answer within a minute of the broker's return"

    @pytest.mark.parametrize("service", PROGRAMS)
    def test_a_program_ends_by_itself_within_two_seconds_of_being_asked(
        self, service: str, deployment: None
    ) -> None:
        compose("stop", "--timeout", str(STOP_SECONDS), service)
        ended = [one for one in states().values() if one["Service"] == service]

        assert ended
        # 137 would be the engine's own SIGKILL.
        assert {one["ExitCode"] for one in ended} == {0}
