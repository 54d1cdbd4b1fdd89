"""Split a model of your own, add an early exit, save it, serve it and ask it; needs `tierline broker`."""

import asyncio
import sys
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor, nn

import tierline
from tierline_models import ImageHead, ImageInput

FOLDER = Path(sys.argv[1] if len(sys.argv) > 1 else ".")


def stripes(count: int) -> tuple[Tensor, Tensor]:
    """Noisy pictures (B, 1, 16, 16) of stripes, and whether they run across (0) or down (1)."""
    down = torch.randint(0, 2, (count,))
    pattern = (torch.arange(16) % 4 < 2).float().expand(16, 16)
    clean = torch.stack([pattern if one else pattern.T for one in down]).unsqueeze(1)
    return (clean + 0.5 * torch.randn(clean.shape)).clamp(0, 1), down


def train(module: nn.Module, x: Tensor, truth: Tensor) -> None:
    """Fit it to the labels."""
    optimizer = torch.optim.Adam(module.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), truth).backward()
        optimizer.step()


async def ask(picture: bytes) -> None:
    """Start a node for each of two tiers, and have both look at the picture."""
    node = [sys.executable, "-m", "tierline", "node", "--bundle", str(FOLDER / "stripes")]
    async with tierline.connect() as client:
        for tier in ("mobile", "cloud"):
            running = await asyncio.create_subprocess_exec(*node, "--tier", tier)
            answered = await client.infer(picture, deadline=60, tier=tier)
            print(f"{tier}: {answered.label} with {answered.confidence:.0%}")
            running.terminate()
            await running.wait()


torch.manual_seed(0)
x, truth = stripes(200)
convs = [nn.Conv2d(1, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, 2), nn.ReLU()]
model = nn.Sequential(*convs, nn.Flatten(), nn.Linear(144, 2))
train(model, x, truth)
cut = tierline.split(model.eval(), x[:1])
leave = ImageHead(8, labels=2)
train(leave, cut.head(0)(x).detach(), truth)
cut.add_exit(0, leave)
cut.calibrate([x], truth.tolist())  # better: pictures that nothing was trained on
pixels = ImageInput(height=16, width=16, mean=[0.0], deviation=[1.0])
cut.save(FOLDER / "stripes", labels=["across", "down"], preprocessing=pixels)
Image.fromarray((255 * x[0, 0]).byte().numpy()).save(FOLDER / "stripes.png")
asyncio.run(ask((FOLDER / "stripes.png").read_bytes()))
