"""A model as a node runs it, whatever computes its blocks: what travels, what is checked; knows no torch."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import ml_dtypes
import numpy as np

from tierline_models.arrays import Array
from tierline_models.errors import ActivationError, BundleError, ShapeError

Sizes = tuple[int | range, ...]
"""What an activation may measure, dimension by dimension: one size, or a range of sizes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Travelling:
    """One of the tensors that travel after a block."""

    sizes: Sizes
    dtype: str = "float32"
    name: str = ""  # in the frame; one that travels alone needs none


def alone(sizes: Sizes) -> tuple[Travelling, ...]:
    """What travels where it is one tensor of float32."""
    return (Travelling(sizes=sizes),)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitAnswer:
    """What the exit after block `layer` says of one sample."""

    layer: int
    logits: tuple[float, ...]
    label: str
    confidence: float  # calibrated probability of `label`


class ServedModel(ABC):
    """Blocks 1..n of one model and the exits after some of them; keeps no state of a sample.

    What passes between blocks is what computes them takes: torch's tensors, or arrays; one, or a tuple.
    """

    blocks: Any  # a sequence of them
    exits: Mapping[int, Any]  # by layer
    labels: tuple[str, ...]
    scale_rows: Callable[[Any, Any, Any], None] | None = None
    """Writes codes (R, N) times scales (R,) into float32 values (R, N), where its library beats numpy's."""
    _travelling: tuple[tuple[Travelling, ...], ...]
    _preprocess: Callable[[bytes], Any]

    @abstractmethod
    def run(self, x: Any, first: int, last: int) -> Any:
        """Bring a sample from layer `first` to layer `last`: blocks first+1..last."""

    @abstractmethod
    def exit(self, layer: int, x: Any) -> ExitAnswer:
        """Answer at the exit after block `layer`; raises ActivationError if the values are no numbers."""

    @abstractmethod
    def to_arrays(self, carried: Any) -> tuple[Array, ...]:
        """What travels, as arrays."""

    @abstractmethod
    def from_arrays(self, arrays: Sequence[Array]) -> Any:
        """What arrived, as the next block takes it."""

    def preprocess(self, data: bytes) -> Any:
        """Raw input to what block 1 takes; raises InputError."""
        return self._preprocess(data)

    def travelling(self, layer: int) -> tuple[Travelling, ...]:
        """The tensors that travel after block `layer`; raises ShapeError where there is no such block."""
        if not 1 <= layer <= len(self.blocks):
            raise ShapeError(layer, f"activations after blocks 1 to {len(self.blocks)}", "of no block here")
        return self._travelling[layer - 1]

    def activation_bytes(self, layer: int) -> int:
        """Bytes of the largest activation after block `layer`; raises ShapeError where there is none."""
        return sum(
            prod(map(_largest, part.sizes)) * item_bytes(part.dtype) for part in self.travelling(layer)
        )

    def check_activation(self, layer: int, shape: Sequence[int], dtype: str, name: str = "") -> None:
        """Refuse a tensor that the block after `layer` cannot take, before anything runs on it.

        Args:
            layer: blocks computed by the sender.
            shape: of the array as received.
            dtype: its type as numpy or torch names it, `float32`.
            name: which of those that travel there.
        """
        parts = {part.name: part for part in self.travelling(layer)}
        if name not in parts:
            raise ShapeError(
                layer, f"tensors called {', '.join(parts) or 'nothing'}", f"one called {name!r:.40}"
            )
        part = parts[name]
        fits = len(shape) == len(part.sizes) and all(map(_fits, shape, part.sizes))
        if not fits or dtype.removeprefix("torch.") != part.dtype:
            actual = f"{dtype} of shape ({', '.join(map(str, shape))})"
            raise ShapeError(layer, f"{part.dtype} of shape ({', '.join(map(_named, part.sizes))})", actual)

    def _check_range(self, first: int, last: int) -> None:
        if not 0 <= first <= last <= len(self.blocks):
            raise BundleError(f"this node holds blocks 1 to {len(self.blocks)}, not {first + 1} to {last}")


def damaged(layer: int) -> ActivationError:
    """For an exit that gives what are no numbers."""
    return ActivationError(
        f"the exit after block {layer} gives values that are not finite; "
        "the activation it was fed is damaged: send the sample again"
    )


def item_bytes(dtype: str) -> int:
    """Bytes of one number of a type."""
    return np.dtype(ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype).itemsize


def _largest(size: int | range) -> int:
    return size.stop - 1 if isinstance(size, range) else size


def _fits(size: int, allowed: int | range) -> bool:
    return size in allowed if isinstance(allowed, range) else size == allowed


def _named(allowed: int | range) -> str:
    return f"{allowed.start} to {allowed.stop - 1}" if isinstance(allowed, range) else str(allowed)
