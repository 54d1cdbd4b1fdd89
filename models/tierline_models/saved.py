"""Serve a model that `Split.save` wrote: its blocks, exits and preprocessing as any bundle has them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from tierline_models.bundle import Bundle
from tierline_models.card import ModelCardData, PointData, RouteData, frame_bytes
from tierline_models.codings import NOTHING, codings_beside, with_codings
from tierline_models.errors import BundleError
from tierline_models.graphs.load import follow, open_bundle
from tierline_models.graphs.manifest import Manifest
from tierline_models.graphs.operators import packet_of
from tierline_models.graphs.points import SplitPoint
from tierline_models.graphs.program import Program, Ref, Weight
from tierline_models.graphs.source import GraphSource
from tierline_models.graphs.split import Split
from tierline_models.onnx.about import About
from tierline_models.pieces import TextInput
from tierline_models.profiles.stored import profile_of
from tierline_models.routing.cartography import with_cartography
from tierline_models.routing.document import cartography_beside
from tierline_models.schema import Specs, extremes, tensors_reader
from tierline_models.segmented import Carried, Exit, SegmentedModel
from tierline_models.served import Travelling
from tierline_models.variations import make_samples, typical_input

MOST_POINTS = 48  # that a planner is told of: it tries all pairs of them
_FLOATS = ("float32", "float64", "float16")

Shapes = Mapping[str, tuple[tuple[int, ...], str]]
Reader = Callable[[bytes], tuple[Tensor, ...]]


class LogitsOf(nn.Module):
    """Picks the logits out of all that a model returns."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place

    def forward(self, returned: Any) -> Tensor:
        """What the model returns to logits (B, classes)."""
        logits: Tensor = tree_leaves(returned)[self.place]
        return logits


@dataclass(frozen=True, slots=True, kw_only=True)
class _Served:
    """A split model as nodes run it, in batches of one."""

    cut: Split
    read: Reader
    travelling: tuple[tuple[Travelling, ...], ...]  # by split point
    output: int  # which of the leaves that the model returns are logits
    labels: tuple[str, ...]
    inputs: tuple[Specs, Specs]  # at their smallest and at their largest


def about_saved(folder: Path) -> About:
    """What nodes without torch must know of a bundle; raises BundleError where nodes cannot serve it."""
    cut, manifest = open_bundle(folder)
    if not isinstance(cut.source, GraphSource):
        raise TypeError("a bundle holds a graph")
    served, example = _serve(cut, cut.source.program, manifest), typical_input(cut)
    return About(
        card=_card(cut, len(example)),
        labels=served.labels,
        temperatures={one.layer: one.temperature for one in cut.exits} | {cut.layers: cut.temperature},
        output=served.output,
        travelling=served.travelling,
        inputs=served.inputs,
        example=example,
    )


def load_saved(folder: Path, *, max_layer: int | None = None) -> Bundle:
    """The bundle in a folder, ready to be served; raises BundleError where nodes cannot serve it.

    Args:
        folder: as `Split.save` wrote it.
        max_layer: read the weights of blocks 1..max_layer only.
    """
    cut, manifest = open_bundle(folder)
    if not isinstance(cut.source, GraphSource):
        raise TypeError("a bundle holds a graph")
    served = _serve(cut, cut.source.program, manifest)
    example = typical_input(cut)
    codings = NOTHING if cut.files is None else codings_beside(cut.files)
    card = _card(cut, len(example))
    found = None if cut.files is None else cartography_beside(cut.files, card.exits)
    return Bundle(
        name=cut.name,
        digest=cut.digest,
        card=with_cartography(with_codings(card, codings), found),
        model=_model(served, max_layer),
        example=example,
        sampler=partial(make_samples, partial(load_saved, folder), example),
        codings=codings,
        profile=profile_of(cut),
        cartography=found,
    )


def _serve(cut: Split, program: Program, manifest: Manifest) -> _Served:
    low, high = extremes(cut.preprocessing, cut.inputs)
    most = follow("graph.json", program, manifest.weights, high)
    try:
        least = follow("graph.json", program, manifest.weights, low)
    except BundleError:
        if cut.preprocessing is not None:
            raise
        low, least = high, most  # takes tensors of the example's size and no smaller
    if isinstance(cut.preprocessing, TextInput):
        _check_pieces(cut, cut.preprocessing, program, manifest)
    output, classes = _output(cut.name, program, most)
    labels = cut.labels or tuple(str(number) for number in range(classes))
    if any(one != classes for one in (len(labels), *(leave.classes for leave in cut.exits))):
        counts = ", ".join(f"{leave.classes} after block {leave.layer}" for leave in cut.exits)
        raise BundleError(
            f"{cut.name} has {len(labels)} labels and returns {classes} classes, its exits "
            f"{counts or 'none'}; nodes need them to agree"
        )
    return _Served(
        cut=cut,
        read=tensors_reader(low, high) if cut.preprocessing is None else cut.preprocessing.prepare,
        travelling=tuple(_travelling(point, least, most) for point in cut.points),
        output=output,
        labels=labels,
        inputs=(low, high),
    )


