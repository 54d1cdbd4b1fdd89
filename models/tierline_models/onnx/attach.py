"""Put every block and exit of a bundle beside its weights as ONNX."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tierline_models.errors import BundleError
from tierline_models.graphs.build import Range
from tierline_models.graphs.files import Files, WeightSpec
from tierline_models.graphs.load import follow, load
from tierline_models.graphs.manifest import read_manifest
from tierline_models.graphs.points import TensorSpec
from tierline_models.graphs.program import Program
from tierline_models.graphs.save import attach
from tierline_models.graphs.source import GraphSource
from tierline_models.onnx.about import ABOUT, about_to_json
from tierline_models.onnx.places import Places
from tierline_models.onnx.write import to_onnx
from tierline_models.saved import about_saved


def attach_onnx(folder: str | Path) -> None:
    """Write `blocks/0001.onnx`, … and `exits/0002.onnx`, … into a bundle; its digest stays what it is.

    Each is a few kB: weights stay in the safetensors files beside them, which it names as external data.

    Raises:
        BundleError: there is no whole bundle, or no room.
        SplitError: an operator of the model has no ONNX here.
    """
    folder = Path(folder)
    manifest, cut = read_manifest(folder), load(folder)
    if not isinstance(cut.source, GraphSource):
        raise BundleError(f"{folder} holds no graph")
    listed = Files(folder, manifest.files, manifest.beside)
    source = cut.source
    blocks = {
        f"blocks/{layer:04}.onnx": source.range(layer - 1, layer) for layer in range(1, source.blocks + 1)
    }
    written = _write(listed, manifest.weights, source.program, manifest.inputs, blocks)
    for entry, leave in zip(manifest.exits, cut.exit_graphs, strict=True):
        tensors = manifest.points[entry.about.layer - 1].tensors
        part = {f"exits/{entry.about.layer:04}.onnx": leave.range()}
        written |= _write(listed, entry.weights, leave.program, tensors, part)
    with suppress(BundleError):  # no model of one answer: its blocks run, but nodes do not serve it
        written[ABOUT] = about_to_json(about_saved(folder))
    attach(folder, written)


def _write(
    listed: Files,
    weights: Mapping[str, WeightSpec],
    program: Program,
    inputs: Sequence[TensorSpec],
    parts: Mapping[str, Range],
) -> dict[str, bytes]:
    """ONNX by file name, of ranges of one program."""
    places = Places(listed, weights)
    facts = follow(str(listed.folder), program, weights, inputs)
    return {
        name: to_onnx(part, facts, {one: places[one] for one in part.weights()}, name)
        for name, part in parts.items()
    }
