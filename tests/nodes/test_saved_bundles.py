"""Bundles of split models on real node processes and a real Mosquitto."""

import asyncio
import itertools
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tests.models.zoo import UNet
from tierline_broker import PLAN, Client, Plan, Route, Stage, Tier, connect_client
from tierline_models import Bundle, TextInput, load_bundle, split

NODES = (("phone", Tier.MOBILE), ("cloud", Tier.CLOUD))

pytestmark = pytest.mark.timeout(120)

_versions = itertools.count(1)  # a node leaves a plan that is older than its own


class Skips(nn.Module):
    """A U-Net with a class for an answer: several tensors travel at its waist."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet()
        self.classify = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.unet(x).mean((2, 3)))


class Whole(nn.Module):
    """A built-in model as its users have it: one module, without exits."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.blocks = bundle.model.blocks
        self.head = bundle.model.exits[len(self.blocks)].head

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def start(url: str, site: str, folder: Path, logs: Path) -> list[subprocess.Popen[bytes]]:
    """A mobile and a cloud node that run the bundle in a folder."""
    command = [sys.executable, "-m", "tierline", "node", "--broker", url, "--site", site]
    running = []
    for name, tier in NODES:
        flags = ("--name", name, "--tier", tier.value, "--bundle", str(folder))
        with (logs / f"{name}.log").open("wb") as log:
            running.append(subprocess.Popen([*command, *flags], stderr=log, stdin=subprocess.DEVNULL))
    return running


@asynccontextmanager
async def deployment(url: str, site: str, folder: Path, logs: Path) -> AsyncGenerator[Client]:
    """These nodes, and a client."""
    running = start(url, site, folder, logs)
    try:
        async with connect_client(url, site=site) as client:
            async with asyncio.timeout(90):
                for _, tier in NODES:
                    await client.presence.wait_for(tier)
            yield client
    finally:
        for process in running:
            process.send_signal(signal.SIGTERM)
        for process in running:
            assert process.wait(timeout=10) == 0


def same(one: object, other: object) -> bool:
    return isinstance(one, Tensor) and isinstance(other, Tensor) and torch.equal(one, other)


async def cut_at(client: Client, bundle: Bundle, layer: int, codec: str, easy: float = 1.0) -> None:
    """Publish a plan that cuts after this layer, and wait until the mobile node goes by it."""
    first = Stage(tier=Tier.MOBILE, node="phone", layer=layer, codec="input")
    second = Stage(tier=Tier.CLOUD, node="cloud", layer=bundle.card.blocks, codec=codec)
    route = Route(stages=(first, second), easy=easy, medium=easy, tiers={"easy": Tier.MOBILE})
    version = next(_versions)
    await client.session.publish(
        PLAN, "phone", Plan(node="phone", model=bundle.digest, version=version, route=route)
    )
    async with asyncio.timeout(20):
        while (await client.infer(bundle.example, deadline=5)).plan != version:
            pass


async def test_several_tensors_travel_between_nodes(broker_url: str, site: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    split(Skips().eval(), torch.randn(1, 3, 32, 32), every=True).save(tmp_path / "skips")
    bundle = load_bundle(tmp_path / "skips")
    whole = tuple(bundle.model.unsplit(bundle.model.preprocess(bundle.example))[0].tolist())
    several = [layer for layer in range(1, bundle.card.blocks) if len(bundle.model.travelling(layer)) > 1]

    async with deployment(broker_url, site, tmp_path / "skips", tmp_path) as client:
        for layer in (several[0], several[-1]):
            await cut_at(client, bundle, layer, "raw")
            result = await client.infer(bundle.example)
            assert result.answer is not None, result
            assert result.answer.output == whole
            assert [step.node for step in result.steps] == ["phone", "cloud"]
            assert result.steps[1].first == layer
        await cut_at(client, bundle, several[0], "int8-lz4")
        coded = await client.infer(bundle.example)
        assert coded.answer is not None
        assert coded.answer.output == pytest.approx(whole, abs=0.05)
        assert coded.steps[1].received_bytes < 0.5 * result.steps[1].received_bytes
        refused = await client.infer(b"text")
        assert refused.error is not None
        assert refused.error.code == "bad-input"


async def test_the_text_model_split_anew_is_served_with_its_exits(
    broker_url: str, site: str, tmp_path: Path, text_bundle: Bundle
) -> None:
    from tierline_models.fetch import fetch
    from tierline_models.text import MINILM

    model = Whole(text_bundle).eval()
    cut = split(model, text_bundle.model.preprocess(text_bundle.example))
    x = text_bundle.model.preprocess(b"a gorgeous, witty film")
    with torch.no_grad():
        carried = [cut.head(k)(x) for k in range(len(cut.points))]
    ends = {  # which of our points stands after these blocks
        layer: next(k for k, one in enumerate(carried) if same(one, text_bundle.model.run(x, 0, layer)))
        for layer in (2, 4)
    }
    for layer, k in ends.items():
        leave = text_bundle.model.exits[layer]
        cut.add_exit(k, leave.head, temperature=leave.temperature)
    tokenizer = (fetch(MINILM) / "tokenizer.json").read_text(encoding="utf-8")
    cut.save(
        tmp_path / "minilm",
        labels=text_bundle.model.labels,
        preprocessing=TextInput(tokenizer=tokenizer, longest=128),
    )
    bundle = load_bundle(tmp_path / "minilm")

    async with deployment(broker_url, site, tmp_path / "minilm", tmp_path) as client:
        first = ends[2] + 1
        for text in (b"a gorgeous, witty film", b"dull " * 200):
            await cut_at(client, bundle, first, "raw")
            far = await client.infer(text)
            assert far.answer is not None, far
            x = text_bundle.model.preprocess(text)
            assert far.answer.output == tuple(text_bundle.model.unsplit(x)[0].tolist())
            await cut_at(client, bundle, first, "raw", easy=0.01)
            near = await client.infer(text)
            ours = text_bundle.model.exit(2, text_bundle.model.run(x, 0, 2))
            assert near.answer is not None
            assert near.tier is Tier.MOBILE
            assert near.answer.layer == first
            assert (near.answer.output, near.answer.label) == (ours.logits, ours.label)
            assert near.answer.confidence == pytest.approx(ours.confidence)
