"""A node built for arm64, run by an emulator as a Raspberry Pi's processor, answers activations.

TIERLINE_ARM64_ROOT names the unpacked node image for arm64; docs/raspberry-pi.md tells how to make it.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tierline_broker import PLAN, Client, Plan, Pool, Route, Stage, Tier, connect_client, running
from tierline_models import Bundle
from tierline_models.fetch import cache_folder

ROOT = os.environ.get("TIERLINE_ARM64_ROOT")
TEXT = b"a gorgeous, witty film"
START_SECONDS = 600  # an emulator is slow: it says nothing of the device
# How far logits may be from the unsplit model's on this machine: other arithmetic, and then a lossy codec.
TOLERANCES = {"raw": 1e-3, "int8-lz4": 0.5}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(3 * START_SECONDS),
    pytest.mark.skipif(ROOT is None, reason="TIERLINE_ARM64_ROOT names no unpacked arm64 image"),
]


@dataclass(frozen=True)
class Deployment:
    """A real mobile node on this machine and an emulated edge node called `pi`."""

    site: str
    phone: Process
    pi: Process


@pytest.fixture(params=["cortex-a72", "cortex-a76"], ids=["as-pi-4", "as-pi-5"])
async def deployment(
    request: pytest.FixtureRequest, broker_url: str, text_bundle: Bundle
) -> AsyncGenerator[Deployment]:
    site, root = request.param, Path(ROOT or "")
    # What the node would fetch by itself; fetched here already, for `text_bundle`.
    shutil.copytree(cache_folder() / "packages", root / "var/cache/tierline/packages", dirs_exist_ok=True)
    emulated = ("chroot", str(root), "/usr/bin/env", f"QEMU_CPU={site}", "TIERLINE_CACHE=/var/cache/tierline")
    phone = await start(broker_url, site, "phone", "mobile", sys.executable, "-m", "tierline")
    pi = await start(broker_url, site, "pi", "edge", *emulated, "/opt/venv/bin/tierline")
    yield Deployment(site, phone, pi)
    for process in (phone, pi):
        if process.returncode is None:
            process.terminate()
    async with asyncio.timeout(60):
        assert [await phone.wait(), await pi.wait()] == [0, 0]


async def start(url: str, site: str, name: str, tier: str, *program: str) -> Process:
    flags = ("--tier", tier, "--name", name, "--site", site, "--broker", url)
    return await asyncio.create_subprocess_exec(*program, "node", *flags, stdin=subprocess.DEVNULL)


async def ready(client: Client, deployment: Deployment) -> None:
    """Wait until both nodes are there; an emulator is slow, but a process that has ended never comes."""

    async def fail(process: Process) -> None:
        raise AssertionError(f"a node ended with {await process.wait()}; what it said is above")

    async with (
        asyncio.timeout(START_SECONDS),
        running(fail(deployment.phone), fail(deployment.pi), name="node-ended"),
    ):
        await client.presence.wait_for(Tier.MOBILE)
        await client.presence.wait_for(Tier.EDGE)


def split(bundle: Bundle, codec: str, version: int) -> Plan:
    """Two blocks on the phone, four on the Pi."""
    stages = (
        Stage(tier=Tier.MOBILE, node="phone", layer=2, codec="input"),
        Stage(tier=Tier.EDGE, node="pi", layer=6, codec=codec),
    )
    route = Route(stages=stages, tiers=dict.fromkeys(Pool, Tier.EDGE))
    return Plan(node="phone", model=bundle.digest, version=version, route=route)


async def follow_plan(client: Client, plan: Plan) -> None:
    """Publish a plan and wait until the phone goes by it."""
    await client.session.publish(PLAN, "phone", plan)
    async with asyncio.timeout(60):
        while (await client.infer(TEXT, deadline=30)).plan != plan.version:
            pass


async def test_an_emulated_pi_answers_activations_as_the_unsplit_model_does(
    deployment: Deployment, broker_url: str, text_bundle: Bundle
) -> None:
    whole = text_bundle.model.unsplit(text_bundle.model.preprocess(TEXT))[0].tolist()
    began = time.monotonic()
    async with connect_client(broker_url, site=deployment.site) as client:
        await ready(client, deployment)
        told = [f"{deployment.site}: ready after {time.monotonic() - began:.0f} s"]

        for version, (codec, tolerance) in enumerate(TOLERANCES.items(), start=1):
            await follow_plan(client, split(text_bundle, codec, version))
            result = await client.infer(TEXT, deadline=30)

            assert result.answer is not None, result
            assert [(step.node, step.last) for step in result.steps] == [("phone", 2), ("pi", 6)]
            assert result.steps[1].codec in (codec, codec.removesuffix("-lz4"))
            assert result.answer.output == pytest.approx(whole, abs=tolerance)
            told.append(f"{codec} answered in {result.steps[1].compute:.2f} s of compute: {result.answer}")
    print("\n".join(told))  # noqa: T201 (for the documentation; shown by -s)
