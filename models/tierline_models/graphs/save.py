"""Write a split model as a bundle: data only, one file of weights per block, all of it or nothing."""

import hashlib
import importlib.metadata
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from tierline_models.errors import BundleError
from tierline_models.graphs.document import program_to_json
from tierline_models.graphs.exits import ExitGraph
from tierline_models.graphs.files import BESIDE, read_json
from tierline_models.graphs.manifest import FORMAT, read_manifest, sealed
from tierline_models.graphs.points import SplitPoint, TensorSpec
from tierline_models.graphs.routes import Routes, routes_to_json
from tierline_models.graphs.source import GraphSource
from tierline_models.pieces import TextInput
from tierline_models.preprocessing import TOKENIZER, Preprocessing, preprocessing_to_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What goes into a bundle."""

    name: str
    source: GraphSource
    points: Sequence[SplitPoint]
    inputs: Sequence[TensorSpec]
    example: Mapping[str, Tensor]  # inputs, and outputs of the model as it was: proves equality anywhere
    labels: Sequence[str]
    temperature: float  # of the model's own output
    exits: Sequence[ExitGraph]
    preprocessing: Preprocessing | None
    routes: Routes | None


def save_bundle(folder: Path, contents: Contents) -> str:
    """Write the bundle and return its digest.

    Args:
        folder: must not exist, or be a bundle, which is replaced.
        contents: what goes into it.
    """
    if folder.exists() and not (folder / "bundle.json").is_file():
        raise BundleError(f"{folder} exists and is no bundle; choose another place or remove it")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            digest = _write(draft, contents)
            _replace(draft, folder)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise BundleError(f"the bundle cannot be written to {folder}: {error}") from error
    return digest


def attach(folder: str | Path, files: Mapping[str, bytes]) -> None:
    """Put files beside those of a bundle, replacing what they are called by; its digest stays what it is.

    Args:
        folder: a bundle.
        files: contents by name; which names there are says `BESIDE`.

    Raises:
        BundleError: there is no whole bundle, no such name, or no room.
    """
    folder = Path(folder)
    read_manifest(folder)
    document = read_json(folder / "bundle.json")
    for name in files:
        if not BESIDE.fullmatch(name):
            raise BundleError(f"{name!r:.80} is no file that stands beside a bundle's")
    try:
        for name, content in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            _put(folder / name, content)
            document["beside"][name] = _listed(folder / name)
        _put(folder / "bundle.json", sealed(document).encode())
    except OSError as error:
        raise BundleError(f"{folder} cannot be written to: {error}") from error


def _put(path: Path, content: bytes) -> None:
    """Write a file, or leave the one that is there."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _write(draft: Path, contents: Contents) -> str:
    source = contents.source
    (draft / "blocks").mkdir()
    _write_json(draft / "graph.json", program_to_json(source.program, source.cuts))
    manifest: dict[str, Any] = {
        "format": FORMAT,
        "name": contents.name,
        "blocks": source.blocks,
        "inputs": [asdict(one) for one in contents.inputs],
        "points": [asdict(replace(point, seconds=None)) for point in contents.points],
        "labels": list(contents.labels),
        "temperature": contents.temperature,
        "exits": [_write_exit(draft, one) for one in contents.exits],
        "preprocessing": preprocessing_to_json(contents.preprocessing),
        "weights": _write_weights(draft, source),
        "versions": _versions(),
    }
    if contents.routes is not None:
        _write_json(draft / "routes.json", routes_to_json(contents.routes))
    if isinstance(contents.preprocessing, TextInput):
        (draft / TOKENIZER).write_text(contents.preprocessing.tokenizer, encoding="utf-8")
    save_file({key: _plain(one) for key, one in contents.example.items()}, draft / "example.safetensors")
    files = [path for path in sorted(draft.rglob("*")) if path.is_file()]
    manifest["files"] = {path.relative_to(draft).as_posix(): _listed(path) for path in files}
    manifest["beside"] = {}
    (draft / "bundle.json").write_text(sealed(manifest))
    return str(manifest["digest"])


def _write_exit(draft: Path, leave: ExitGraph) -> dict[str, Any]:
    """Its graph and its weights in files of their own."""
    file = draft / f"exits/{leave.about.layer:04}"
    file.parent.mkdir(exist_ok=True)
    _write_json(file.with_suffix(".json"), program_to_json(leave.program))
    device = torch.device("cpu")
    tensors = {name: _plain(one) for name, one in leave.weights.on(device, leave.weights.names).items()}
    if tensors:
        save_file(tensors, file.with_suffix(".safetensors"))
    return asdict(leave.about) | {"weights": [_spec(name, one) for name, one in tensors.items()]}


def _write_json(path: Path, document: Any) -> None:
    path.write_text(json.dumps(document, separators=(",", ":"), allow_nan=False))


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


def _listed(path: Path) -> dict[str, Any]:
    """A file as the manifest lists it."""
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "bytes": path.stat().st_size}


def _versions() -> dict[str, str]:
    """What the bundle was made with."""
    names = ("tierline", "torch", "safetensors", "tokenizers")
    found = {"python": platform.python_version()}
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


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
