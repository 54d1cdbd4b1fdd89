"""A bundle's inputs for programs without torch: one line of JSON each."""

import base64
import json
import subprocess
import sys

import pytest


def samples(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command."""
    return subprocess.run(
        [sys.executable, "-m", "tierline_models.samples", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_inputs_come_with_their_labels_in_the_seeds_order() -> None:
    first, again, other = (samples("text", "--count", "5", "--seed", seed) for seed in ("1", "1", "2"))
    rows = [json.loads(line) for line in first.stdout.splitlines()]

    assert len(rows) == 5
    assert {row["label"] for row in rows} <= {"positive", "negative"}
    assert all(base64.b64decode(row["data"]).decode().strip() for row in rows)
    assert first.stdout == again.stdout != other.stdout


@pytest.mark.parametrize("arguments", [["nope"], ["text", "--split", "nope"]])
def test_what_is_not_there_is_one_sentence_and_code_2(arguments: list[str]) -> None:
    done = samples(*arguments)

    assert done.returncode == 2
    assert "nope" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
