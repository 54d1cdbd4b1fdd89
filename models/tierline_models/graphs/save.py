"""Write a split model as a bundle: data only, one file of weights per block, all of it or nothing."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from tierline_models.errors import BundleError
from tierline_models.graphs.document import program_to_json
from tierline_models.graphs.points import SplitPoint
from tierline_models.graphs.source import GraphSource

FORMAT = 2  # of bundle.json; 1 was never written


def save_bundle(
    folder: Path,
    *,
    name: str,
    source: GraphSource,
    points: Sequence[SplitPoint],
    example: Mapping[str, Tensor],
    labels: Sequence[str],
) -> str:
    """Write the bundle and return its digest.

    Args:
        folder: must not exist, or be a bundle, which is replaced.
        name: what people call it.
        source: graph and weights.
        points: what each cut costs.
        example: inputs and outputs of the model as it was, to prove equality with anywhere.
        labels: of the classes, if it has any.
    """
    if folder.exists() and not (folder / "bundle.json").is_file():
        raise BundleError(f"{folder} exists and is no bundle; choose another place or remove it")
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        manifest = _write(draft, name, source, points, example, labels)
        _replace(draft, folder)
    except OSError as error:
        raise BundleError(f"the bundle cannot be written to {folder}: {error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return str(manifest["digest"])


def _write(
    draft: Path,
    name: str,
    source: GraphSource,
    points: Sequence[SplitPoint],
    example: Mapping[str, Tensor],
    labels: Sequence[str],
) -> dict[str, Any]:
    (draft / "blocks").mkdir()
    graph = program_to_json(source.program, source.cuts)
    (draft / "graph.json").write_text(json.dumps(graph, separators=(",", ":"), allow_nan=False))
    weights = _write_weights(draft, source)
    save_file({key: _plain(one) for key, one in example.items()}, draft / "example.safetensors")
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "blocks": source.blocks,
        "inputs": [_spec(key, example[f"in_{key}"]) for key in source.program.inputs],
        "points": [asdict(point) for point in points],
        "labels": list(labels),
        "exits": [],
        "weights": weights,
        "versions": {"torch": str(torch.__version__)},
        "files": {
            path.relative_to(draft).as_posix(): {"sha256": _sha256(path), "bytes": path.stat().st_size}
            for path in sorted(draft.rglob("*"))
            if path.is_file()
        },
    }
    manifest["digest"] = digest_of_manifest(manifest)
    (draft / "bundle.json").write_text(json.dumps(manifest, indent=1))
    return manifest


def _write_weights(draft: Path, source: GraphSource) -> list[dict[str, Any]]:
    """Each weight goes into the file of the first block that uses it."""
    written: set[str] = set()
    listed = []
    for layer in range(1, source.blocks + 1):
        names = [name for name in source.range(layer - 1, layer).weights() if name not in written]
        if not names:
            continue
        written.update(names)
        file = f"blocks/{layer:04}.safetensors"
        tensors = {name: _plain(one) for name, one in source.weights.on(source.home, names).items()}
        save_file(tensors, draft / file)
        listed += [_spec(name, one) | {"file": file} for name, one in tensors.items()]
    return listed


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True).contiguous()  # a copy: tensors that share memory are refused


def _spec(name: str, tensor: Tensor) -> dict[str, Any]:
    return {"name": name, "shape": list(tensor.shape), "dtype": str(tensor.dtype).removeprefix("torch.")}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of_manifest(manifest: Mapping[str, Any]) -> str:
    """The bundle's identity: everything in its manifest, and by their sums all its files."""
    known = {key: value for key, value in manifest.items() if key != "digest"}
    return hashlib.sha256(json.dumps(known, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _replace(draft: Path, folder: Path) -> None:
    """Put the draft where the bundle shall be; who reads sees the old one, or the new one, or none."""
    draft.chmod(0o755)
    if not folder.exists():
        draft.rename(folder)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{folder.name}-old-", dir=folder.parent))
    os.replace(folder, old)
    draft.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
