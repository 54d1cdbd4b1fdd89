"""What a model's inputs may measure where it is served, at the smallest and at the largest."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from tierline_models.arrays import Array, as_tensors
from tierline_models.errors import BundleError, InputError
from tierline_models.graphs.points import TensorSpec
from tierline_models.pieces import TextInput
from tierline_models.pixels import ImageInput
from tierline_models.preprocessing import Preprocessing
from tierline_models.served import item_bytes

if TYPE_CHECKING:
    from torch import Tensor

_HEADER_BYTES = 100_000  # of a file of tensors; a few names need far less

Specs = tuple[TensorSpec, ...]


def extremes(chosen: Preprocessing | None, inputs: Sequence[TensorSpec]) -> tuple[Specs, Specs]:
    """The inputs at their smallest and at their largest, each a batch of one.

    Without preprocessing the example is the largest, and what varies is 1 at the smallest.

    Raises:
        BundleError: the preprocessing makes what the model does not take, or a batch of one is none.
    """
    for one in inputs:
        if not one.shape or (one.shape[0] != 1 and 0 not in one.varies):
            raise BundleError(f"the model's input {one.name} of {one.shape} can be no batch of one sample")
    made: list[tuple[str, tuple[int, ...], tuple[int, ...]]]
    match chosen:
        case TextInput():
            made = [("int64", (1, chosen.shortest), (1, chosen.longest))] * len(chosen.gives)
        case ImageInput():
            shape = (1, len(chosen.mean), chosen.height, chosen.width)
            made = [("float32", shape, shape)]
        case None:
            made = [(one.dtype, _smallest(one), (1, *one.shape[1:])) for one in inputs]
    if len(made) != len(inputs):
        names = ", ".join(one.name for one in inputs)
        raise BundleError(f"preprocessing makes {len(made)} tensors, the model takes {len(inputs)}: {names}")
    for one, (dtype, low, high) in zip(inputs, made, strict=True):
        if dtype != one.dtype or not (_takes(one, low) and _takes(one, high)):
            raise BundleError(f"preprocessing makes {dtype} of {high}, but {_told(one)}")
    pairs = zip(inputs, made, strict=True)
    sized = [(_sized(one, low), _sized(one, high)) for one, (_, low, high) in pairs]
    return tuple(low for low, _ in sized), tuple(high for _, high in sized)


def tensors_reader(low: Specs, high: Specs) -> "Callable[[bytes], tuple[Tensor, ...]]":
    """Read a raw input that is the tensors themselves: a safetensors file, checked in full."""
    read = arrays_reader(low, high)
    return lambda data: as_tensors(read(data))


def arrays_reader(low: Specs, high: Specs) -> Callable[[bytes], tuple[Array, ...]]:
    """The same, to arrays."""
    limit = _HEADER_BYTES + sum(one.bytes for one in high)

    def read(data: bytes) -> tuple[Array, ...]:
        if len(data) > limit:
            raise InputError(f"the input has {len(data)} bytes, this model takes {limit} at most")
        try:
            given = load(data)
        except (SafetensorError, ValueError, KeyError) as error:
            raise InputError(
                f"the input is no safetensors file ({error}); send tensors in that form"
            ) from error
        if given.keys() != {one.name for one in high}:
            wanted, got = ", ".join(one.name for one in high), ", ".join(sorted(given)) or "nothing"
            raise InputError(f"the input holds {got:.200}; this model takes {wanted}")
        for least, most in zip(low, high, strict=True):
            _check(given[most.name], least, most)
        return tuple(np.array(given[one.name]) for one in high)  # a copy, which may be written to

    return read


def _check(array: Array, low: TensorSpec, high: TensorSpec) -> None:
    shape, dtype = array.shape, str(array.dtype)
    within = len(shape) == len(high.shape) and all(
        a <= size <= b for a, size, b in zip(low.shape, shape, high.shape, strict=True)
    )
    if dtype != high.dtype or not within:
        span = str(high.shape) if low.shape == high.shape else f"{low.shape} to {high.shape}"
        raise InputError(f"{high.name} is {dtype} of {shape}; this model takes {high.dtype} of {span}")


def _smallest(spec: TensorSpec) -> tuple[int, ...]:
    return (1, *(1 if dim in spec.varies else size for dim, size in enumerate(spec.shape[1:], 1)))


def _takes(spec: TensorSpec, shape: tuple[int, ...]) -> bool:
    return len(shape) == len(spec.shape) and all(
        dim in spec.varies or size == wanted
        for dim, (size, wanted) in enumerate(zip(shape, spec.shape, strict=True))
    )


def _sized(spec: TensorSpec, shape: tuple[int, ...]) -> TensorSpec:
    return replace(spec, shape=shape, bytes=prod(shape) * item_bytes(spec.dtype))


def _told(spec: TensorSpec) -> str:
    """What an input takes, as people read it."""
    sizes = ("any" if dim in spec.varies else str(size) for dim, size in enumerate(spec.shape))
    return f"the model's input {spec.name} takes {spec.dtype} of ({', '.join(sizes)})"
