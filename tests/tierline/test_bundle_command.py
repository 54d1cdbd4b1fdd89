import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tierline.__main__ import main
from tierline_models import codings_from_files

MODEL = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    convs = [nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 4, 3, 2), nn.ReLU()]
    return nn.Sequential(*convs, nn.Flatten(), nn.Linear(196, 5)).eval(), torch.randn(1, 3, 32, 32)

def wrong():
    return 7
"""


@pytest.fixture
def code(tmp_path: Path) -> Path:
    path = tmp_path / "model.py"
    path.write_text(MODEL)
    return path


@pytest.fixture
def bundle(code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["bundle", "build", str(tmp_path / "made"), "--model", f"{code}:make", "--name", "tiny"]) == 0
    assert "split equals unsplit bit for bit at all 2 split points" in capsys.readouterr().out
    return tmp_path / "made"


def test_verify_proves_that_split_equals_unsplit(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "verify", str(bundle), "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    assert (told["name"], told["blocks"], told["differences"]) == ("tiny", 3, [0.0, 0.0])


def test_inspect_shows_a_row_for_each_block(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "inspect", str(bundle), "--profile"]) == 0

    told = capsys.readouterr().out
    assert "tiny" in told
    assert "1x8x15x15" in told
    assert "LTE" in told


def test_inspect_draws_the_map(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "inspect", str(bundle), "--json", "--svg", str(tmp_path / "map.svg")]) == 0

    blocks = json.loads(capsys.readouterr().out)["blocks"]
    assert [one["bytes"] for one in blocks] == [4 * 8 * 15 * 15, 4 * 196, 4 * 5]
    drawn = ElementTree.parse(tmp_path / "map.svg").getroot()  # noqa: S314 - we have just written it
    bars = [float(one.get("width", "0")) for one in drawn if one.get("fill") == "#4c78a8"]
    assert bars == sorted(bars, reverse=True)
    assert len(bars) == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["inspect", "nowhere"], "cannot be read"),
        (["build", "made"], "build needs --model"),
        (["build", "made", "--model", "nothing"], "names no file and function"),
        (["build", "made", "--model", "{code}:absent"], "has no function 'absent'"),
        (["build", "made", "--model", "{code}:wrong"], "must return two things"),
    ],
)
def test_a_mistake_is_told_in_a_sentence(
    arguments: list[str], says: str, code: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", *(one.replace("{code}", str(code)) for one in arguments)]) == 2

    assert says in capsys.readouterr().err


def test_calibrating_needs_enough_samples_to_show_anything(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "calibrate", "text", "--samples", "5"]) == 2

    assert "give at least 299" in capsys.readouterr().err


def test_what_calibration_writes_is_what_it_tells_and_can_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    few = ["--samples", "6", "--changed", "0.5", "--out", str(tmp_path)]

    assert main(["bundle", "calibrate", "text", "--json", *few]) == 0

    told = json.loads(capsys.readouterr().out)
    files = [(tmp_path / name).read_bytes() for name in ("budgets.json", "calibrations.safetensors")]
    codings = codings_from_files(*files)
    assert [point["layer"] for point in told["points"]] == [1, 2, 3, 4, 5] == sorted(codings.calibrations)
    for point, budget in zip(told["points"], codings.budgets, strict=True):
        assert point["error_budget"] == budget.error_budget
        assert budget.codecs["int8-calibrated"].error < 0.7 * budget.codecs["int8"].error
        allowed = [one for one in budget.codecs.values() if one.error <= budget.error_budget]
        assert all(one.changed <= 0.5 and one.samples == 6 for one in allowed)
    assert "--seed 0 --samples 6" in told["made"]["command"]
