"""Which sizes of a model's inputs may vary, and examples by which a tracer sees that they do."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

Examples = Sequence[Tensor] | Mapping[str, Tensor]
Dynamic = Mapping[str, Sequence[int]] | None


def vary(examples: Examples, dynamic: Dynamic) -> tuple[Examples, Any]:
    """Examples whose varying dimensions are at least 2, since a tracer takes a 1 for fixed; and the spec."""
    if isinstance(examples, Mapping):
        named = {name: _vary(one, _chosen(name, one, dynamic)) for name, one in examples.items()}
        return {name: one for name, (one, _) in named.items()}, {
            name: spec for name, (_, spec) in named.items()
        }
    listed = [_vary(one, _chosen(str(place), one, dynamic)) for place, one in enumerate(examples)]
    return [one for one, _ in listed], tuple(spec for _, spec in listed)


def _chosen(name: str, example: Tensor, dynamic: Dynamic) -> Sequence[int]:
    if dynamic is not None:
        return dynamic.get(name, ())
    tokens = example.ndim == 2 and not example.is_floating_point()
    return range(min(example.ndim, 2 if tokens else 1))


def _vary(example: Tensor, dims: Sequence[int]) -> tuple[Tensor, Any]:
    for dim in dims:
        if example.shape[dim] == 1:
            example = torch.cat([example, example], dim)
    return example, dict.fromkeys(dims, Dim.AUTO) or None


def still_vary(exported: ExportedProgram, doubled: Examples, examples: Examples) -> bool:
    """Did no dimension that was doubled become fixed at the doubled size?"""
    names = exported.graph_signature.user_inputs
    values = {node.name: node.meta["val"] for node in exported.graph.nodes if node.op == "placeholder"}
    for name, ours, theirs in zip(names, listed(doubled), listed(examples), strict=True):
        for size, was, is_ in zip(values[name].shape, ours.shape, theirs.shape, strict=True):
            if was != is_ and isinstance(settled(size), int):
                return False
    return True


def as_taken(model: nn.Module, spec: Any) -> Any:
    """The spec with those of `*args` in a tuple of their own, as the tracer wants them."""
    kinds = [one.kind for one in inspect.signature(model.forward).parameters.values()]
    if spec is None or inspect.Parameter.VAR_POSITIONAL not in kinds:
        return spec
    place = kinds.index(inspect.Parameter.VAR_POSITIONAL)
    return (*spec[:place], spec[place:])


def settled(size: Any) -> Any:
    """A size as a plain number where the tracer has settled on one, else as its symbol."""
    if not isinstance(size, torch.SymInt):
        return size
    expression = size.node.expr
    return int(expression) if expression.is_number else expression


def listed(examples: Examples) -> list[Tensor]:
    """The tensors, in order."""
    return list(examples.values()) if isinstance(examples, Mapping) else list(examples)
