"""`tierline replay` as users start it."""

import json
import lzma
import subprocess
import sys
from pathlib import Path

import pytest


def replay(folder: Path, *arguments: str, timeout: float = 150) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "tierline", "replay", *arguments],
        capture_output=True, text=True, timeout=timeout, check=False, cwd=folder,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_recorded_link_and_arrivals_become_a_report(tmp_path: Path) -> None:
    packets = [str(ms) for ms in range(0, 2000, 2)] + [str(ms) for ms in range(3000, 5000, 20)]
    (tmp_path / "lte.up.xz").write_bytes(lzma.compress("\n".join(packets).encode()))
    times = "\n".join(str(number * 0.2) for number in range(50))
    (tmp_path / "requests.csv").write_text(f"arrival_s\n{times}\n")

    done = replay(
        tmp_path,
        "--network",
        "lte.up.xz",
        "--arrivals",
        "requests.csv",
        "--requests",
        "40",
        "--out",
        "made/out",
        "--json",
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["requests"], found["lost"], found["duplicates"]) == (40, 0, 0)
    assert "lte.up.xz" in found["phases"][0]["name"]
    assert json.loads((tmp_path / "made/out/summary.json").read_text()) == found
    rows = [json.loads(line) for line in (tmp_path / "made/out/outcomes.jsonl").read_text().splitlines()]
    assert sum(not row["all_cloud"] for row in rows) == 40
    assert max(row["due"] for row in rows if not row["all_cloud"]) == pytest.approx(39 * 0.2)
    assert "<svg" in (tmp_path / "made/out/latency.svg").read_text()


@pytest.mark.parametrize(
    ("files", "arguments", "sentence"),
    [
        ({}, ["--network", "none.up"], "none.up cannot be read"),
        ({"a.up": "soon\n"}, ["--network", "a.up"], "a.up, line 1: 'soon' is no millisecond"),
        ({"a.up": "1792412345\n"}, ["--network", "a.up"], "a.up, line 1: 1792412345 ms is more than a day"),
        (
            {"a.up": "1\n2\n", "b.csv": "x,y\n1,2\n"},
            ["--network", "a.up", "--arrivals", "b.csv"],
            "b.csv, line 1",
        ),
        ({"a.up": "1\n2\n", "made": ""}, ["--network", "a.up"], "cannot write into made"),
        ({"a.up": "1\n2\n"}, ["--network", "a.up", "--stretch", "0"], "a factor"),
    ],
)
def test_bad_files_are_one_sentence_and_code_2(
    tmp_path: Path, files: dict[str, str], arguments: list[str], sentence: str
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)

    done = replay(tmp_path, *arguments, "--out", "made", timeout=30)

    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ""
