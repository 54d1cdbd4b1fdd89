"""A model as numbered blocks with early exits: any contiguous range runs on its own.

Layer k means "k blocks computed". Block 1 includes the embedding or stem, so layer 0 is the raw input after
`preprocess`, and an activation that crosses the network belongs to a layer from 1 on. Knows nothing of wires.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ml_dtypes
import torch
from torch import Tensor, nn

from tierline_models.arrays import Array
from tierline_models.errors import BundleError
from tierline_models.served import ExitAnswer, ServedModel, Travelling, damaged

Carried = Tensor | tuple[Tensor, ...]
"""What passes between blocks: one tensor, or several that travel together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """An early exit: activation (1, ...) to logits (1, classes), and the temperature that calibrates them."""

    head: nn.Module
    temperature: float = 1.0


class SegmentedModel(ServedModel):
    """Blocks 1..n of one model and the exits after some of them; holds weights, keeps no state of a sample.

    Everything runs without gradients, in eval mode, on a batch of one. What a block needs besides its
    activation (positions, a mask) it makes itself; several tensors travel only where a split model has skips.
    """

    def __init__(
        self,
        *,
        blocks: Sequence[nn.Module],
        exits: Mapping[int, Exit],
        labels: tuple[str, ...],
        travelling: Sequence[Sequence[Travelling]],
        preprocess: Callable[[bytes], Carried],
    ) -> None:
        """Put a model together.

        Args:
            blocks: from what travels to what travels, in order; the first takes what `preprocess` returns.
            exits: by layer.
            labels: the name of each class, in the order of the logits.
            travelling: what the activation after each block measures; one entry per block.
            preprocess: raw input to what block 1 takes; raises InputError for an input that it cannot use.
        """
        self.blocks = nn.ModuleList(blocks).eval()
        self.exits = {layer: exits[layer] for layer in sorted(exits)}
        for leave in self.exits.values():
            leave.head.eval()
        self.labels = labels
        self.scale_rows = scale_rows
        self._travelling = tuple(tuple(parts) for parts in travelling)
        self._preprocess = preprocess

    def load_range(self, max_layer: int) -> "SegmentedModel":
        """The same model holding only blocks 1..max_layer, for a node that has no room for all of it."""
        if not 1 <= max_layer <= len(self.blocks):
            raise BundleError(f"max_layer is {max_layer}; this model has blocks 1 to {len(self.blocks)}")
        return SegmentedModel(
            blocks=list(self.blocks)[:max_layer],
            exits={layer: leave for layer, leave in self.exits.items() if layer <= max_layer},
            labels=self.labels,
            travelling=self._travelling[:max_layer],
            preprocess=self._preprocess,
        )

    def run(self, x: Carried, first: int, last: int) -> Carried:
        """Bring a sample from layer `first` to layer `last`: blocks first+1..last."""
        self._check_range(first, last)
        with torch.inference_mode():
            for block in self.blocks[first:last]:
                x = block(x)
        return x

    def exit_in(self, first: int, last: int) -> int | None:
        """The last exit that running from `first` to `last` passes, if there is one."""
        return max((layer for layer in self.exits if first < layer <= last), default=None)

    def run_with_exit(self, x: Carried, first: int, last: int) -> tuple[Carried, ExitAnswer | None]:
        """`run`, and the answer of the last exit on the way."""
        layer = self.exit_in(first, last)
        if layer is None:
            return self.run(x, first, last), None
        x = self.run(x, first, layer)
        return self.run(x, layer, last), self.exit(layer, x)

    def logits(self, layer: int, x: Carried) -> Tensor:
        """The logits (1, classes) of the exit after block `layer`, uncalibrated."""
        if layer not in self.exits:
            raise BundleError(f"this model has no exit after block {layer}; it has {list(self.exits)}")
        with torch.inference_mode():
            logits: Tensor = self.exits[layer].head(x)
        return logits

    def exit(self, layer: int, x: Carried) -> ExitAnswer:
        """Answer at the exit after block `layer`; raises ActivationError if the values are no numbers."""
        logits = self.logits(layer, x)[0]
        if not torch.isfinite(logits).all():
            raise damaged(layer)
        best = int(logits.argmax())
        calibrated = torch.softmax(logits.double() / self.exits[layer].temperature, dim=0)
        return ExitAnswer(
            layer=layer,
            logits=tuple(logits.tolist()),
            label=self.labels[best],
            confidence=min(1.0, float(calibrated[best])),
        )

    def unsplit(self, x: Carried) -> Tensor:
        """The logits (1, classes) of the whole model in one go."""
        last = len(self.blocks)
        return self.logits(last, self.run(x, 0, last))

    def to_arrays(self, carried: Carried) -> tuple[Array, ...]:
        """What travels, as arrays that share its memory where they can."""
        parts = (carried,) if isinstance(carried, Tensor) else carried
        return tuple(_array_of(one.contiguous()) for one in parts)

    def from_arrays(self, arrays: Sequence[Array]) -> Carried:
        """What arrived, as tensors."""
        tensors = tuple(map(_tensor_of, arrays))
        return tensors[0] if len(tensors) == 1 else tensors


def scale_rows(codes: Array, scales: Array, out: Array) -> None:
    """Write codes (R, N) times float32 scales (R,) into `out` (R, N).

    In two steps: `torch.mul` of both types would make floats of all codes in memory of its own first.
    """
    held = codes if codes.flags.writeable else codes.copy()  # torch has no tensors that are only read
    torch.from_numpy(out).copy_(torch.from_numpy(held)).mul_(torch.from_numpy(scales)[:, None])


def _array_of(tensor: Tensor) -> Array:
    if tensor.dtype is torch.bfloat16:  # which numpy itself lacks
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.numpy()


def _tensor_of(array: Array) -> Tensor:
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view("int16")).view(torch.bfloat16)
    return torch.from_numpy(array)
