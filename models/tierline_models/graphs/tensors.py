"""A bundle's weights as torch holds them."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from tierline_models.graphs.files import Files, Memory, WeightSpec


class TensorFiles(Files):
    """The files of one bundle, tensors read as torch's."""

    def tensors(self, name: str, wanted: Mapping[str, WeightSpec] | None) -> dict[str, Tensor]:
        """Tensors of one file; all of them if it is not said which are wanted."""
        return self.read(name, wanted, _MEMORY)


def as_weight(tensor: Tensor) -> Tensor:
    """As a module holds it."""
    return nn.Parameter(tensor, requires_grad=False) if tensor.is_floating_point() else tensor


def _empty(shape: tuple[int, ...], dtype: str) -> tuple[Tensor, memoryview]:
    tensor = torch.empty(shape, dtype=getattr(torch, dtype))
    return tensor, tensor.reshape(-1).view(torch.uint8).numpy().data


def _has_nan(tensor: Tensor) -> bool:
    """A NaN is the largest of all wherever it is."""
    return tensor.is_floating_point() and tensor.numel() > 0 and bool(tensor.amax().isnan())


_MEMORY = Memory(empty=_empty, has_nan=_has_nan)
