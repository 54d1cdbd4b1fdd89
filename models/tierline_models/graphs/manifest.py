"""A bundle's manifest: what it says, checked field by field, and the digests that cover it."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tierline_models.errors import BundleError
from tierline_models.graphs.files import WeightSpec, read_json
from tierline_models.graphs.points import SplitExit, SplitPoint, TensorSpec

FORMAT = 3  # of bundle.json; no release wrote an earlier one
MOST_LABELS = 100_000
LONGEST_LABEL = 1000  # characters, as results carry it
_DTYPE = re.compile(r"[a-z][a-z0-9_]{1,30}", re.ASCII)
_TEMPERATURES = (1e-3, 1e3)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitEntry:
    """An exit as a manifest lists it."""

    about: SplitExit
    weights: dict[str, WeightSpec]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a bundle.json says."""

    name: str
    digest: str
    labels: tuple[str, ...]
    temperature: float  # of the model's own output
    points: tuple[SplitPoint, ...]
    inputs: tuple[TensorSpec, ...]
    weights: dict[str, WeightSpec]
    exits: tuple[ExitEntry, ...]
    preprocessing: Any  # None, or an object that `preprocessing_from_json` reads
    versions: dict[str, str]
    files: Mapping[str, Any]
    beside: Mapping[str, Any]


def read_manifest(folder: Path) -> Manifest:
    """What the bundle in a folder says of itself; raises BundleError for all that we do not write."""
    path = folder / "bundle.json"
    document = read_json(path)
    if not isinstance(document, dict):
        raise BundleError(f"{path} is no manifest")
    if document.get("format") != FORMAT:
        raise BundleError(
            f"{folder} is a bundle of format {document.get('format')!r:.20}, this version reads {FORMAT}; "
            "make it again, or update Tierline here"
        )
    if (document.get("digest"), document.get("seal")) != (digest_of(document), seal_of(document)):
        raise BundleError(f"{path} was changed after it was made (its digest differs)")
    try:
        return _manifest(document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BundleError(f"{path} lacks what a manifest has: {error!r:.120}") from error


def digest_of(document: Mapping[str, Any]) -> str:
    """The bundle's identity: all that its manifest says, and by their sums all files, but those beside."""
    return _sum({key: one for key, one in document.items() if key not in ("digest", "beside", "seal")})


def seal_of(document: Mapping[str, Any]) -> str:
    """What a manifest ends with, so that nothing in it changes unnoticed."""
    return _sum({key: one for key, one in document.items() if key != "seal"})


def sealed(document: dict[str, Any]) -> str:
    """The text of a manifest, with its digest and its seal."""
    document["digest"] = digest_of(document)
    document["seal"] = seal_of(document)
    return json.dumps(document, indent=1)


def _sum(document: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _manifest(document: dict[str, Any]) -> Manifest:
    points = tuple(_point(one, layer) for layer, one in enumerate(document["points"], 1))
    return Manifest(
        name=str(document["name"])[:200],
        digest=document["digest"],
        labels=_labels(document["labels"]),
        temperature=_temperature(document["temperature"]),
        points=points,
        inputs=tuple(_tensor(one) for one in document["inputs"]),
        weights=dict(_weight(one, one["file"]) for one in document["weights"]),
        exits=_exits(document["exits"], len(points)),
        preprocessing=document["preprocessing"],
        versions={str(key)[:40]: str(one)[:40] for key, one in document["versions"].items()},
        files=dict(document["files"]),
        beside=dict(document["beside"]),
    )


def _point(document: dict[str, Any], layer: int) -> SplitPoint:
    if document["layer"] != layer:
        raise ValueError(f"the split point after block {layer} says that it is after another")
    costs = {key: document[key] for key in ("flops_before", "flops_after")}
    costs |= {key: document[key] for key in ("weight_bytes_before", "weight_bytes_after")}
    return SplitPoint(
        layer=layer,
        tensors=tuple(_tensor(one) for one in document["tensors"]),
        **{key: _whole(one, 0, 2**63) for key, one in costs.items()},
    )


def _exits(document: Any, points: int) -> tuple[ExitEntry, ...]:
    exits = tuple(_exit(one, points) for one in document)
    layers = [one.about.layer for one in exits]
    if layers != sorted(set(layers)):
        raise ValueError("exits are not in the order of their layers")
    return exits


def _exit(document: dict[str, Any], points: int) -> ExitEntry:
    about = SplitExit(
        layer=_whole(document["layer"], 1, points),
        classes=_whole(document["classes"], 1, MOST_LABELS),
        temperature=_temperature(document["temperature"]),
        flops=_whole(document["flops"], 0, 2**63),
        weight_bytes=_whole(document["weight_bytes"], 0, 2**50),
    )
    file = f"exits/{about.layer:04}.safetensors"
    return ExitEntry(about=about, weights=dict(_weight(one, file) for one in document["weights"]))


def _tensor(document: dict[str, Any]) -> TensorSpec:
    name, shape, dtype = _measured(document)
    varies = tuple(_whole(dim, 0, len(shape) - 1) for dim in document["varies"])
    size = _whole(document["bytes"], 0, 2**50)
    return TensorSpec(name=name, shape=shape, dtype=dtype, bytes=size, varies=varies)


def _weight(document: dict[str, Any], file: Any) -> tuple[str, WeightSpec]:
    name, shape, dtype = _measured(document)
    return name, WeightSpec(file=str(file), shape=shape, dtype=dtype)


def _measured(document: Mapping[str, Any]) -> tuple[str, tuple[int, ...], str]:
    """Name, shape and type of one tensor."""
    shape = tuple(document["shape"])
    if len(shape) > 16 or not all(type(size) is int and 0 <= size < 2**40 for size in shape):
        raise ValueError("a shape makes no sense")
    dtype = document["dtype"]
    if not isinstance(dtype, str) or not _DTYPE.fullmatch(dtype):
        raise ValueError(f"{dtype!r:.60} is no type")
    return str(document["name"]), shape, dtype


def _labels(document: Any) -> tuple[str, ...]:
    if not isinstance(document, list) or len(document) > MOST_LABELS:
        raise ValueError(f"labels are a list of at most {MOST_LABELS}")
    for one in document:
        if not isinstance(one, str) or len(one) > LONGEST_LABEL:
            raise ValueError(f"{one!r:.60} is no label")
    return tuple(document)


def _temperature(document: Any) -> float:
    if type(document) not in (int, float) or not _TEMPERATURES[0] <= document <= _TEMPERATURES[1]:
        raise ValueError(f"{document!r:.60} is no temperature")
    return float(document)


def _whole(document: Any, low: int, high: int) -> int:
    if type(document) is not int or not low <= document <= high:
        raise ValueError(f"{document!r:.60} is no whole number from {low} to {high}")
    return document
