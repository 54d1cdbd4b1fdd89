"""Split a model: find its points, and make a module of any contiguous range of its blocks."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from tierline_models.errors import SplitError
from tierline_models.graphs.exits import ExitGraph, capture_exit
from tierline_models.graphs.files import Files
from tierline_models.graphs.points import SplitExit, SplitPoint, TensorSpec
from tierline_models.graphs.routes import Routes, measure_routes
from tierline_models.graphs.save import Contents, save_bundle
from tierline_models.graphs.source import GraphSource, Source
from tierline_models.graphs.timing import RUNS, BlockSeconds, time_blocks
from tierline_models.preprocessing import Preprocessing
from tierline_models.schema import extremes


class Split:
    """A model cut into blocks 1..n; layer k means "k blocks computed", and split point k is layer k + 1."""

    def __init__(
        self,
        *,
        points: Sequence[SplitPoint],
        source: Source,
        inputs: Sequence[TensorSpec],
        example: Callable[[], dict[str, Tensor]],
        name: str = "model",
        labels: Sequence[str] = (),
        temperature: float = 1.0,
        exits: Sequence[ExitGraph] = (),
        preprocessing: Preprocessing | None = None,
        routes: Routes | None = None,
        versions: Mapping[str, str] | None = None,
        digest: str = "",
        files: Files | None = None,
    ) -> None:
        self.points = tuple(points)
        self.source = source
        self.inputs = tuple(inputs)  # what the model takes
        self.name = name
        self.labels = tuple(labels)
        self.temperature = temperature  # of the model's own logits, if it returns such
        self.preprocessing = preprocessing  # of raw inputs, if they are no tensors
        self.routes = routes  # what exits are worth, once measured on labelled inputs
        self.versions = versions or {}  # of what its bundle was made with
        self.digest = digest  # empty unless it comes from a bundle
        self.files = files  # of the bundle that it comes from
        self._example = example
        self._exits = {one.about.layer: one for one in exits}

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

    @property
    def exits(self) -> tuple[SplitExit, ...]:
        """The early exits, in order."""
        return tuple(one.about for one in self.exit_graphs)

    @property
    def exit_graphs(self) -> tuple[ExitGraph, ...]:
        """What the early exits compute, in order."""
        return tuple(self._exits[layer] for layer in sorted(self._exits))

    def add_exit(self, k: int, head: nn.Module, *, temperature: float = 1.0) -> SplitExit:
        """Attach a head at split point k, replacing one that is there.

        Args:
            k: which of `points`.
            head: takes what travels there, one tensor or several in order, and returns logits (B, classes);
                `TokenHead`, `PooledHead` and `ImageHead` are ready-made. Its weights are used as they are.
            temperature: divides the logits, so that confidence means what it says.

        Raises:
            SplitError: the head does not take that, cannot be traced, or insists on a size that varies.
        """
        point = self._point(k)
        with torch.no_grad():
            carried = contiguous(self.head(k)(*self.example[0]))
        parts = carried if isinstance(carried, tuple) else (carried,)
        self._exits[point.layer], logits = capture_exit(point, parts, head, temperature)
        self.routes = None  # those measured knew another set of exits
        example = self._example() | {f"exit_{point.layer:04}": logits}
        self._example = lambda: example
        return self._exits[point.layer].about

    def exit(self, k: int, *, device: torch.device | str | None = None) -> nn.Module:
        """The head attached at split point k: takes what its head returns, returns logits (B, classes)."""
        layer = self._point(k).layer
        if layer not in self._exits:
            raise SplitError(f"there is no exit at split point {k}; attach one with `add_exit`")
        return self._exits[layer].make(self.source.home if device is None else torch.device(device))

    def calibrate(self, inputs: Iterable[Tensor | tuple[Tensor, ...]], truth: Sequence[int]) -> Routes:
        """Fit all temperatures and measure what leaves at which exit, on inputs that nothing was trained on.

        A scheduler uses exits only by what was measured here.

        Args:
            inputs: batches of what the model takes.
            truth: class numbers, over all batches.
        """
        exits = {one.layer: self.exit(one.layer - 1) for one in self.exits}
        measured = measure_routes(self.blocks, exits, inputs, truth)
        for layer, one in self._exits.items():
            self._exits[layer] = one.calibrated(measured.temperatures[layer])
        self.temperature = measured.temperatures[self.layers]
        self.routes = measured.routes
        return measured.routes

    @cached_property
    def example(self) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
        """The inputs that it was split with, and what the unsplit model returned for them, flat."""
        found = self._example()
        returned = sorted(name for name in found if name.startswith("out_"))
        taken = tuple(found[f"in_{spec.name}"] for spec in self.inputs)
        return taken, tuple(found[name] for name in returned)

    def differences(self) -> list[float]:
        """By split point, how far head and tail are from the unsplit model, at most (0.0: equal).

        The activation crosses contiguous, as it does on a wire.
        """
        inputs, expected = self.example
        with torch.no_grad():
            crossed = [self.tail(k)(contiguous(self.head(k)(*inputs))) for k in range(len(self.points))]
        return [largest_difference(tree_leaves(result), expected) for result in crossed]

    def time_blocks(self, *, runs: int = RUNS) -> tuple[BlockSeconds, ...]:
        """Seconds per block on this machine, for the inputs that the model was split with.

        From then on each of `points` says the seconds before it.
        """
        found = time_blocks(self.blocks, self.example[0], runs=runs)
        so_far = list(accumulate(one.median for one in found))
        self.points = tuple(replace(point, seconds=so_far[point.layer - 1]) for point in self.points)
        return found

    def exit_differences(self) -> list[float]:
        """By exit, how far its logits are from those of the head that was attached (0.0: equal)."""
        with torch.no_grad():
            return [
                largest_difference(
                    [self.exit(one.layer - 1)(contiguous(self.head(one.layer - 1)(*self.example[0])))],
                    [self._example()[f"exit_{one.layer:04}"]],
                )
                for one in self.exits
            ]

    def save(
        self,
        folder: str | Path,
        *,
        name: str | None = None,
        labels: Sequence[str] = (),
        preprocessing: Preprocessing | None = None,
        onnx: bool = False,
    ) -> str:
        """Write a bundle, replacing one that is there, and return its digest.

        Args:
            folder: where.
            name: what people call it; the model's class if nothing is said.
            labels: of the classes, in the order of the logits.
            preprocessing: how a raw input becomes what the model takes; else inputs are tensors.
            onnx: put each block and exit beside its weights as ONNX too, for nodes without torch.
        """
        if not isinstance(self.source, GraphSource):
            raise SplitError(
                "a model split at listed modules needs its code and cannot be saved as a bundle; "
                "make it one that torch.export can trace, and split it without `blocks=`"
            )
        labels = tuple(labels) or self.labels
        for one in self.exits:
            if labels and one.classes != len(labels):
                raise SplitError(
                    f"there are {len(labels)} labels, but the exit at layer {one.layer} has "
                    f"{one.classes} classes; give one label a class"
                )
        contents = Contents(
            name=name or self.name,
            source=self.source,
            points=self.points,
            inputs=self.inputs,
            example=self._example(),
            labels=labels,
            temperature=self.temperature,
            exits=self.exit_graphs,
            preprocessing=preprocessing or self.preprocessing,
            routes=self.routes,
        )
        if contents.preprocessing is not None:
            extremes(contents.preprocessing, self.inputs)
        digest = save_bundle(Path(folder), contents)
        if onnx:
            from tierline_models.onnx.attach import attach_onnx  # needs the extra `onnx`, and loads bundles

            attach_onnx(folder)
        return digest

    def _point(self, k: int) -> SplitPoint:
        if not -len(self.points) <= k < len(self.points):
            raise SplitError(f"there is no split point {k}; this model has {len(self.points)}, from 0")
        return self.points[k]


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