def _check_pieces(cut: Split, text: TextInput, program: Program, manifest: Manifest) -> None:
    """The table that the pieces' numbers are looked up in must have a row for each."""
    fed = {spec.name for spec, given in zip(cut.inputs, text.gives, strict=True) if given == "ids"}
    for call in program.calls:
        match call.args:
            case (Weight(table), Ref(name), *_) if packet_of(call.op) == "embedding" and name in fed:
                rows = manifest.weights[table].shape[0]
                if text.pieces > rows:
                    raise BundleError(
                        f"the tokenizer of {cut.name} numbers its pieces up to {text.pieces - 1}, "
                        f"the model knows {rows}; save it with the tokenizer that it was trained with"
                    )


def _output(name: str, program: Program, shapes: Shapes) -> tuple[int, int]:
    """Which leaf of what the model returns is the logits, and of how many classes."""
    found = [
        shapes.get(leaf.name, ((), "")) if isinstance(leaf, Ref) else ((), "") for leaf in program.outputs
    ]
    places = [
        place
        for place, (shape, dtype) in enumerate(found)
        if len(shape) == 2 and shape[0] == 1 and dtype in _FLOATS
    ]
    if len(places) != 1:
        told = " and ".join(str(shape) for shape, _ in found)
        raise BundleError(
            f"{name} returns {told} for one sample, and nodes answer from one tensor of logits (1, classes); "
            "wrap the model in a module that returns it"
        )
    return places[0], found[places[0]][0][1]


def _travelling(point: SplitPoint, least: Shapes, most: Shapes) -> tuple[Travelling, ...]:
    several = len(point.tensors) > 1
    parts = []
    for spec in point.tensors:
        (low, dtype), (high, _) = least[spec.name], most[spec.name]
        sizes = tuple(
            a if a == b else range(min(a, b), max(a, b) + 1) for a, b in zip(low, high, strict=True)
        )
        parts.append(Travelling(name=spec.name if several else "", sizes=sizes, dtype=dtype))
    return tuple(parts)


def _model(served: _Served, max_layer: int | None) -> SegmentedModel:
    cut, last = served.cut, served.cut.layers if max_layer is None else max_layer
    if not 1 <= last <= cut.layers:
        raise BundleError(f"max_layer is {last}; this model has blocks 1 to {cut.layers}")
    exits = {
        leave.layer: Exit(head=cut.exit(leave.layer - 1), temperature=leave.temperature)
        for leave in cut.exits
        if leave.layer <= last
    }
    if last == cut.layers:
        exits[last] = Exit(head=LogitsOf(served.output), temperature=cut.temperature)
    return SegmentedModel(
        blocks=[cut.segment(layer, layer + 1) for layer in range(last)],
        exits=exits,
        labels=served.labels,
        travelling=[*served.travelling, ()][:last],
        preprocess=partial(_prepare, served.read),
    )


def _prepare(read: Reader, data: bytes) -> Carried:
    made = read(data)
    return made[0] if len(made) == 1 else made


def _card(cut: Split, input_bytes: int) -> ModelCardData:
    """What a planner must know; without measured routes all go to the end, which agrees with itself."""
    last = cut.layers
    unmeasured = (RouteData(exits=(last,), thresholds=(), shares=(1.0,), accuracy=1.0),)
    return ModelCardData(
        digest=cut.digest,
        name=cut.name,
        blocks=last,
        input_bytes=input_bytes,
        points=tuple(
            PointData(layer=point.layer, frame_bytes=_frames(point)) for point in _worth_telling(cut.points)
        ),
        exits=(*(leave.layer for leave in cut.exits), last),
        accuracy=1.0 if cut.routes is None else cut.routes.accuracy,
        routes=unmeasured if cut.routes is None else cut.routes.table,
    )


def _worth_telling(points: Sequence[SplitPoint]) -> list[SplitPoint]:
    """All of them, or of very many those where least travels."""
    smallest = sorted(points, key=lambda point: point.bytes)[:MOST_POINTS]
    return sorted(smallest, key=lambda point: point.layer)


def _frames(point: SplitPoint) -> dict[str, int]:
    """Bytes of a whole frame by codec, for the example's sizes in a batch of one."""
    total: dict[str, int] = {}
    for spec in point.tensors:
        shape = (1, *spec.shape[1:])
        # Whole numbers go raw; of a picture one row of int8 is a channel with all its pixels.
        raw = prod(shape) * spec.bytes // max(1, prod(spec.shape))
        rows = shape if len(shape) < 4 else (*shape[:2], prod(shape[2:]))
        sizes = frame_bytes(rows) if spec.dtype in _FLOATS else dict.fromkeys(frame_bytes(rows), raw)
        total = {codec: total.get(codec, 0) + size for codec, size in sizes.items()}
    return total
