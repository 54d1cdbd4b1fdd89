"""What the doctor says of a machine without PyTorch, and of one whose PyTorch is broken."""

import asyncio
import sys
from pathlib import Path
from typing import Any, cast

import pytest

from tierline.checks import _ask_any, examine_machine
from tierline.client import Answered, Client, InferenceError
from tierline_broker import Failure, Result, Tier


def _bare(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the tests' interpreter one without site-packages, as `pip install tierline` leaves torch out."""
    bare = folder / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(bare))


def _say(folder: Path, torch: str) -> str:
    """Return a folder to import from, with a package called torch that says this."""
    (folder / "torch").mkdir()
    (folder / "torch" / "__init__.py").write_text(torch)
    return str(folder)


async def test_a_machine_without_torch_is_well_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _bare(tmp_path, monkeypatch)

    async with asyncio.timeout(30):
        python, torch = await examine_machine()

    assert python.ok
    assert not python.note
    assert (torch.check, torch.ok, torch.note) == ("PyTorch", True, True)
    assert "only nodes need it: pip install 'tierline[torch]'" in torch.found


@pytest.mark.parametrize(
    ("torch", "found"),
    [
        ("raise ImportError('libgomp.so.1: cannot open shared object file')", "libgomp.so.1"),
        ("import torch._C", "No module named 'torch._C'"),
        ("import os; os.kill(os.getpid(), 4)", "it died of signal 4"),
    ],
    ids=["a library is missing", "half of it is missing", "it is built for another processor"],
)
async def test_a_torch_that_is_broken_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, torch: str, found: str
) -> None:
    monkeypatch.setenv("PYTHONPATH", _say(tmp_path, torch))

    async with asyncio.timeout(30):
        _, finding = await examine_machine()

    assert (finding.ok, finding.note) == (False, False)
    assert found in finding.found
    assert "constraints.txt" in finding.cure


def test_what_is_only_noted_is_neither_wrong_nor_the_first_thing_to_mend(
    tmp_path: Path, tierline: Any, deployment: Any
) -> None:
    # The command itself needs no torch: what it imports here instead says that there is none.
    missing = "raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')"
    absent = _say(tmp_path, missing)

    shown = tierline("doctor", *deployment.flags, "--wait", "30", PYTHONPATH=absent)
    told = tierline("doctor", "--json", *deployment.flags, PYTHONPATH=absent)

    assert (shown.code, told.code) == (0, 0)
    assert shown.out.splitlines()[1].split()[:2] == ["note", "PyTorch"]
    assert shown.out.endswith("All is well.\n")
    assert told.document()["first_wrong"] is None
    assert [check["note"] for check in told.document()["checks"]][:3] == [False, True, False]


class Picky:
    """A client whose deployment takes nothing but these inputs."""

    def __init__(self, *takes: bytes, code: str = "bad-input") -> None:
        self.takes, self.code, self.asked = takes, code, 0

    async def infer(self, data: bytes, *, deadline: float) -> Answered:
        self.asked += 1
        if data in self.takes:
            return Answered(
                output=(1.0,), label="fine", confidence=1.0, tier=Tier.MOBILE, degraded=False, seconds=0.001,
                steps=(), node="phone", pool=None, why="",
            )  # fmt: skip
        failure = Failure(code=self.code, message="the text is no image; send one")
        raise InferenceError(Result(id=b"x" * 16, node="phone", tier=Tier.MOBILE, error=failure))


async def test_a_probe_is_of_the_kind_that_the_bundle_takes() -> None:
    first, second, neither = Picky(b"text"), Picky(b"picture"), Picky()

    assert await _ask_any(cast("Client", first), (b"text", b"picture")) == "phone answered 'fine' in 1 ms"
    assert await _ask_any(cast("Client", second), (b"text", b"picture")) == "phone answered 'fine' in 1 ms"
    assert "takes neither (the text is no image" in await _ask_any(cast("Client", neither), (b"a", b"b"))
    assert (first.asked, second.asked, neither.asked) == (1, 2, 2)


async def test_a_probe_that_fails_otherwise_is_told() -> None:
    with pytest.raises(InferenceError, match="no image"):
        await _ask_any(cast("Client", Picky(code="overloaded")), (b"a", b"b"))
