"""A model whose blocks onnxruntime computes: what a node runs where there is no torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tierline_models.arrays import Array
from tierline_models.errors import BundleError
from tierline_models.onnx.about import About
from tierline_models.onnx.block import OnnxBlock
from tierline_models.served import ExitAnswer, ServedModel, damaged

Arrays = tuple[Array, ...]


class OnnxModel(ServedModel):
    """Blocks 1..n of a bundle and the exits after some of them; what passes between are tuples of arrays."""

    def __init__(
        self, *, blocks: Sequence[OnnxBlock], exits: Mapping[int, OnnxBlock], about: About, prepare: Any
    ) -> None:
        """Put a model together.

        Args:
            blocks: all, or the first few.
            exits: by layer, the model's own output not among them.
            about: what was worked out with torch.
            prepare: raw input to the arrays that block 1 takes; raises InputError.
        """
        self.blocks = tuple(blocks)
        self.exits: dict[int, OnnxBlock | None] = dict(sorted(exits.items()))
        if len(blocks) == about.card.blocks:
            self.exits[len(blocks)] = None  # what the last block returns is the answer
        self.labels = about.labels
        self._about = about
        self._travelling = (*about.travelling, ())[: len(blocks)]
        self._preprocess = prepare

    def run(self, x: Arrays, first: int, last: int) -> Arrays:
        """Bring a sample from layer `first` to layer `last`: blocks first+1..last."""
        self._check_range(first, last)
        for block in self.blocks[first:last]:
            x = block(*x)
        return x

    def logits(self, layer: int, x: Arrays) -> Array:
        """The logits (1, classes) of the exit after block `layer`, uncalibrated."""
        if layer not in self.exits:
            raise BundleError(f"this model has no exit after block {layer}; it has {list(self.exits)}")
        leave = self.exits[layer]
        return x[self._about.output] if leave is None else leave(*x)[0]

    def exit(self, layer: int, x: Arrays) -> ExitAnswer:
        """Answer at the exit after block `layer`; raises ActivationError if the values are no numbers."""
        logits = self.logits(layer, x)[0]
        if not np.isfinite(logits).all():
            raise damaged(layer)
        scaled = logits.astype(np.float64) / self._about.temperatures[layer]
        chances = np.exp(scaled - scaled.max())
        best = int(logits.argmax())
        return ExitAnswer(
            layer=layer,
            logits=tuple(map(float, logits)),
            label=self.labels[best],
            confidence=min(1.0, float(chances[best] / chances.sum())),
        )

    def to_arrays(self, carried: Arrays) -> Arrays:
        """What travels, which is arrays already."""
        return carried

    def from_arrays(self, arrays: Sequence[Array]) -> Arrays:
        """What arrived, as a tuple."""
        return tuple(arrays)
