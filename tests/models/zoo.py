"""Architectures with random weights, written short: what published models are made of, in small."""

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

Example = tuple[nn.Module, tuple[Tensor, ...]]


def _conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1, groups: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Bottleneck(nn.Module):
    """Narrow, convolve (in groups), widen, add: ResNet-50's block, RegNet's with groups and a gate."""

    def __init__(
        self, inputs: int, outputs: int, stride: int, inside: int, group: int = 0, gate: bool = False
    ):
        super().__init__()
        self.a = _conv(inputs, inside, 1)
        self.b = _conv(inside, inside, 3, stride, inside // group if group else 1)
        self.gate = (
            nn.Sequential(
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(inside, inputs // 4, 1),
                nn.ReLU(),
                nn.Conv2d(inputs // 4, inside, 1),
                nn.Sigmoid(),
            )
            if gate
            else None
        )
        self.c = nn.Sequential(nn.Conv2d(inside, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
        same = inputs == outputs and stride == 1
        self.skip = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        )

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(self.a(x))
        if self.gate is not None:
            y = y * self.gate(y)
        y = self.c(y)
        y += self.skip(x)
        return functional.relu(y, inplace=True)


class ResidualNet(nn.Module):
    def __init__(self, stem: nn.Module, stages: nn.Module, width: int, classes: int = 10):
        super().__init__()
        self.stem = stem
        self.stages = stages
        self.classify = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.adaptive_avg_pool2d(self.stages(self.stem(x)), 1)
        return self.classify(torch.flatten(x, 1))


def _stages(width: int, plan: list[tuple[int, int]], **kinds: object) -> tuple[nn.Sequential, int]:
    blocks = []
    for number, (depth, outputs) in enumerate(plan):
        for place in range(depth):
            stride = 2 if place == 0 and number > 0 else 1
            inside = outputs // 4 if not kinds else outputs
            blocks.append(Bottleneck(width, outputs, stride, inside, **kinds))
            width = outputs
    return nn.Sequential(*blocks), width


def resnet50(scale: int = 4, side: int = 64) -> Example:
    """ResNet-50's 3, 4, 6 and 3 bottlenecks, narrower by `scale`."""
    width = 64 // scale
    stem = nn.Sequential(_conv(3, width, 7, 2), nn.MaxPool2d(3, 2, 1))
    stages, last = _stages(width, [(3, 4 * width), (4, 8 * width), (6, 16 * width), (3, 32 * width)])
    return ResidualNet(stem, stages, last).eval(), (torch.randn(1, 3, side, side),)


def regnet() -> Example:
    """RegNetY-like: grouped bottlenecks without narrowing, with a gate."""
    stages, last = _stages(16, [(1, 24), (2, 48), (4, 96), (2, 192)], group=8, gate=True)
    return ResidualNet(_conv(3, 16, 3, 2), stages, last).eval(), (torch.randn(1, 3, 64, 64),)


def deep(layers: int = 100, width: int = 16, side: int = 32) -> Example:
    """A plain CNN of so many convolutions."""
    convs = [_conv(3 if place == 0 else width, width) for place in range(layers)]
    return ResidualNet(convs[0], nn.Sequential(*convs[1:]), width).eval(), (torch.randn(1, 3, side, side),)


class UNet(nn.Module):
    """Down, down, up, up; what is halved on the way down comes back by its side on the way up."""

    def __init__(self, width: int = 8):
        super().__init__()
        sizes = [3, width, 2 * width, 4 * width]
        self.downs = nn.ModuleList(_conv(a, b) for a, b in pairwise(sizes))
        self.bottom = _conv(4 * width, 8 * width)
        turned = sizes[:0:-1]
        self.widen = nn.ModuleList(nn.ConvTranspose2d(2 * one, one, 2, 2) for one in turned)
        self.ups = nn.ModuleList(_conv(2 * one, one) for one in turned)
        self.last = nn.Conv2d(width, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for down in self.downs:
            x = down(x)
            skips.append(x)
            x = functional.max_pool2d(x, 2)
        x = self.bottom(x)
        for widen, up in zip(self.widen, self.ups, strict=True):
            x = up(torch.cat([skips.pop(), widen(x)], 1))
        return self.last(x)


def unet() -> Example:
    return UNet().eval(), (torch.randn(1, 3, 32, 32),)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None, memory: Tensor | None = None) -> Tensor:
        batch, time, width = x.shape
        if memory is None:
            q, k, v = self.project(x).chunk(3, -1)
        else:
            q = self.project(x)[..., :width]
            _, k, v = self.project(memory).chunk(3, -1)
        q, k, v = (one.view(batch, -1, self.heads, width // self.heads).transpose(1, 2) for one in (q, k, v))
        y = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.mix(y.transpose(1, 2).reshape(batch, time, width))


class Layer(nn.Module):
    def __init__(self, width: int, heads: int, *, crossed: bool = False):
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(3))
        self.attend = Attention(width, heads)
        self.cross = Attention(width, heads) if crossed else None
        self.widen, self.narrow = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None, memory: Tensor | None = None) -> Tensor:
        x = x + self.attend(self.norms[0](x), mask)
        if self.cross is not None:
            x = x + self.cross(self.norms[2](x), None, memory)
        return x + self.narrow(functional.gelu(self.widen(self.norms[1](x))))


class VisionTransformer(nn.Module):
    def __init__(self, width: int = 32, depth: int = 4, patch: int = 8, side: int = 32):
        super().__init__()
        self.patches = nn.Conv2d(3, width, patch, patch)
        self.first = nn.Parameter(torch.randn(1, 1, width))
        self.places = nn.Parameter(torch.randn(1, (side // patch) ** 2 + 1, width))
        self.layers = nn.ModuleList(Layer(width, 4) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.classify = nn.Linear(width, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(x.shape[0], -1, -1), x], 1) + self.places
        for layer in self.layers:
            x = layer(x)
        return self.classify(self.norm(x)[:, 0])


def vit() -> Example:
    return VisionTransformer().eval(), (torch.randn(1, 3, 32, 32),)


class Decoder(nn.Module):
    """A decoder-only language model without a cache: one causal mask, made once, read by every layer."""

    def __init__(self, width: int = 32, depth: int = 4, words: int = 100):
        super().__init__()
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(64, width)
        self.layers = nn.ModuleList(Layer(width, 4) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, ids: Tensor) -> Tensor:
        time = ids.shape[1]
        mask = torch.triu(torch.full((time, time), float("-inf"), device=ids.device), 1)
        x = self.words(ids) + self.places(torch.arange(time, device=ids.device))
        for layer in self.layers:
            x = layer(x, mask)
        return self.norm(x) @ self.words.weight.T  # tied


def decoder() -> Example:
    return Decoder().eval(), (torch.randint(0, 100, (1, 12)),)


class EncoderDecoder(nn.Module):
    """Two inputs, a padding mask, and a memory that every layer of the decoder reads."""

    def __init__(self, width: int = 32, depth: int = 3, words: int = 100):
        super().__init__()
        self.words = nn.Embedding(words, width)
        self.encoder = nn.ModuleList(Layer(width, 4) for _ in range(depth))
        self.decoder = nn.ModuleList(Layer(width, 4, crossed=True) for _ in range(depth))
        self.choose = nn.Linear(width, words)

    def forward(self, source: Tensor, target: Tensor, present: Tensor) -> dict[str, Tensor]:
        mask = (1.0 - present[:, None, None, :].float()) * -1e9
        memory = self.words(source)
        for layer in self.encoder:
            memory = layer(memory, mask)
        time = target.shape[1]
        causal = torch.ones(time, time, dtype=torch.bool).tril()
        x = self.words(target)
        for layer in self.decoder:
            x = layer(x, causal, memory)
        return {"logits": self.choose(x), "memory": memory}


def encoder_decoder() -> Example:
    present = torch.ones(1, 9, dtype=torch.int64)
    present[:, 7:] = 0
    ids = torch.randint(0, 100, (1, 9)), torch.randint(0, 100, (1, 6))
    return EncoderDecoder().eval(), (*ids, present)


class TwoTowers(nn.Module):
    """Two paths that meet at the end, and two answers."""

    def __init__(self) -> None:
        super().__init__()
        self.left = nn.Sequential(_conv(3, 8, 3, 2), _conv(8, 16, 3, 2))
        self.right = nn.Sequential(_conv(3, 4, 5, 4), _conv(4, 16))
        self.boxes, self.classes = nn.Conv2d(32, 4, 1), nn.Conv2d(32, 10, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        both = torch.cat([self.left(x), self.right(x)], 1)
        return self.boxes(both), [self.classes(both)]


def two_towers() -> Example:
    return TwoTowers().eval(), (torch.randn(1, 3, 32, 32),)


ZOO: dict[str, Callable[[], Example]] = {
    "decoder": decoder,
    "deep CNN": lambda: deep(20),
    "detector of two towers": two_towers,
    "encoder-decoder": encoder_decoder,
    "RegNet": regnet,
    "ResNet-50": resnet50,
    "U-Net": unet,
    "ViT": vit,
}
