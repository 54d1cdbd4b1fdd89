"""The commands against a real deployment: a scheduler and three nodes with the real text model."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import tierline as public
from tierline import InferenceError, connect

pytestmark = pytest.mark.timeout(180)  # the first test here starts the deployment

Tierline = Callable[..., Any]


def test_the_doctor_finds_all_well(deployment: Any, tierline: Tierline) -> None:
    ran = tierline("doctor", "--json", "--wait", "30", *deployment.flags)

    told = ran.document()
    assert (ran.code, told["ok"], told["first_wrong"]) == (0, True, None)
    assert [check["check"] for check in told["checks"]] == [
        "Python", "PyTorch", "broker", "packet limit", "scheduler", "nodes", "end to end"
    ]  # fmt: skip


def test_nodes_lists_who_is_there_lowest_tier_first(deployment: Any, tierline: Tierline) -> None:
    nodes = tierline("nodes", "--json", *deployment.flags).document()["nodes"]

    assert [node["tier"] for node in nodes] == [None, "mobile", "edge", "cloud"]
    assert {node["state"] for node in nodes} == {"ready"}
    assert [node["model"] for node in nodes] == [None, "text", "text", "text"]
    assert all(node["queue"] == 0 for node in nodes[1:])
    for node, kind in zip(nodes, ("scheduler", "mobile", "edge", "cloud"), strict=True):
        assert node["node"].rsplit("-", 2)[1] == kind


def test_a_node_is_drained_and_taken_back(deployment: Any, tierline: Tierline) -> None:
    nodes = tierline("nodes", "--json", *deployment.flags).document()["nodes"]
    edge = next(node["node"] for node in nodes if node["tier"] == "edge")

    given = tierline("nodes", "drain", edge, "--json", *deployment.flags)
    answer = tierline("infer", "fine", "--json", *deployment.flags).document()["results"][0]
    listed = tierline("nodes", *deployment.flags).out
    taken_back = tierline("nodes", "drain", edge, "--undo", "--json", *deployment.flags)

    assert (given.code, given.document()["drain"]) == (0, True)
    assert answer["error"] is None
    assert edge not in {step["node"] for step in answer["steps"]}
    assert "(drain)" in listed
    assert (taken_back.code, taken_back.document()["drain"]) == (0, False)


def test_orders_that_make_no_sense_are_refused_in_a_sentence(deployment: Any, tierline: Tierline) -> None:
    nameless = tierline("nodes", "drain", *deployment.flags)
    unknown = tierline("nodes", "drain", "nobody", *deployment.flags)

    assert (nameless.code, unknown.code) == (2, 1)
    assert "tierline nodes drain NAME" in nameless.err
    assert "no node nobody is known" in unknown.err


def test_nodes_as_a_table_has_a_line_each(deployment: Any, tierline: Tierline) -> None:
    lines = tierline("nodes", *deployment.flags).out.partition("\n\n")[0].splitlines()

    assert len(lines) == 5
    assert "-edge-" in lines[3]


def test_nodes_say_how_samples_look_at_their_exits(deployment: Any, tierline: Tierline) -> None:
    tierline("infer", "a gorgeous, witty film", "dull, dull, dull", *deployment.flags)
    time.sleep(1.5)  # telemetry comes every second
    nodes = tierline("nodes", "--json", *deployment.flags).document()["nodes"]
    table = tierline("nodes", *deployment.flags).out.partition("\n\n")[2].splitlines()

    judged = {node["node"]: sum(one["judged"] for one in node["exits"]) for node in nodes[1:]}
    assert sum(judged.values()) >= 2
    for node in nodes[1:]:
        assert (node["mix"] is None) == (judged[node["node"]] == 0)
        assert all(sum(one["pools"].values()) == one["judged"] for one in node["exits"])
    assert "drift" in table[0]
    assert any(name in line for name, count in judged.items() if count for line in table[1:])


def test_text_gets_label_confidence_tier_time_and_reason(deployment: Any, tierline: Tierline) -> None:
    ran = tierline("infer", "a gorgeous, witty film", "dull, dull, dull", *deployment.flags)

    header, first, second = ran.out.splitlines()
    assert ran.code == 0
    assert header.split() == ["label", "confidence", "tier", "ms", "why", "input"]
    assert first.startswith("positive")
    assert second.startswith("negative")
    assert first.rstrip().endswith("a gorgeous, witty film")


def test_the_document_has_all_that_is_known(deployment: Any, tierline: Tierline) -> None:
    ran = tierline("infer", "-", "--json", "--tier", "cloud", *deployment.flags, stdin=b"one\ntwo\n")

    results = ran.document()["results"]
    assert [result["input"] for result in results] == ["one", "two"]
    for result in results:
        assert result["error"] is None
        assert result["tier"] == "cloud"
        assert result["steps"][-1]["tier"] == "cloud"
        assert 0.5 <= result["confidence"] <= 1
        assert len(result["output"]) == 2


@pytest.mark.parametrize(
    ("argument", "stdin", "said"),
    [
        ("", b"", "is empty"),
        ("-", b"fine\n\xff\xfe\n", "not valid UTF-8"),
        (" ".join(["word"] * 20_000), b"", "characters"),
    ],
    ids=["empty", "invalid UTF-8", "100,000 characters"],
)
def test_bad_input_is_code_2_and_one_sentence(
    argument: str, stdin: bytes, said: str, deployment: Any, tierline: Tierline
) -> None:
    ran = tierline("infer", argument, *deployment.flags, stdin=stdin)

    assert ran.code == 2
    assert said in ran.err + ran.out
    assert "Traceback" not in ran.err


def test_a_bad_input_disturbs_none_of_the_others(deployment: Any, tierline: Tierline, tmp_path: Path) -> None:
    (tmp_path / "not-utf8.txt").write_bytes(b"\xff\xfe\x00")
    ran = tierline("infer", "fine", "not-utf8.txt", "dull", "--json", *deployment.flags)

    first, bad, last = ran.document()["results"]
    assert ran.code == 2
    assert bad["error"]["code"] == "bad-input"
    assert first["error"] is None
    assert last["error"] is None


def test_a_folder_is_answered_file_by_file_and_what_is_left_out_is_named(
    deployment: Any, tierline: Tierline, tmp_path: Path
) -> None:
    (tmp_path / "mixed").mkdir()
    for name, data in {"b.jpg": b"so so", "a.jpg": b"dull", "c.txt": b"no image"}.items():
        (tmp_path / "mixed" / name).write_bytes(data)  # what this model understands, by an image's name

    ran = tierline("infer", "mixed", "--json", *deployment.flags)

    assert ran.code == 0
    assert [one["input"] for one in ran.document()["results"]] == ["a.jpg", "b.jpg"]
    assert "tierline: left out of mixed: c.txt" in ran.err.splitlines()


def test_a_node_that_is_not_there_is_a_failure(deployment: Any, tierline: Tierline) -> None:
    ran = tierline("infer", "fine", "--node", "nobody", "--deadline", "0.3", "--json", *deployment.flags)

    assert ran.code == 1
    assert "nobody" in ran.document()["results"][0]["error"]["message"]


def test_a_site_without_nodes_is_told(deployment: Any, tierline: Tierline) -> None:
    told = tierline("nodes", "--broker", deployment.url, "--site", "nowhere")
    asked = tierline("infer", "fine", "--broker", deployment.url, "--site", "nowhere", "--deadline", "0.3")
    doctor = tierline("doctor", "--broker", deployment.url, "--site", "nowhere")

    assert "no node is on site nowhere" in told.out
    assert asked.code == 1
    assert doctor.code == 1
    assert "First thing to mend: scheduler" in doctor.out
    assert "Cure: start one with `tierline scheduler`" in doctor.out


def test_a_bundle_that_does_not_match_is_a_typed_error(
    deployment: Any, programs: Any, tierline: Tierline
) -> None:
    ran = tierline("node", "--tier", "edge", "--bundle", "no-such-bundle", *deployment.flags)

    assert ran.code == 2
    assert "there is no bundle called 'no-such-bundle'" in ran.err
    assert "Traceback" not in ran.err


async def test_python_gets_the_same_as_the_command_line(deployment: Any) -> None:
    async with connect(deployment.url, site=deployment.site) as client:
        result = await client.infer("a gorgeous, witty film", deadline=5.0)

    assert result.label == "positive"
    assert result.confidence > 0.5
    assert not result.degraded
    assert 0 < result.seconds < 5
    assert result.steps[0].tier == "mobile"
    assert sum(step.compute for step in result.steps) < result.seconds


async def test_python_raises_a_typed_error_and_goes_on(deployment: Any) -> None:
    async with connect(deployment.url, site=deployment.site) as client:
        with pytest.raises(InferenceError, match="empty") as failed:
            await client.infer("  ")
        result = await client.infer("fine")

    assert failed.value.code == "bad-input"
    assert result.label


def test_the_public_face_names_what_it_does_not_have() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        public.nothing  # noqa: B018


def test_whoever_has_read_enough_ends_the_command_quietly(deployment: Any) -> None:
    command = [sys.executable, "-m", "tierline", "infer", "-", "--json", *deployment.flags]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, err = process.communicate(b"fine\n", timeout=30)

    assert process.returncode == 1
    assert err == b""


def test_programs_log_json_lines_and_end_cleanly_on_sigterm(
    broker_url: str, programs: Any, tmp_path: Path
) -> None:
    flags = ["--broker", broker_url, "--site", "stopping", "--log-format", "json", "--json"]
    started = [programs.start("scheduler", *flags), programs.start("node", "--tier", "edge", *flags)]
    ready = tierline_until_ready(broker_url)

    assert sum(node["state"] == "ready" for node in ready) == 2
    assert [program.stop() for program in started] == [0, 0]
    assert json.loads(started[0].process.stdout.read())["site"] == "stopping"
    for log in (tmp_path / "programs").glob("*.log"):
        assert {json.loads(line)["level"] for line in log.read_text().splitlines()} <= {"info"}


def tierline_until_ready(broker_url: str) -> list[dict[str, Any]]:
    """Ask for the site's nodes until both are there."""
    command = [
        sys.executable,
        "-m",
        "tierline",
        "nodes",
        "--json",
        "--broker",
        broker_url,
        "--site",
        "stopping",
    ]
    for _ in range(40):
        nodes = json.loads(subprocess.run(command, capture_output=True, timeout=30, check=True).stdout)[
            "nodes"
        ]
        if len(nodes) == 2:
            return list(nodes)
    raise AssertionError("they did not come up")
