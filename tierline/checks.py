"""What `tierline doctor` looks at, one function a check, in the order in which things can be wrong."""

import asyncio
import secrets
import struct
import sys
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

from tierline.client import Client, InferenceError, connect
from tierline.nodes import Seen, look
from tierline.settings import broker_url
from tierline_broker import MAX_MESSAGE_BYTES, BrokerError
from tierline_broker import connect as open_session

_TORCH_SECONDS = 60.0  # a Raspberry Pi imports it in ten
_PROBE_SECONDS = 10.0
_PROBE_TEXT = b"a gorgeous, witty film"

# In a process of its own: a build for other processors dies of an illegal instruction, and we must not.
_TORCH_TEST = """
import torch
torch.set_num_threads(1)
torch.manual_seed(0)
a, b = torch.rand(64, 96), torch.rand(96, 32)
off = float((a @ b - (a.double() @ b.double()).float()).abs().max())
assert off < 1e-3, f"a matrix product is off by {off}"
print(torch.__version__)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """What one check found.

    Attributes:
        check: what was looked at.
        ok: whether it is as it should be, or need not be.
        found: how it is.
        cure: what to do where it is not ok.
        note: ok, and yet worth telling people: `found` says when it matters.
    """

    check: str
    ok: bool
    found: str
    cure: str = ""
    note: bool = False


async def examine_machine() -> list[Finding]:
    """Return the findings about this machine."""
    return [_python(), await _torch()]


async def examine_deployment(broker: str | None, site: str) -> list[Finding]:
    """Return the findings about a deployment; what a failed check makes pointless is not tried."""
    findings = await _broker(broker, site)
    if not all(finding.ok for finding in findings):
        return findings
    seen = await look(broker, site)
    findings += [_scheduler(seen), _nodes(seen)]
    if findings[-1].ok:
        findings.append(await _probe(broker, site, seen))
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        check="Python", ok=sys.version_info >= (3, 11), found=version, cure="install Python 3.11 or newer"
    )


async def _torch() -> Finding:
    """Multiply two matrices in a process of its own; without PyTorch a machine is well, if no node's."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _TORCH_TEST, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(_TORCH_SECONDS):
            out, err = await process.communicate()
    except TimeoutError:
        return _bad_torch(f"its self-test took over {_TORCH_SECONDS:g} s", "free some memory and try again")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode == 0:
        return Finding(check="PyTorch", ok=True, found=out.decode().strip())
    last = (err.decode(errors="replace").strip().splitlines() or [""])[-1]
    if "No module named 'torch'" in last:
        found = "not installed; only nodes need it: pip install 'tierline[torch]'"
        return Finding(check="PyTorch", ok=True, note=True, found=found)
    return _bad_torch(
        last or f"it died of signal {-(process.returncode or 0)}",
        "install the version that constraints.txt names for this platform",
    )


def _bad_torch(found: str, cure: str) -> Finding:
    return Finding(check="PyTorch", ok=False, found=found, cure=cure)


async def _broker(broker: str | None, site: str) -> list[Finding]:
    """Connect and read what the broker announces."""
    url, started = broker_url(broker), time.monotonic()
    try:
        async with open_session(url, name=f"doctor-{secrets.token_hex(4)}", site=site) as session:
            took, limit = time.monotonic() - started, session.maximum_packet_size
    except BrokerError as error:
        what, _, cure = str(error).partition("; ")
        return [Finding(check="broker", ok=False, found=what, cure=cure)]
    shown = url.rpartition("@")[2]
    return [
        Finding(check="broker", ok=True, found=f"{shown} answers in {1000 * took:.0f} ms"),
        Finding(
            check="packet limit",
            ok=limit is None or limit >= MAX_MESSAGE_BYTES,
            found="none announced" if limit is None else f"{limit} bytes",
            cure=f"raise max_packet_size in the broker's configuration to {MAX_MESSAGE_BYTES} or more",
        ),
    ]


def _scheduler(seen: Seen) -> Finding:
    alive = [name for name, one in seen.births.items() if one.role == "scheduler" and one.state == "ready"]
    return Finding(
        check="scheduler",
        ok=bool(alive),
        found=", ".join(sorted(alive)) or "none is alive; nodes keep their last plan",
        cure="start one with `tierline scheduler`",
    )


def _nodes(seen: Seen) -> Finding:
    ready = [one for one in seen.births.values() if one.tier is not None and one.state == "ready"]
    tiers = [
        f"{sum(one.tier is tier for one in ready)} {tier}"
        for tier in sorted({one.tier for one in ready if one.tier}, key=lambda tier: tier.rank)
    ]
    return Finding(
        check="nodes",
        ok=bool(ready),
        found=", ".join(tiers) or "none is ready",
        cure="start one with `tierline node --tier mobile`",
    )


async def _probe(broker: str | None, site: str, seen: Seen) -> Finding:
    """Send one input all the way and wait for its answer; which kind a bundle takes, only its nodes know."""
    names = {profile.model.name for profile in seen.profiles.values()}
    data = (_small_png(), _PROBE_TEXT) if "image" in names else (_PROBE_TEXT, _small_png())
    try:
        async with connect(broker, site=site) as client:
            answered = await _ask_any(client, data)
    except (InferenceError, BrokerError) as error:
        return Finding(
            check="end to end",
            ok=False,
            found=str(error),
            cure="look at the nodes' logs; `tierline nodes` says which are ready",
        )
    return Finding(check="end to end", ok=True, found=answered)


async def _ask_any(client: Client, data: Sequence[bytes]) -> str:
    """Ask with one input after the other until a node takes one."""
    for one in data:
        try:
            return await _ask(client, one)
        except InferenceError as error:
            if error.code != "bad-input":
                raise
            refused = str(error)
    return f"a node refuses text and pictures, as its bundle takes neither ({refused})"


async def _ask(client: Client, data: bytes) -> str:
    got = await client.infer(data, deadline=_PROBE_SECONDS)
    return f"{got.node} answered {got.label!r} in {1000 * got.seconds:.0f} ms"


def _small_png() -> bytes:
    """Return a grey picture of 64 x 64 points."""
    rows = (b"\x00" + b"\x80" * 64) * 64

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )
