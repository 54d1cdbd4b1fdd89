"""How far onnxruntime is from torch with a bundle's blocks and exits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from tierline_models.arrays import Array
from tierline_models.errors import BundleError
from tierline_models.graphs.load import load
from tierline_models.onnx.blocks import OnnxBlocks


def onnx_differences(folder: str | Path) -> list[float]:
    """Run a bundle's example with onnxruntime and with torch, block after block.

    Returns:
        After each block the largest difference of what both made so far, as a share of the largest value
        there; at a block with an exit that of its logits, where they are further apart.

    Raises:
        BundleError: the bundle has no ONNX, or is damaged.
    """
    cut, blocks = load(folder), OnnxBlocks(Path(folder))
    torches: Any = cut.example[0]
    arrays = tuple(one.numpy() for one in torches)
    exits = {one.layer for one in cut.exits}
    found = []
    with torch.no_grad():
        for layer in range(1, cut.layers + 1):
            torches = cut.segment(layer - 1, layer)(torches)
            arrays = blocks.block(layer)(*arrays)
            apart = _apart(arrays, torches)
            if layer in exits:
                apart = max(apart, _apart(blocks.exit(layer)(*arrays), cut.exit(layer - 1)(torches)))
            found.append(apart)
    return found


def _apart(ours: Sequence[Array], theirs: Any) -> float:
    leaves = [one for one in tree_leaves(theirs) if isinstance(one, Tensor)]
    return max(_one_apart(one, other.numpy()) for one, other in zip(ours, leaves, strict=True))


def _one_apart(one: Array, other: Array) -> float:
    if one.shape != other.shape or one.dtype != other.dtype:
        raise BundleError(f"ONNX makes {one.dtype} of {one.shape}, torch {other.dtype} of {other.shape}")
    difference = np.abs(one.astype(np.float64) - other.astype(np.float64)).max(initial=0.0)
    largest = np.abs(other.astype(np.float64)).max(initial=0.0)
    return float(difference / largest) if largest else float(difference)
