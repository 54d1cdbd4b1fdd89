"""Low-rank adapters: two thin matrices beside each linear layer, trained in its stead, merged when loaded."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

RANK = 8
SCALE = 2.0  # alpha / rank, as usual


class LoraLinear(nn.Module):
    """A frozen linear layer and its trainable low-rank update; starts out equal to the layer alone."""

    def __init__(self, frozen: nn.Linear) -> None:
        super().__init__()
        self.frozen = frozen.requires_grad_(False)
        self.down = nn.Parameter(torch.empty(RANK, frozen.in_features))
        self.up = nn.Parameter(torch.zeros(frozen.out_features, RANK))
        nn.init.kaiming_uniform_(self.down, a=5**0.5)

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) to (..., out)."""
        y: Tensor = self.frozen(x)
        return y + SCALE * (x @ self.down.T) @ self.up.T


def adapt(blocks: Iterable[nn.Module]) -> None:
    """Put an adapter beside every linear layer of the blocks, and freeze everything else in them."""
    for block in blocks:
        block.requires_grad_(False)
        for name, layer in list(block.named_children()):
            if isinstance(layer, nn.Linear):
                setattr(block, name, LoraLinear(layer))


def adapter_state(blocks: Iterable[nn.Module]) -> dict[str, Tensor]:
    """The adapters' matrices, named `<block>.<layer>.down` and `.up`; blocks count from 1."""
    return {
        f"{number}.{name}.{side}": getattr(layer, side).detach()
        for number, block in enumerate(blocks, 1)
        for name, layer in block.named_children()
        if isinstance(layer, LoraLinear)
        for side in ("down", "up")
    }


def merge(blocks: Iterable[nn.Module], state: Mapping[str, Tensor]) -> None:
    """Add the adapters to the weights of plain blocks; inference then costs what it did without them.

    Raises KeyError where the state lacks a layer and RuntimeError where a matrix is of another shape.
    """
    with torch.no_grad():
        for number, block in enumerate(blocks, 1):
            for name, layer in block.named_children():
                if isinstance(layer, nn.Linear):
                    update = state[f"{number}.{name}.up"].float() @ state[f"{number}.{name}.down"].float()
                    layer.weight = nn.Parameter(layer.weight + SCALE * update, requires_grad=False)
