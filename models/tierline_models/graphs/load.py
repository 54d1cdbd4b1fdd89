"""Load a bundle that `Split.save` wrote: nothing in it is run, and nothing is believed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tierline_models.errors import BundleError
from tierline_models.graphs.document import program_from_json, specs_from_json
from tierline_models.graphs.files import Files, WeightSpec, as_weight, read_json
from tierline_models.graphs.measure import shapes_of
from tierline_models.graphs.points import SplitPoint, TensorSpec
from tierline_models.graphs.program import Program
from tierline_models.graphs.save import FORMAT, digest_of_manifest
from tierline_models.graphs.source import GraphSource, Weights
from tierline_models.graphs.split import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class _Manifest:
    name: str
    digest: str
    labels: tuple[str, ...]
    points: tuple[SplitPoint, ...]
    inputs: tuple[TensorSpec, ...]
    weights: dict[str, WeightSpec]
    files: Mapping[str, Any]


def load(folder: str | Path) -> Split:
    """A split model from its bundle; weights are read when a segment needs them, and only those.

    Raises BundleError, with what is wrong, for a bundle that is damaged, incomplete, forged or too new.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    files = Files(folder, manifest.files)
    program, cuts = program_from_json(files.json("graph.json"))
    if len(cuts) != len(manifest.points):
        raise BundleError(f"{folder} lists {len(manifest.points)} split points, its graph has {len(cuts)}")
    _check_shapes(folder, program, manifest)

    def fetch(names: Sequence[str]) -> dict[str, Tensor]:
        by_file: dict[str, dict[str, WeightSpec]] = {}
        for name in names:
            by_file.setdefault(manifest.weights[name].file, {})[name] = manifest.weights[name]
        read = [files.tensors(file, wanted) for file, wanted in by_file.items()]
        return {name: as_weight(one) for tensors in read for name, one in tensors.items()}

    return Split(
        points=manifest.points,
        source=GraphSource(program=program, cuts=cuts, weights=Weights(tuple(manifest.weights), fetch)),
        inputs=program.inputs,
        example=lambda: files.tensors("example.safetensors", None),
        name=manifest.name,
        labels=manifest.labels,
        digest=manifest.digest,
    )


def _manifest(folder: Path) -> _Manifest:
    document = read_json(folder / "bundle.json")
    if not isinstance(document, dict):
        raise BundleError(f"{folder / 'bundle.json'} is no manifest")
    if document.get("format") != FORMAT:
        raise BundleError(
            f"{folder} is a bundle of format {document.get('format')!r:.20}, this version reads {FORMAT}; "
            "make it again, or update Tierline here"
        )
    if document.get("digest") != digest_of_manifest(document):
        raise BundleError(f"{folder / 'bundle.json'} was changed after it was made (its digest differs)")
    try:
        return _Manifest(
            name=str(document["name"])[:200],
            digest=document["digest"],
            labels=tuple(str(label) for label in document["labels"]),
            points=tuple(_point(one) for one in document["points"]),
            inputs=tuple(_tensor(one | {"bytes": 0}) for one in document["inputs"]),
            weights=dict(map(_weight, document["weights"])),
            files=dict(document["files"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{folder / 'bundle.json'} lacks what a manifest has: {error!r:.120}") from error


def _point(document: dict[str, Any]) -> SplitPoint:
    return SplitPoint(**document | {"tensors": tuple(_tensor(one) for one in document["tensors"])})


def _tensor(document: dict[str, Any]) -> TensorSpec:
    name, shape, dtype = specs_from_json(document)
    return TensorSpec(name=name, shape=shape, dtype=dtype, bytes=int(document["bytes"]))


def _weight(document: dict[str, Any]) -> tuple[str, WeightSpec]:
    name, shape, dtype = specs_from_json(document)
    return name, WeightSpec(file=str(document["file"]), shape=shape, dtype=dtype)


def _check_shapes(folder: Path, program: Program, manifest: _Manifest) -> None:
    """Follow the shapes through the graph without computing or allocating anything."""
    used = {name for call in program.calls for name in call.weights()}
    missing = sorted(used - manifest.weights.keys())
    if missing:
        raise BundleError(f"{folder}: the graph uses {missing[0]}, which the manifest does not list")
    if tuple(spec.name for spec in manifest.inputs) != program.inputs:
        raise BundleError(f"{folder}: the manifest's inputs are not the graph's")
    weights = {name: _empty(spec.shape, spec.dtype) for name, spec in manifest.weights.items()}
    shapes = shapes_of(program, weights, [_empty(spec.shape, spec.dtype) for spec in manifest.inputs])
    for point in manifest.points:
        for spec in point.tensors:
            if shapes.get(spec.name) != (spec.shape, spec.dtype):
                raise BundleError(
                    f"{folder}: the manifest says that {spec.name} measures {spec.shape}, the graph makes "
                    f"{shapes.get(spec.name, ('nothing',))[0]} of it"
                )


def _empty(shape: tuple[int, ...], dtype: str) -> Tensor:
    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype):
        raise BundleError(f"torch {torch.__version__} has no type {dtype}; update torch here")
    return torch.empty(shape, dtype=kind, device="meta")
