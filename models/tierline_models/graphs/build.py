"""Make a module that runs any range of a program; it holds the weights that range uses and no others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from tierline_models.errors import SplitError
from tierline_models.graphs.operators import quickest
from tierline_models.graphs.program import Argument, Call, Device, Ref, Structure, Weight, leaves_of, nest


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """A range of a program that stands on its own."""

    inputs: tuple[str, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Argument, ...]
    structure: Structure | None  # None: what travels, one tensor or a tuple

    def weights(self) -> tuple[str, ...]:
        """Names of the weights it uses, in the order of use."""
        used = [name for call in self.calls for name in call.weights()]
        used += [leaf.name for leaf in leaves_of(self.outputs) if isinstance(leaf, Weight)]
        return tuple(dict.fromkeys(used))


def make_range(
    inputs: Sequence[str], calls: Sequence[Call], outputs: Sequence[Argument], structure: Structure | None
) -> Range:
    """A range without the calls whose results nobody in it reads."""
    needed = {leaf.name for leaf in leaves_of(tuple(outputs)) if isinstance(leaf, Ref)}
    kept = []
    for call in reversed(calls):
        if call.name in needed:
            kept.append(call)
            needed.update(call.uses())
    missing = needed - {call.name for call in kept} - set(inputs)
    if missing:
        raise SplitError(f"the graph reads {sorted(missing)[0]!r} before anything has made it")
    return Range(
        inputs=tuple(inputs), calls=tuple(reversed(kept)), outputs=tuple(outputs), structure=structure
    )


class Segment(nn.Module):
    """Contiguous blocks of a split model.

    Takes what the segment before it returned, as one argument or as several, or by name. Compiles, moves and
    saves like any module. Its weights are the very tensors of every other segment of the same split.
    """

    def __init__(self, part: Range, weights: Mapping[str, Tensor], device: torch.device) -> None:
        super().__init__()
        self.inputs = part.inputs
        self._structure = part.structure
        self.body = nn.Module()
        # Modules' own dictionaries: looking a dotted path up costs more than a small operator takes.
        self._held = tuple(_attach(self.body, name, weights[name]) for name in part.weights())
        self.code = _code(part, device)
        self.eval()

    def forward(self, *args: Any, **named: Tensor) -> Any:
        """Run the blocks; returns one or several tensors, and after the last what the model returns."""
        if len(args) == 1 and isinstance(args[0], (tuple, list)):
            args = tuple(args[0])
        if named:
            args = (*args, *(named[name] for name in self.inputs[len(args) :] if name in named))
        if len(args) != len(self.inputs):
            wanted = f"{len(self.inputs)} tensor{'s' * (len(self.inputs) > 1)} ({', '.join(self.inputs)})"
            raise SplitError(f"this segment takes {wanted}, not {len(args)}")
        weights = [held[leaf] for held, leaf in self._held]
        results = self.code.forward(*args, *weights)  # ours, without hooks: spares a call for every block
        if self._structure is not None:
            return nest(self._structure, results)
        return results[0] if len(results) == 1 else results


def _code(part: Range, device: torch.device) -> fx.GraphModule:
    """A function of inputs and weights, in the order of use."""
    graph = fx.Graph()
    nodes: dict[str, fx.Node] = {name: graph.placeholder(name) for name in part.inputs}
    prefix = "weight_"
    while any(name.startswith(prefix) for name in part.inputs):
        prefix += "_"
    held = {name: graph.placeholder(f"{prefix}{place}") for place, name in enumerate(part.weights())}

    def value(argument: Argument) -> Any:
        match argument:
            case Ref(name):
                return nodes[name]
            case Weight(name):
                return held[name]
            case Device():
                return device
            case tuple():
                return [value(inner) for inner in argument]
            case _:
                return argument

    for call in part.calls:
        args = tuple(value(arg) for arg in call.args)
        kwargs = {key: value(arg) for key, arg in call.kwargs.items()}
        function = quickest(call.op, call.kwargs)
        nodes[call.name] = graph.create_node("call_function", function, args, kwargs, call.name)
    graph.output(tuple(value(output) for output in part.outputs))
    return fx.GraphModule(nn.Module(), graph, "Segment")


def _attach(root: nn.Module, name: str, tensor: Tensor) -> tuple[Mapping[str, Tensor | None], str]:
    """Hang a weight where its dotted name says, making the modules on the way; where it then is."""
    *path, leaf = name.split(".")
    for part in path:
        if not hasattr(root, part):
            root.add_module(part, nn.Module())
        root = root.get_submodule(part)
    if isinstance(tensor, nn.Parameter):
        root.register_parameter(leaf, tensor)
        return root._parameters, leaf
    root.register_buffer(leaf, tensor)
    return root._buffers, leaf
