"""Run a program once on its example and note what each call makes and costs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from tierline_models.errors import BundleError
from tierline_models.graphs.operators import find
from tierline_models.graphs.program import Argument, Device, Program, Ref, Weight

_LARGEST = 16 * 2**30  # bytes of one activation; a graph that asks for more is no model


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What one call made of the example."""

    shape: tuple[int, ...] | None  # None: a number, or several tensors
    dtype: str
    bytes: int
    contiguous: bool
    flops: int


def last_uses(program: Program) -> dict[str, int]:
    """By value, the place of the last call that reads it; the outputs are read after all."""
    places = {}
    for place, call in enumerate(program.calls):
        places.update(dict.fromkeys(call.uses(), place))
    places.update({leaf.name: len(program.calls) for leaf in program.outputs if isinstance(leaf, Ref)})
    return places


def measure(
    program: Program, weights: Mapping[str, Tensor], inputs: Sequence[Tensor]
) -> tuple[dict[str, Made], tuple[Any, ...]]:
    """Sizes, types, floating-point operations (a multiplication and an addition are two); the outputs."""
    values: dict[str, Any] = dict(zip(program.inputs, inputs, strict=True))
    made = {name: _made(value, 0) for name, value in values.items()}
    last = last_uses(program)
    counter = FlopCounterMode(display=False)
    device = inputs[0].device if inputs else torch.device("cpu")
    with torch.no_grad(), counter:
        before = 0
        for place, call in enumerate(program.calls):
            args = [_resolve(arg, values, weights, device) for arg in call.args]
            kwargs = {key: _resolve(arg, values, weights, device) for key, arg in call.kwargs.items()}
            value = values[call.name] = find(call.op)(*args, **kwargs)
            total = counter.get_total_flops()
            made[call.name] = _made(value, total - before)
            before = total
            for name in set(call.uses()) | {call.name}:
                if last.get(name, -1) <= place:
                    del values[name]
        outputs = tuple(_resolve(one, values, weights, device) for one in program.outputs)
    return made, outputs


def shapes_of(
    program: Program, weights: Mapping[str, Tensor], inputs: Sequence[Tensor]
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type by value, without computing: weights and inputs are on torch's `meta` device."""
    values: dict[str, Any] = dict(zip(program.inputs, inputs, strict=True))
    meta = torch.device("meta")
    for call in program.calls:
        args = [_resolve(arg, values, weights, meta) for arg in call.args]
        kwargs = {key: _resolve(arg, values, weights, meta) for key, arg in call.kwargs.items()}
        try:
            value = values[call.name] = find(call.op)(*args, **kwargs)
        except Exception as error:
            first = str(error).strip().partition("\n")[0][:160]
            raise BundleError(f"the graph's {call.name} ({call.op}) cannot be: {first}") from error
        if isinstance(value, Tensor) and (value.device != meta or _bytes(value) > _LARGEST):
            raise BundleError(f"the graph's {call.name} ({call.op}) would take {_bytes(value)} bytes")
    return {
        name: (tuple(value.shape), str(value.dtype).removeprefix("torch."))
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()


def _resolve(
    argument: Argument, values: Mapping[str, Any], weights: Mapping[str, Tensor], device: torch.device
) -> Any:
    match argument:
        case Ref(name):
            return values[name]
        case Weight(name):
            return weights[name]
        case Device():
            return device
        case tuple():
            return [_resolve(inner, values, weights, device) for inner in argument]
        case _:
            return argument


def _made(value: Any, flops: int) -> Made:
    if isinstance(value, Tensor):
        return Made(
            shape=tuple(value.shape),
            dtype=str(value.dtype).removeprefix("torch."),
            bytes=value.numel() * value.element_size(),
            contiguous=value.is_contiguous(),
            flops=flops,
        )
    return Made(shape=None, dtype="", bytes=0, contiguous=True, flops=flops)
