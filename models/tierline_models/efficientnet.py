"""EfficientNet-Lite0 (ImageNet, 224 x 224) as sixteen blocks and a head, after Tan and Le, arXiv:1905.11946.

Lite means ReLU6 instead of swish and no squeeze-and-excite.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tierline_models.errors import BundleError

SIDE = 224  # pixels of the square input
CLASSES = 1000
STEM_CHANNELS = 32
HEAD_CHANNELS = 1280
NORM_EPSILON = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What one block does to an activation (1, in_channels, in_side, in_side)."""

    in_channels: int
    out_channels: int
    expansion: int  # channels inside the block per channel going in
    kernel: int
    stride: int
    in_side: int

    @property
    def out_side(self) -> int:
        """Height and width of what leaves."""
        return self.in_side // self.stride


# repeats, kernel, stride of the first, expansion, channels
_STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)


def _shapes() -> Iterator[Shape]:
    channels, side = STEM_CHANNELS, SIDE // 2
    for repeats, kernel, first_stride, expansion, out_channels in _STAGES:
        for repeat in range(repeats):
            shape = Shape(
                in_channels=channels,
                out_channels=out_channels,
                expansion=expansion,
                kernel=kernel,
                stride=first_stride if repeat == 0 else 1,
                in_side=side,
            )
            yield shape
            channels, side = out_channels, shape.out_side


SHAPES = tuple(_shapes())


class ConvNorm(nn.Module):
    """A convolution padded as TensorFlow's SAME, its batch norm and, unless linear, ReLU6."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 1,
        *,
        stride: int = 1,
        groups: int = 1,
        linear: bool = False,
    ) -> None:
        super().__init__()
        total = kernel - stride  # what SAME pads an even side by; an odd pixel goes right and below
        before, after = total // 2, total - total // 2
        self.padding = (before, after, before, after) if before != after else None
        inside = 0 if self.padding else before
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, inside, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=NORM_EPSILON)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        """(1, inputs, H, W) to (1, outputs, H/stride, W/stride)."""
        if self.padding:
            x = functional.pad(x, self.padding)
        x = self.norm(self.conv(x))
        return x if self.linear else functional.relu6(x, inplace=True)


class MBConv(nn.Module):
    """Widen, convolve each channel on its own, project back; added to the input where the shape stays."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        inside = shape.in_channels * shape.expansion
        self.expand = ConvNorm(shape.in_channels, inside) if shape.expansion > 1 else None
        self.depthwise = ConvNorm(inside, inside, shape.kernel, stride=shape.stride, groups=inside)
        self.project = ConvNorm(inside, shape.out_channels, linear=True)
        self.residual = shape.stride == 1 and shape.in_channels == shape.out_channels

    def forward(self, x: Tensor) -> Tensor:
        """(1, in_channels, in_side, in_side) to (1, out_channels, out_side, out_side)."""
        inside = self.expand(x) if self.expand else x
        out: Tensor = self.project(self.depthwise(inside))
        return out + x if self.residual else out


class Head(nn.Module):
    """The exit: a last convolution, the mean over all pixels, one linear layer to logits (1, classes)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = ConvNorm(channels, HEAD_CHANNELS)
        self.classifier = nn.Linear(HEAD_CHANNELS, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """(1, 320, 7, 7) to (1, 1000)."""
        pooled = functional.adaptive_avg_pool2d(self.conv(x), 1).flatten(1)  # (1, 1280)
        logits: Tensor = self.classifier(pooled)
        return logits


class EfficientNetLite0(nn.Module):
    """The whole network."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNorm(3, STEM_CHANNELS, 3, stride=2)
        self.mbconvs = nn.ModuleList(map(MBConv, SHAPES))
        self.head = Head(SHAPES[-1].out_channels)

    def blocks(self) -> list[nn.Module]:
        """Blocks 1 to 16; the first holds the stem."""
        first, *rest = self.mbconvs
        return [nn.Sequential(self.stem, first), *rest]


def from_checkpoint(weights: Mapping[str, Tensor]) -> EfficientNetLite0:
    """Build the network from the published state dict, every entry of which must fit; raises BundleError."""
    with torch.device("meta"):  # neither memory nor random numbers for weights that are replaced at once
        model = EfficientNetLite0()
    ours = {_published_name(name): name for name in model.state_dict()}
    try:
        model.load_state_dict({ours.get(name, name): weight for name, weight in weights.items()}, assign=True)
    except RuntimeError as error:
        raise BundleError(
            "these are not the weights of EfficientNet-Lite0 as published; remove them from the cache "
            "(TIERLINE_CACHE) to have them fetched again"
        ) from error
    return model.eval().requires_grad_(False)


_PUBLISHED = {
    "stem.conv": "_conv_stem",
    "stem.norm": "_bn0",
    "expand.conv": "_expand_conv",
    "expand.norm": "_bn0",
    "depthwise.conv": "_depthwise_conv",
    "depthwise.norm": "_bn1",
    "project.conv": "_project_conv",
    "project.norm": "_bn2",
    "head.conv.conv": "_conv_head",
    "head.conv.norm": "_bn1",
    "head.classifier": "_fc",
}


def _published_name(name: str) -> str:
    """What the published state dict calls this entry of ours: `mbconvs.1.expand.conv.weight` and so on."""
    module, _, leaf = name.rpartition(".")
    if not module.startswith("mbconvs."):
        return f"{_PUBLISHED[module]}.{leaf}"
    _, number, part = module.split(".", 2)
    return f"_blocks.{number}.{_PUBLISHED[part]}.{leaf}"
