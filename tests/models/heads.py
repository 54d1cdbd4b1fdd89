"""Exit heads for whatever travels at a split point."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from tierline_models import ImageHead, PooledHead, Split, SplitPoint, TokenHead


class Everything(nn.Module):
    """The mean of each tensor that travels, whatever it is, and one linear layer."""

    def __init__(self, tensors: int, labels: int) -> None:
        super().__init__()
        self.classify = nn.Linear(tensors, labels)

    def forward(self, *carried: Tensor) -> Tensor:
        return self.classify(torch.stack([one.float().flatten(1).mean(1) for one in carried], 1))


def head_for(point: SplitPoint, labels: int = 3) -> nn.Module:
    """The ready-made head for what travels there."""
    shape = point.tensors[0].shape
    if len(point.tensors) > 1:
        return Everything(len(point.tensors), labels)
    kinds: dict[int, Callable[[], nn.Module]] = {
        2: lambda: PooledHead(shape[1], labels),
        3: lambda: TokenHead(shape[2], labels),
        4: lambda: ImageHead(shape[1], labels),
    }
    return kinds[len(shape)]()


def with_an_exit(cut: Split) -> Split:
    """The same split with an exit at its first point."""
    cut.add_exit(0, head_for(cut.points[0]), temperature=1.5)
    return cut
