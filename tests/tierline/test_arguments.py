"""Help for everybody, and one sentence with the cure for whoever mistypes."""

from collections.abc import Callable
from typing import Any

import pytest

from tierline.arguments import build_parser
from tierline.arguments_planning import alike_of

Tierline = Callable[..., Any]

COMMANDS = [
    "bench",
    "broker",
    "bundle",
    "cartography",
    "demo",
    "doctor",
    "infer",
    "node",
    "nodes",
    "plan",
    "replay",
    "scheduler",
    "train",
]


def test_the_commands_are_these(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        build_parser().parse_args(["--help"])

    told = capsys.readouterr().out
    listed = [line.split()[0] for line in told.splitlines() if line.startswith("    ") and line[4] != " "]
    assert sorted(set(listed) - {"COMMAND"}) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        build_parser().parse_args([command, "--help"])

    told = capsys.readouterr().out
    assert ended.value.code == 0
    assert f"example: tierline {command}" in told
    assert "--json" in told
    assert "--log-level" in told


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "which command?"),
        (["fly"], "invalid choice: 'fly'"),
        (["node"], "required: --tier"),
        (["node", "--tier", "fog"], "invalid choice: 'fog' (choose from"),
        (["node", "--tier", "edge", "--slowdown", "0.5"], "'0.5' is not a factor of 1"),
        (["node", "--tier", "edge", "--slowdown", "nan"], "'nan' is not a factor of 1"),
        (["node", "--tier", "edge", "--site", "Not/OK"], "'Not/OK' is not a name"),
        (["node", "--tier", "edge", "--name", "Käse"], "'Käse' is not a name"),
        (["scheduler", "--name", "a/b"], "'a/b' is not a name"),
        (["scheduler", "--name", "-a"], "expected one argument"),
        (["scheduler", "--name", ""], "'' is not a name"),
        (["infer", "so so", "--tier", "fog"], "invalid choice: 'fog'"),
        (["infer", "so so", "--deadline", "-1"], "'-1' is not a number of seconds"),
        (["infer", "so so", "--deadline", "soon"], "'soon' is not a number of seconds"),
        (["infer"], "required: INPUT"),
        (["broker", "--port", "65536"], "not a TCP port"),
        (["broker", "--port", "-3"], "not a TCP port"),
        (["demo", "--requests", "0"], "'0' is not a whole number of at least 1"),
        (["bench", "luck"], "there is no benchmark 'luck'; choose from"),
        (["scheduler", "--accuracy-drop", "2"], "'2' is not a share"),
        (["nodes", "--broker", "http://127.0.0.1:1"], "does not start with mqtt://"),
    ],
    ids=lambda value: " ".join(value) or "nothing" if isinstance(value, list) else "",
)
def test_wrong_usage_is_one_sentence_and_code_2(arguments: list[str], said: str, tierline: Tierline) -> None:
    ran = tierline(*arguments)

    assert ran.code == 2
    assert said in ran.err
    assert ran.out == ""
    assert len(ran.err.splitlines()) == 1
    assert ran.err.startswith("tierline")


def test_the_version_is_the_packages(tierline: Tierline) -> None:
    assert tierline("--version").out.count(".") == 2


@pytest.mark.parametrize(
    ("flags", "ratio"),
    [
        ((), 0.0),
        (("--balance", "0.5"), 1.5),
        (("--balance", "1"), 0.0),
        (("--balance", "0.5", "--alike", "0"), 0.0),
        (("--alike", "2"), 2.0),
    ],
)
def test_classes_of_devices_fare_alike_between_the_ends_of_the_knob_or_as_asked(
    flags: tuple[str, ...], ratio: float
) -> None:
    assert alike_of(build_parser().parse_args(["scheduler", *flags])) == ratio
