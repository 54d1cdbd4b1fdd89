"""Load a bundle that `Split.save` wrote: nothing in it is run, and nothing is believed."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from tierline_models.errors import BundleError
from tierline_models.graphs.document import program_from_json
from tierline_models.graphs.exits import ExitGraph
from tierline_models.graphs.files import WeightSpec
from tierline_models.graphs.manifest import ExitEntry, Manifest, read_manifest
from tierline_models.graphs.measure import shapes_of
from tierline_models.graphs.points import TensorSpec
from tierline_models.graphs.program import Program, Ref
from tierline_models.graphs.routes import Routes, routes_from_json
from tierline_models.graphs.source import GraphSource, Weights
from tierline_models.graphs.split import Split
from tierline_models.graphs.tensors import TensorFiles, as_weight
from tierline_models.pieces import TOKENIZER_BYTES
from tierline_models.preprocessing import TOKENIZER, Preprocessing, preprocessing_from_json


def load(folder: str | Path) -> Split:
    """A split model from its bundle; weights are read when a segment needs them, and only those.

    Raises BundleError, with what is wrong, for a bundle that is damaged, incomplete, forged or too new.
    """
    return open_bundle(Path(folder))[0]


def open_bundle(folder: Path) -> tuple[Split, Manifest]:
    """The same, and what its manifest says."""
    manifest = read_manifest(folder)
    files = TensorFiles(folder, manifest.files, manifest.beside)
    program, cuts = program_from_json(files.json("graph.json"))
    if len(cuts) != len(manifest.points):
        raise BundleError(f"{folder} lists {len(manifest.points)} split points, its graph has {len(cuts)}")
    _check_shapes(folder, program, manifest)
    cut = Split(
        points=manifest.points,
        source=GraphSource(program=program, cuts=cuts, weights=_weights(files, manifest.weights)),
        inputs=manifest.inputs,
        example=lambda: _example(files, manifest),
        name=manifest.name,
        labels=manifest.labels,
        temperature=manifest.temperature,
        exits=[_exit(files, one, manifest) for one in manifest.exits],
        preprocessing=_preprocessing(files, manifest),
        routes=_routes(files, manifest),
        versions=manifest.versions,
        digest=manifest.digest,
        files=files,
    )
    return cut, manifest


def _weights(files: TensorFiles, specs: Mapping[str, WeightSpec]) -> Weights:
    """Weights that are read when somebody wants them."""

    def fetch(names: Sequence[str]) -> dict[str, Tensor]:
        by_file: dict[str, dict[str, WeightSpec]] = {}
        for name in names:
            by_file.setdefault(specs[name].file, {})[name] = specs[name]
        read = [files.tensors(file, wanted) for file, wanted in by_file.items()]
        return {name: as_weight(one) for tensors in read for name, one in tensors.items()}

    return Weights(tuple(specs), fetch)


def _exit(files: TensorFiles, entry: ExitEntry, manifest: Manifest) -> ExitGraph:
    """An exit whose graph makes logits of what travels to it."""
    about, file = entry.about, f"exits/{entry.about.layer:04}.json"
    program, cuts = program_from_json(files.json(file), file)
    tensors = manifest.points[about.layer - 1].tensors
    if cuts or len(program.inputs) != len(tensors):
        raise BundleError(f"{file} does not take the {len(tensors)} tensors that travel to it")
    shapes = follow(file, program, entry.weights, tensors)
    match program.outputs:
        case (Ref(name),) if program.structure == 0:
            shape, dtype = shapes.get(name, ((), ""))
        case _:
            shape, dtype = (), ""
    wanted = (tensors[0].shape[0], about.classes)
    if shape != wanted or dtype not in ("float32", "float64", "float16", "bfloat16"):
        raise BundleError(f"{file} makes {dtype or 'no tensor'} of shape {shape}, not logits {wanted}")
    if manifest.labels and len(manifest.labels) != about.classes:
        raise BundleError(f"{file} has {about.classes} classes, the bundle has {len(manifest.labels)} labels")
    return ExitGraph(about=about, program=program, weights=_weights(files, entry.weights))


def _example(files: TensorFiles, manifest: Manifest) -> dict[str, Tensor]:
    """The example's tensors: inputs as the manifest lists them, and logits of every exit."""
    found = files.tensors("example.safetensors", None)
    for spec in manifest.inputs:
        one = found.get(f"in_{spec.name}")
        if one is None or (tuple(one.shape), str(one.dtype)) != (spec.shape, f"torch.{spec.dtype}"):
            raise BundleError(f"example.safetensors lacks the input {spec.name} as the manifest lists it")
    for entry in manifest.exits:
        if f"exit_{entry.about.layer:04}" not in found:
            raise BundleError(
                f"example.safetensors lacks the logits of the exit at layer {entry.about.layer}"
            )
    return found


def _preprocessing(files: TensorFiles, manifest: Manifest) -> Preprocessing | None:
    tokenizer = files.text(TOKENIZER, limit=TOKENIZER_BYTES) if TOKENIZER in files else None
    return preprocessing_from_json(manifest.preprocessing, tokenizer)


def _routes(files: TensorFiles, manifest: Manifest) -> Routes | None:
    if "routes.json" not in files:
        return None
    exits = [one.about.layer for one in manifest.exits]
    return routes_from_json(files.json("routes.json"), [*exits, len(manifest.points) + 1])


def _check_shapes(folder: Path, program: Program, manifest: Manifest) -> None:
    """Follow the shapes through the graph without computing or allocating anything."""
    if tuple(spec.name for spec in manifest.inputs) != program.inputs:
        raise BundleError(f"{folder}: the manifest's inputs are not the graph's")
    shapes = follow("graph.json", program, manifest.weights, manifest.inputs)
    for point in manifest.points:
        for spec in point.tensors:
            if shapes.get(spec.name) != (spec.shape, spec.dtype):
                raise BundleError(
                    f"{folder}: the manifest says that {spec.name} measures {spec.shape}, the graph makes "
                    f"{shapes.get(spec.name, ('nothing',))[0]} of it"
                )


def follow(
    file: str, program: Program, weights: Mapping[str, WeightSpec], inputs: Sequence[TensorSpec]
) -> dict[str, tuple[tuple[int, ...], str]]:
    """Shape and type of every value of a graph."""
    used = {name for call in program.calls for name in call.weights()}
    missing = sorted(used - weights.keys())
    if missing:
        raise BundleError(f"{file} uses {missing[0]}, which the manifest does not list")
    held = {name: _empty(spec.shape, spec.dtype) for name, spec in weights.items()}
    return shapes_of(program, held, [_empty(spec.shape, spec.dtype) for spec in inputs])


def _empty(shape: tuple[int, ...], dtype: str) -> Tensor:
    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype):
        raise BundleError(f"torch {torch.__version__} has no type {dtype}; update torch here")
    return torch.empty(shape, dtype=kind, device="meta")
