"""A node without torch: real processes, a real Mosquitto, and torch that cannot be imported."""

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.models.zoo import UNet
from tierline_broker import PLAN, Client, Plan, Route, Stage, Tier, connect_client
from tierline_models import BundleError, ImageHead, attach, load_bundle, load_served, split

_versions = itertools.count(1)  # a node leaves a plan that is older than its own
LAST = 12  # block of the model below
NODES = (("phone", Tier.MOBILE, "onnx"), ("cloud", Tier.CLOUD, "torch"))

pytestmark = pytest.mark.timeout(120)


class Skips(nn.Module):
    """A U-Net with a class for an answer: several tensors travel at its waist."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet()
        self.classify = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.unet(x).mean((2, 3)))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It as a bundle with ONNX and an exit after its first block."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bundles") / "skips"
    cut = split(Skips().eval(), torch.randn(1, 3, 32, 32), every=True)
    channels = cut.points[0].tensors[0].shape[1]
    cut.add_exit(0, ImageHead(channels, 3), temperature=1.5)
    cut.save(folder, onnx=True)
    assert cut.layers == LAST
    return folder


def start(url: str, site: str, bundle: Path, folder: Path) -> list[subprocess.Popen[bytes]]:
    """A phone whose Python has no torch, and a cloud that computes with it."""
    (folder / "without").mkdir()
    (folder / "without" / "torch.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\")\n")
    paths = [str(folder / "without"), *filter(None, [os.environ.get("PYTHONPATH")])]
    without = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, "-m", "tierline", "node", "--broker", url, "--site", site]
    running = []
    for name, tier, runtime in NODES:
        flags = ("--name", name, "--tier", tier.value, "--bundle", str(bundle), "--runtime", runtime)
        env = without if runtime == "onnx" else dict(os.environ)
        with (folder / f"{name}.log").open("wb") as log:
            running.append(
                subprocess.Popen([*command, *flags], stderr=log, stdin=subprocess.DEVNULL, env=env)
            )
    return running


@asynccontextmanager
async def deployment(url: str, site: str, bundle: Path, folder: Path) -> AsyncGenerator[Client]:
    """These nodes, and a client."""
    running = start(url, site, bundle, folder)
    try:
        async with connect_client(url, site=site) as client:
            async with asyncio.timeout(60):
                for _, tier, _ in NODES:
                    await client.presence.wait_for(tier)
            yield client
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            assert process.wait(timeout=10) == 0, (folder / "phone.log").read_text()


async def follow(client: Client, digest: str, blocks: int, layer: int, easy: float, example: bytes) -> None:
    """Have the phone cut after this layer, and answer there what is surer than `easy`."""
    first = Stage(tier=Tier.MOBILE, node="phone", layer=layer, codec="input")
    second = Stage(tier=Tier.CLOUD, node="cloud", layer=blocks, codec="raw")
    route = Route(stages=(first, second), easy=easy, medium=easy, tiers={"easy": Tier.MOBILE})
    version = next(_versions)
    await client.session.publish(
        PLAN, "phone", Plan(node="phone", model=digest, version=version, route=route)
    )
    async with asyncio.timeout(20):
        while (await client.infer(example, deadline=5)).plan != version:
            pass


async def test_a_node_without_torch_serves_its_blocks_and_exits_and_hands_on_to_one_with_it(
    broker_url: str, site: str, saved: Path, tmp_path: Path
) -> None:
    bundle = load_bundle(saved)
    model, x = bundle.model, bundle.model.preprocess(bundle.example)
    whole = tuple(model.unsplit(x)[0].tolist())
    several = next(layer for layer in range(1, bundle.card.blocks) if len(model.travelling(layer)) > 1)

    async with deployment(broker_url, site, saved, tmp_path) as client:
        for layer in (2, several):
            await follow(client, bundle.digest, bundle.card.blocks, layer, 1.0, bundle.example)
            far = await client.infer(bundle.example)
            assert far.answer is not None, far
            assert far.answer.output == pytest.approx(whole, abs=1e-4)
            assert [(step.node, step.first) for step in far.steps] == [("phone", 0), ("cloud", layer)]
        await follow(client, bundle.digest, bundle.card.blocks, 2, 0.01, bundle.example)
        near = await client.infer(bundle.example)
        ours = model.exit(1, model.run(x, 0, 1))
        assert near.answer is not None
        assert (near.tier, near.answer.layer, near.answer.label) == (Tier.MOBILE, 1, ours.label)
        assert near.answer.output == pytest.approx(ours.logits, abs=1e-4)
        assert near.answer.confidence == pytest.approx(ours.confidence, abs=1e-4)
        refused = await client.infer(b"text")
        assert refused.error is not None
        assert refused.error.code == "bad-input"


def test_a_bundle_is_the_same_for_both_runtimes(saved: Path) -> None:
    ours, theirs = load_bundle(saved), load_served(saved, runtime="onnx")

    assert (theirs.digest, theirs.name, theirs.card) == (ours.digest, ours.name, ours.card)
    assert theirs.model.labels == ours.model.labels
    assert list(theirs.model.exits) == list(ours.model.exits)
    for layer in range(1, ours.card.blocks):
        assert theirs.model.travelling(layer) == ours.model.travelling(layer)
    held = load_served(saved, runtime="onnx", max_layer=2)
    assert (len(held.model.blocks), list(held.model.exits)) == (2, [1])


def test_what_cannot_be_served_without_torch_is_said_in_one_sentence(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="text runs with torch only"):
        load_served("text", runtime="onnx")
    split(*_unanswering()).save(tmp_path / "unet", onnx=True)
    with pytest.raises(BundleError, match=r"has no onnx\.json: make its ONNX with .* one tensor of logits"):
        load_served(tmp_path / "unet", runtime="onnx")


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param({"format": 2}, id="of another version"),
        pytest.param({"output": float("inf")}, id="an endless number"),
        pytest.param({"temperatures": [[1, 1.5], [LAST, float("nan")]]}, id="a temperature that is none"),
        pytest.param({"temperatures": [[LAST, 1.0]]}, id="an exit less"),
        pytest.param({"travelling": []}, id="nothing travels"),
        pytest.param({"inputs": [[], []]}, id="no inputs"),
        pytest.param({"card": {"name": "skips"}}, id="half a card"),
    ],
)
def test_what_was_worked_out_of_a_bundle_is_not_believed_unseen(
    saved: Path, tmp_path: Path, damage: dict[str, Any]
) -> None:
    shutil.copytree(saved, tmp_path / "damaged")
    about = json.loads((saved / "onnx.json").read_text())
    load_served(tmp_path / "damaged", runtime="onnx")

    attach(tmp_path / "damaged", {"onnx.json": json.dumps(about | damage).encode()})

    with pytest.raises(BundleError, match=r"onnx\.json (is not as this version writes it|does not fit)"):
        load_served(tmp_path / "damaged", runtime="onnx")


def _unanswering() -> tuple[nn.Module, Tensor]:
    return UNet().eval(), torch.randn(1, 3, 32, 32)
