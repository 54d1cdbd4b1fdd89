"""Blocks of a split model written as ONNX into one folder, for tests."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from tierline_models.graphs.build import Range
from tierline_models.graphs.measure import shapes_of
from tierline_models.graphs.program import Program
from tierline_models.onnx.block import OnnxBlock
from tierline_models.onnx.check import Stored, check_model
from tierline_models.onnx.write import to_onnx


class Written:
    """The weights of a program in a file, and any range of it as ONNX beside that."""

    def __init__(self, folder: Path, program: Program, weights: dict[str, Tensor], inputs: Sequence[Tensor]):
        self.folder = folder
        plain = {name: one.detach().clone().contiguous() for name, one in weights.items()}
        save_file(plain, folder / "w.st")
        raw = (folder / "w.st").read_bytes()
        begin = 8 + int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8:begin])
        self.stored = {
            name: Stored(
                file="w.st",
                offset=begin + header[name]["data_offsets"][0],
                shape=tuple(one.shape),
                dtype=str(one.dtype).removeprefix("torch."),
                bytes=one.nbytes,
            )
            for name, one in weights.items()
        }
        self.arrays = {name: one.numpy() for name, one in plain.items()}
        meta = {name: one.detach().to("meta") for name, one in weights.items()}
        self.facts = shapes_of(program, meta, [one.to("meta") for one in inputs])

    def model(self, part: Range) -> bytes:
        return to_onnx(part, self.facts, self.stored, "part")

    def block(self, part: Range) -> OnnxBlock:
        model = self.model(part)
        used = check_model(model, self.stored.get, "part.onnx")
        return OnnxBlock(model, {name: self.arrays[name] for name in used}, "part.onnx")


def relative(ours: Sequence[Any], theirs: Sequence[Tensor]) -> float:
    """The largest difference of each pair by the largest value of the second, the worst of all pairs."""
    worst = 0.0
    for one, other in zip(ours, theirs, strict=True):
        expected = other.detach().numpy()
        assert one.shape == expected.shape
        assert one.dtype == expected.dtype
        finite = np.isfinite(expected)
        assert np.array_equal(finite, np.isfinite(one))
        if finite.any():
            scale = max(float(np.abs(expected[finite]).max()), 1e-9)
            difference = np.abs(one[finite].astype(np.float64) - expected[finite]).max()
            worst = max(worst, float(difference) / scale)
    return worst


def as_tuple(given: Any) -> tuple[Tensor, ...]:
    return tuple(torch.utils._pytree.tree_leaves(given))
