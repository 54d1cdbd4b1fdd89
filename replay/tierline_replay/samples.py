"""Labelled inputs of a bundle, read by a child process so that no torch is loaded here."""

import asyncio
import base64
import json
import sys
from asyncio.subprocess import PIPE

from tierline_replay.errors import ChildError, ChildRefusedError, ReplayError
from tierline_replay.outcome import Sample

_REFUSED = 2


async def read_samples(bundle: str, *, count: int, seed: int) -> list[Sample]:
    """Return up to `count` test inputs of a bundle in an order that `seed` fixes; the first call may fetch.

    Raises:
        ChildRefusedError: there is no such bundle.
        ChildError: they could not be had.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tierline_models.samples", bundle, "--seed", str(seed), "--count", str(count),
        stdout=PIPE, stderr=PIPE,
    )  # fmt: skip
    try:
        out, said = await process.communicate()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
    if process.returncode:
        kind = ChildRefusedError if process.returncode == _REFUSED else ChildError
        raise kind("samples", process.returncode, said.decode(errors="replace").splitlines()[-12:])
    samples = [_sample(line) for line in out.splitlines()]
    if not samples:
        raise ReplayError(f"bundle {bundle} has no test inputs; choose `text` or `image`")
    return samples


def _sample(line: bytes) -> Sample:
    fields = json.loads(line)
    return Sample(data=base64.b64decode(fields["data"]), label=fields["label"])
