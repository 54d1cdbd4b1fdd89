"""The examples do what they say, as a user runs them."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import tierline

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.timeout(120)
def test_a_model_of_ones_own_is_split_served_and_asked(broker_url: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "own_model.py"), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
        env=os.environ | {"TIERLINE_BROKER": broker_url, "TIERLINE_STATE": str(tmp_path)},
    )

    assert done.returncode == 0, done.stderr[-2000:]
    told = re.findall(r"^(mobile|cloud): (across|down) with (\d+)%$", done.stdout, re.MULTILINE)
    assert [tier for tier, _, _ in told] == ["mobile", "cloud"]
    assert told[0][1:] == told[1][1:]
    cut = tierline.load(tmp_path / "stripes")
    assert [one.layer for one in cut.exits] == [1]
    assert cut.routes is not None
    assert cut.routes.accuracy > 0.95


def test_an_image_model_learns_to_answer_early() -> None:
    command = [sys.executable, str(EXAMPLES / "early_exits.py")]

    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
    told = [float(one) for one in re.findall(r"([\d.]+)%", done.stdout)]
    assert len(told) == 3
    assert 75 < told[0] < told[1] + 5
    assert 20 < told[2] < 100


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) < 60
