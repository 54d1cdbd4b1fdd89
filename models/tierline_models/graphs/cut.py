"""Find where a model can be cut: trace it, search its graph, choose the places worth cutting."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from tierline_models.errors import SplitError
from tierline_models.graphs.capture import Captured, capture
from tierline_models.graphs.chain import chain_of, spec_of
from tierline_models.graphs.frontier import Frontier, frontiers, worthwhile
from tierline_models.graphs.measure import Made, measure
from tierline_models.graphs.points import SplitPoint, TensorSpec
from tierline_models.graphs.recompute import Recomputing
from tierline_models.graphs.refusals import no_points
from tierline_models.graphs.source import Cut, GraphSource, Weights
from tierline_models.graphs.split import Split
from tierline_models.graphs.varying import Dynamic, Examples, listed


def split(
    model: nn.Module,
    example_inputs: Examples | Tensor,
    *,
    blocks: Sequence[str] | None = None,
    dynamic: Dynamic = None,
    max_tensors: int = 8,
    every: bool = False,
) -> Split:
    """Find where a model can be cut.

    Args:
        model: in eval mode. Its weights are used as they are, not copied.
        example_inputs: a tensor, tensors in order, or tensors by name.
        blocks: for a model that torch.export cannot trace: paths of modules that run one after the other.
        dynamic: by input (its name, or its number in order), the dimensions that may vary; else the first of
            each, and the second of a matrix of whole numbers.
        max_tensors: how many tensors may travel together.
        every: keep also points where several tensors travel although it is narrower before or after.
    """
    examples = [example_inputs] if isinstance(example_inputs, Tensor) else example_inputs
    _check(model, examples)
    with torch.no_grad():
        expected = model(**examples) if isinstance(examples, Mapping) else model(*examples)
    if blocks is not None:
        return _split_at(model, examples, expected, blocks)
    captured = capture(model, examples, dynamic)
    inputs = listed(examples)
    made, _ = measure(captured.program, captured.weights, inputs)
    recomputing = Recomputing(captured.program, captured.sizes)
    found = frontiers(captured.program, made, recomputing, max_tensors=max_tensors)
    chosen = worthwhile(found, captured.program, made, every=every)
    if not chosen:
        raise no_points(model, recomputing.explain_lost(captured.program.inputs))
    source, points = _assemble(captured, chosen, made)
    specs = [_spec(name, made[name], captured.sizes) for name in captured.program.inputs]
    kept = _kept([spec.name for spec in specs], inputs, expected)
    return Split(points=points, source=source, inputs=specs, example=lambda: kept, name=type(model).__name__)


def _split_at(model: nn.Module, examples: Examples, expected: Any, blocks: Sequence[str]) -> Split:
    if not blocks:
        raise SplitError("`blocks=` lists no module; give the paths of those that are to be blocks")
    source, points = chain_of(model, examples, blocks)
    inputs = listed(examples)
    specs = [spec_of(f"input_{place}", one) for place, one in enumerate(inputs)]
    kept = _kept([spec.name for spec in specs], inputs, expected)
    return Split(points=points, source=source, inputs=specs, example=lambda: kept, name=type(model).__name__)


def _kept(names: Sequence[str], inputs: Sequence[Tensor], expected: Any) -> dict[str, Tensor]:
    returned = [one for one in tree_leaves(expected) if isinstance(one, Tensor)]
    kept = {f"in_{name}": one for name, one in zip(names, inputs, strict=True)}
    return kept | {f"out_{place:03}": one for place, one in enumerate(returned)}


def _check(model: nn.Module, examples: Examples) -> None:
    if model.training:
        raise SplitError("the model is in training mode; call `model.eval()` first")
    inputs = examples.values() if isinstance(examples, Mapping) else examples
    for one in inputs:
        if not isinstance(one, Tensor):
            raise SplitError(
                f"an example input is a {type(one).__name__}; give tensors, and wrap the model in a module "
                "that fills in the rest"
            )


def _assemble(
    captured: Captured, chosen: Sequence[Frontier], made: Mapping[str, Made]
) -> tuple[GraphSource, list[SplitPoint]]:
    held = captured.weights
    source = GraphSource(
        program=captured.program,
        cuts=tuple(Cut(place=one.place, carried=one.carried, recompute=one.recompute) for one in chosen),
        weights=Weights(tuple(held), lambda names: {name: held[name] for name in names}),
        home=next((tensor.device for tensor in held.values()), torch.device("cpu")),
    )
    total = sum(one.flops for one in made.values())
    points = []
    for layer, one in enumerate(chosen, 1):
        before, after = source.range(0, layer), source.range(layer, source.blocks)
        points.append(
            SplitPoint(
                layer=layer,
                tensors=tuple(_spec(name, made[name], captured.sizes) for name in one.carried),
                flops_before=one.flops_before,
                flops_after=total - one.flops_before,
                weight_bytes_before=_bytes(held, before.weights()),
                weight_bytes_after=_bytes(held, after.weights()),
            )
        )
    return source, points


def _spec(name: str, made: Made, sizes: Mapping[str, Any]) -> TensorSpec:
    varies = tuple(dim for dim, size in enumerate(sizes.get(name, ())) if not isinstance(size, int))
    return TensorSpec(name=name, shape=made.shape or (), dtype=made.dtype, bytes=made.bytes, varies=varies)


def _bytes(weights: Mapping[str, Tensor], names: Sequence[str]) -> int:
    return sum(weights[name].numel() * weights[name].element_size() for name in names)
