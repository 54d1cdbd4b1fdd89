"""Split a model: find its points, and make a module of any contiguous range of its blocks."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from tierline_models.errors import SplitError
from tierline_models.graphs.capture import Captured, capture
from tierline_models.graphs.chain import chain_of
from tierline_models.graphs.frontier import Frontier, frontiers, worthwhile
from tierline_models.graphs.measure import Made, measure
from tierline_models.graphs.points import SplitPoint, TensorSpec
from tierline_models.graphs.recompute import Recomputing
from tierline_models.graphs.refusals import no_points
from tierline_models.graphs.save import save_bundle
from tierline_models.graphs.source import Cut, GraphSource, Source, Weights
from tierline_models.graphs.timing import RUNS, BlockSeconds, time_blocks
from tierline_models.graphs.varying import Dynamic, Examples, listed


class Split:
    """A model cut into blocks 1..n; layer k means "k blocks computed", and split point k is layer k + 1."""

    def __init__(
        self,
        *,
        points: Sequence[SplitPoint],
        source: Source,
        inputs: Sequence[str],
        example: Callable[[], dict[str, Tensor]],
        name: str = "model",
        labels: Sequence[str] = (),
        digest: str = "",
    ) -> None:
        self.points = tuple(points)
        self.source = source
        self.inputs = tuple(inputs)  # names of what the model takes
        self.name = name
        self.labels = tuple(labels)
        self.digest = digest  # empty unless it comes from a bundle
        self._example = example

    @property
    def layers(self) -> int:
        """How many blocks there are."""
        return self.source.blocks

    @property
    def blocks(self) -> tuple[nn.Module, ...]:
        """Every block as a module of its own."""
        return tuple(self.segment(layer, layer + 1) for layer in range(self.layers))

    def head(self, k: int, *, device: torch.device | str | None = None) -> nn.Module:
        """What runs before split point k; returns a tensor, or a tuple of those that travel together."""
        return self.segment(0, self._point(k).layer, device=device)

    def tail(self, k: int, *, device: torch.device | str | None = None) -> nn.Module:
        """What runs after split point k; takes what its head returns, returns what the model returns."""
        return self.segment(self._point(k).layer, self.layers, device=device)

    def segment(self, first: int, last: int, *, device: torch.device | str | None = None) -> nn.Module:
        """Blocks first+1..last: from layer `first` to layer `last`.

        Args:
            first: layer to start at, 0 for the model's own inputs.
            last: layer to end at.
            device: where its weights shall be; each is there once, however many segments use it.
        """
        if not 0 <= first < last <= self.layers:
            raise SplitError(
                f"there is no segment from layer {first} to {last}; layers go from 0 to {self.layers}"
            )
        return self.source.make(first, last, None if device is None else torch.device(device))

    @cached_property
    def example(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The inputs that it was split with, and what the unsplit model returned for them, flat."""
        found = self._example()
        returned = sorted(name for name in found if name.startswith("out_"))
        return tuple(found[f"in_{name}"] for name in self.inputs), tuple(found[name] for name in returned)

    def differences(self) -> list[float]:
        """By split point, how far head and tail are from the unsplit model, at most (0.0: equal).

        The activation crosses contiguous, as it does on a wire.
        """
        inputs, expected = self.example
        with torch.no_grad():
            crossed = [self.tail(k)(contiguous(self.head(k)(*inputs))) for k in range(len(self.points))]
        return [largest_difference(tree_leaves(result), expected) for result in crossed]

    def time_blocks(self, *, runs: int = RUNS) -> tuple[BlockSeconds, ...]:
        """Seconds per block on this machine, for the inputs that the model was split with."""
        return time_blocks(self.blocks, self.example[0], runs=runs)

    def save(self, folder: str | Path, *, name: str | None = None, labels: Sequence[str] = ()) -> str:
        """Write a bundle, replacing one that is there, and return its digest."""
        if not isinstance(self.source, GraphSource):
            raise SplitError(
                "a model split at listed modules needs its code and cannot be saved as a bundle; "
                "make it one that torch.export can trace, and split it without `blocks=`"
            )
        return save_bundle(
            Path(folder),
            name=name or self.name,
            source=self.source,
            points=self.points,
            example=self._example(),
            labels=labels or self.labels,
        )

    def _point(self, k: int) -> SplitPoint:
        if not -len(self.points) <= k < len(self.points):
            raise SplitError(f"there is no split point {k}; this model has {len(self.points)}, from 0")
        return self.points[k]


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
    found = frontiers(
        captured.program, made, Recomputing(captured.program, captured.sizes), max_tensors=max_tensors
    )
    chosen = worthwhile(found, captured.program, made, every=every)
    if not chosen:
        raise no_points(model)
    source, points = _assemble(captured, chosen, made)
    names = captured.program.inputs
    kept = _kept(names, inputs, expected)
    return Split(points=points, source=source, inputs=names, example=lambda: kept, name=type(model).__name__)


def _split_at(model: nn.Module, examples: Examples, expected: Any, blocks: Sequence[str]) -> Split:
    if not blocks:
        raise SplitError("`blocks=` lists no module; give the paths of those that are to be blocks")
    source, points = chain_of(model, examples, blocks)
    names = [f"input_{place}" for place in range(len(examples))]
    kept = _kept(names, listed(examples), expected)
    return Split(points=points, source=source, inputs=names, example=lambda: kept, name=type(model).__name__)


def largest_difference(ours: Sequence[Any], theirs: Sequence[Any]) -> float:
    """Between tensors pair by pair; 0.0 if all are equal bit for bit, infinite if they do not even match."""
    if len(ours) != len(theirs):
        return math.inf
    return max((_difference(one, other) for one, other in zip(ours, theirs, strict=True)), default=0.0)


def _difference(one: Any, other: Any) -> float:
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return 0.0 if one == other else math.inf
    if one.shape != other.shape or one.dtype != other.dtype:
        return math.inf
    return 0.0 if torch.equal(one, other) else float((one.double() - other.double()).abs().max())


def contiguous(carried: Any) -> Any:
    """What travels, laid out as it arrives."""
    if isinstance(carried, tuple):
        return tuple(one.contiguous() for one in carried)
    return carried.contiguous()


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
                tensors=tuple(_spec(name, made[name]) for name in one.carried),
                flops_before=one.flops_before,
                flops_after=total - one.flops_before,
                weight_bytes_before=_bytes(held, before.weights()),
                weight_bytes_after=_bytes(held, after.weights()),
            )
        )
    return source, points


def _spec(name: str, made: Made) -> TensorSpec:
    return TensorSpec(name=name, shape=made.shape or (), dtype=made.dtype, bytes=made.bytes)


def _bytes(weights: Mapping[str, Tensor], names: Sequence[str]) -> int:
    return sum(weights[name].numel() * weights[name].element_size() for name in names)
