import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tierline.__main__ import main
from tierline.bundle_map import Block, best_cuts, in_words, to_svg
from tierline_models import BundleError, Sample, codings_from_files, load_bundle
from tierline_models.samples import line_of

MODEL = """
import torch
from torch import nn

def make():
    torch.manual_seed(0)
    convs = [nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 4, 3, 2), nn.ReLU()]
    return nn.Sequential(*convs, nn.Flatten(), nn.Linear(196, 5)).eval(), torch.randn(1, 3, 32, 32)

def wrong():
    return 7

def leaving():
    import tierline
    from tierline_models import ImageHead, ImageInput

    cut = tierline.split(*make())
    cut.add_exit(0, ImageHead(8, 5), temperature=1.25)
    cut.labels = ("a", "b", "c", "d", "e")
    cut.preprocessing = ImageInput(height=32, width=32)
    return cut
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


def test_exits_labels_and_preprocessing_are_told_and_verified(
    code: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "leaving")
    assert main(["bundle", "build", folder, "--model", f"{code}:leaving"]) == 0
    assert "at all 2 split points and 1 exit" in capsys.readouterr().out

    assert main(["bundle", "inspect", folder, "--svg", str(tmp_path / "map.svg")]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "exit after classes temperature MFLOP weights kB block 1 5 1.25 0.000 0.2" in told
    assert "takes input (any, 3, 32, 32) of float32; nodes take a colour image of 32 x 32 pixels" in told
    assert "labels: a, b, c, d, e" in told
    assert "was not measured" in told
    assert "tierline 0." in told
    assert "◆" in (tmp_path / "map.svg").read_text()

    assert main(["bundle", "inspect", folder, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [one["temperature"] for one in document["exits"]] == [1.25]
    assert document["labels"] == ["a", "b", "c", "d", "e"]
    assert main(["bundle", "verify", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exit_differences"] == [0.0]


def test_inspect_shows_a_row_for_each_block(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "inspect", str(bundle), "--profile"]) == 0

    told = capsys.readouterr().out
    assert "tiny" in told
    assert "1x8x15x15" in told
    assert "LTE" in told


def test_a_profile_is_kept_beside_the_bundle_and_runs_are_pooled(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bundle", "inspect", str(bundle), "--json"]
    told = []
    for more in (["--profile", "--batches", "1,2"], ["--profile"], []):
        assert main([*arguments, *more]) == 0
        told.append(json.loads(capsys.readouterr().out))

    assert [[one["inputs"]["input"][0] for one in each["sizes"]] for each in told] == [
        [1, 2],
        [1, 2, 4, 16],
        [1, 2, 4, 16],
    ]
    assert [each["sizes"][0]["runs"] for each in told] == [20, 40, 40]
    assert told[2]["sizes"] == told[1]["sizes"]
    assert told[2]["codecs"]["fp16"]["ratio"] == pytest.approx(2, abs=0.2)
    assert 0.001 < told[2]["codecs"]["int8"]["error"] < 0.05
    assert [one["link"] for one in told[2]["best"]] == ["LTE", "Wi-Fi", "LAN"]
    assert all(block["p95_seconds"] >= block["seconds"] > 0 for block in told[2]["blocks"])
    assert main(["bundle", "verify", str(bundle)]) == 0


def test_a_profile_of_a_built_in_bundle_goes_where_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bundle", "inspect", "text", "--profile"]) == 2
    assert "say with --out DIR where it shall go" in capsys.readouterr().err
    assert main(["bundle", "inspect", "text", "--profile", "--lengths", "8", "--out", str(tmp_path)]) == 0

    told = capsys.readouterr().out
    assert "input 1x8" in told
    assert [line.count("◆") for line in told.splitlines()[2:8]] == [0, 1, 0, 1, 0, 1]
    assert json.loads((tmp_path / "profile.json").read_text())["format"] == 1


def test_a_damaged_profile_is_told_in_a_sentence(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (bundle.parent / "profile.json").write_text("{}")

    assert main(["bundle", "inspect", str(bundle), "--out", str(bundle.parent)]) == 2
    assert "is no profile that can be used" in capsys.readouterr().err


def test_inspect_draws_the_map(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bundle", "inspect", str(bundle), "--json", "--svg", str(tmp_path / "map.svg")]) == 0

    blocks = json.loads(capsys.readouterr().out)["blocks"]
    assert [one["bytes"] for one in blocks] == [4 * 8 * 15 * 15, 4 * 196, 4 * 5]
    drawn = ElementTree.parse(tmp_path / "map.svg").getroot()  # noqa: S314 - we have just written it
    bars = [float(one.get("width", "0")) for one in drawn if one.get("fill") == "#4c78a8"]
    assert bars == sorted(bars, reverse=True)
    assert "LTE" not in ElementTree.tostring(drawn, "unicode")
    assert len(bars) == 3


def test_the_map_marks_exits_and_the_best_cut_for_each_link() -> None:
    row = {"carries": "1x4", "flops": 10, "weight_bytes": 8, "p95_seconds": 1.0, "memory_bytes": 1}
    sizes, seconds = (8_000_000, 1_000, 4_000_000), (0.001, 0.001, 0.5)
    blocks = [
        Block(layer=k + 1, bytes=sizes[k], frame_bytes=None, exit=k == 1, seconds=seconds[k], **row)
        for k in range(3)
    ]
    best = best_cuts(blocks, 6_000_000)

    assert [(one.link, one.layer) for one in best] == [("LTE", 2), ("Wi-Fi", 2), ("LAN", 2)]
    assert best[0].seconds == pytest.approx(10 * 0.002 + 1_000 / 0.75e6 + 0.06 + 0.5)
    rows = [" ".join(one.itertext()) for one in ElementTree.fromstring(to_svg("tiny", blocks, best))]  # noqa: S314
    assert [row for row in rows if "◆" in row and "MFLOP" in row] == [row for row in rows if "← LTE" in row]


def test_a_slow_device_on_a_fast_link_sends_its_input() -> None:
    row = {"carries": "1x4", "flops": 10, "weight_bytes": 8, "p95_seconds": 1.0, "memory_bytes": 1}
    blocks = [Block(layer=k, bytes=9**9, frame_bytes=None, exit=False, seconds=1.0, **row) for k in (1, 2)]

    assert [in_words(one, 2) for one in best_cuts(blocks, 100)][2] == (
        "LAN (100 MB/s, 1 ms): send the input, 2 s"
    )
    assert best_cuts([replace(blocks[0], seconds=None), blocks[1]], 100) == []


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


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("in the way")

    assert main(["bundle", "calibrate", "text", "--out", str(tmp_path / "file" / "deeper")]) == 2
    said = capsys.readouterr().err
    assert "cannot be made" in said
    assert "samples" not in said


def test_one_can_calibrate_on_inputs_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [Sample(data=f"film number {k}, {'good' * (k % 2)}".encode(), label=None) for k in range(12)]
    file = tmp_path / "inputs.jsonl"
    file.write_text("".join(map(line_of, given)))

    few = ["--inputs", str(file), "--changed", "0.5", "--out", str(tmp_path / "a" / "b"), "--json"]
    assert main(["bundle", "calibrate", "text", *few]) == 0

    told = json.loads(capsys.readouterr().out)
    assert told["made"]["samples"] == "8 of the inputs given, channels on 4 of them, not among those"
    assert told["points"][0]["codecs"]["int8"]["samples"] == 8


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


def test_what_is_measured_of_a_bundle_stands_beside_it_and_is_checked(
    bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_bundle(bundle)
    assert not before.codings.budgets

    assert main(["bundle", "calibrate", str(bundle), "--samples", "8", "--changed", "0.5", "--json"]) == 0

    told = json.loads(capsys.readouterr().out)
    after = load_bundle(bundle)
    assert after.digest == before.digest
    assert [one.error_budget for one in after.codings.budgets] == [
        point["error_budget"] for point in told["points"]
    ]
    measured = {point.layer: point for point in after.card.points if point.error_budget is not None}
    assert sorted(measured) == [one.layer for one in after.codings.budgets] != []
    assert all(point.calibration and point.errors["int8"] > 0 for point in measured.values())
    (bundle / "budgets.json").write_text("{}")
    with pytest.raises(BundleError):
        load_bundle(bundle)
