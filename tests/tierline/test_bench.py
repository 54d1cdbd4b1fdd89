"""Benchmarks: rows are completed and judged, and wrong output is a failure with a sentence."""

import json
from pathlib import Path
from typing import Any

import pytest

from tierline import bench
from tierline.errors import RunError, UsageError

ROW = {
    "claim": "seconds a hop",
    "value": 2.0,
    "reach": 3.0,
    "better": "lower",
    "unit": "s",
    "spread": [1.0, 3.0],
    "runs": 5,
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of benchmarks that take no time."""
    monkeypatch.setattr(bench, "_FOLDER", tmp_path)
    (tmp_path / "hop.py").write_text(f"import sys\nprint({json.dumps(json.dumps([ROW]))})\n")
    (tmp_path / "tables.py").write_text("raise SystemExit('is none')\n")
    return tmp_path


async def _measured(name: str, *, quick: bool) -> list[dict[str, Any]]:
    return (await bench._run_all([name], quick=quick))[name]


async def test_a_row_is_kept_with_how_where_with_what_and_when(folder: Path) -> None:
    (row,) = await _measured("hop", quick=False)

    assert json.loads((folder / "results" / "hop.json").read_text()) == [row]
    assert row | ROW == row
    assert row["command"] == "tierline bench hop"
    assert {"command", "machine", "versions", "date"} <= row.keys()


async def test_a_quick_run_says_so_and_keeps_nothing(folder: Path) -> None:
    (row,) = await _measured("hop", quick=True)

    assert row["command"] == "tierline bench hop --quick"
    assert not (folder / "results").exists()


def test_all_are_run_unless_some_are_asked_for(folder: Path) -> None:
    (folder / "main.py").touch()

    assert bench._chosen([]) == ["hop", "main"]
    assert bench._chosen(["main", "main"]) == ["main"]
    with pytest.raises(UsageError, match="choose from hop, main"):
        bench._chosen(["tables"])


@pytest.mark.parametrize(
    ("program", "said"),
    [("raise SystemExit(3)", "failed with code 3"), ("print('so fast')", "printed no JSON rows")],
)
async def test_a_benchmark_that_goes_wrong_is_a_failure(program: str, said: str, folder: Path) -> None:
    (folder / "hop.py").write_text(program)

    with pytest.raises(RunError, match=said):
        await _measured("hop", quick=False)
    assert not (folder / "results").exists()


@pytest.mark.parametrize(
    ("better", "reach", "met"),
    [("lower", 3, True), ("lower", 1, False), ("higher", 2, True), ("higher", 3, False)],
)
def test_a_figure_is_judged_by_which_way_is_better(better: str, reach: float, met: bool) -> None:
    assert bench.met({"value": 2.0, "reach": reach, "better": better}) is met


async def test_rows_that_share_a_file_replace_only_those_of_their_own(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "hop_more.py").write_text((folder / "hop.py").read_text().replace("seconds a hop", "more"))
    monkeypatch.setattr(bench, "_INTO", {"hop_more": "hop"})

    for name in ("hop", "hop_more", "hop", "hop_more"):
        await _measured(name, quick=False)

    rows = json.loads((folder / "results" / "hop.json").read_text())
    assert sorted(row["claim"] for row in rows) == ["more", "seconds a hop"]
