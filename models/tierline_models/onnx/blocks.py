"""The ONNX blocks and exits of a bundle, each ready to run when it is asked for; needs no torch."""

from collections.abc import Mapping
from pathlib import Path

import ml_dtypes
import numpy as np

from tierline_models.arrays import Array
from tierline_models.errors import BundleError
from tierline_models.graphs.files import Files, Memory, WeightSpec
from tierline_models.graphs.manifest import Manifest, read_manifest
from tierline_models.onnx.block import OnnxBlock
from tierline_models.onnx.check import MOST_BYTES, check_model
from tierline_models.onnx.places import Places


class OnnxBlocks:
    """Reads a bundle's ONNX; raises BundleError for what is missing, changed or hostile."""

    def __init__(self, folder: Path) -> None:
        self.manifest: Manifest = read_manifest(folder)
        self.files = Files(folder, self.manifest.files, self.manifest.beside)
        self._places = Places(self.files, self.manifest.weights)

    def block(self, layer: int) -> OnnxBlock:
        """Block `layer`, counted from 1."""
        return self._open(f"blocks/{layer:04}.onnx", self.manifest.weights, self._places)

    def exit(self, layer: int) -> OnnxBlock:
        """The early exit after block `layer`."""
        weights = next(one.weights for one in self.manifest.exits if one.about.layer == layer)
        return self._open(f"exits/{layer:04}.onnx", weights, Places(self.files, weights))

    def _open(self, name: str, specs: Mapping[str, WeightSpec], places: Places) -> OnnxBlock:
        if name not in self.files:
            raise BundleError(
                f"{self.files.folder} has no {name}; make it with `tierline bundle build --onnx`, or run the "
                "bundle with torch"
            )
        data = self.files.check(name, limit=MOST_BYTES).read_bytes()
        by_file: dict[str, dict[str, WeightSpec]] = {}
        for one in check_model(data, places.find, name):
            by_file.setdefault(specs[one].file, {})[one] = specs[one]
        read = [self.files.read(file, wanted, MEMORY) for file, wanted in by_file.items()]
        return OnnxBlock(data, {one: array for arrays in read for one, array in arrays.items()}, name)


def _empty(shape: tuple[int, ...], dtype: str) -> tuple[Array, memoryview]:
    array: Array = np.empty(shape, dtype=ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype)
    return array, array.reshape(-1).view(np.uint8).data


def _has_nan(array: Array) -> bool:
    return array.dtype.kind not in "biu" and array.size > 0 and bool(np.isnan(array.max()))


MEMORY = Memory(empty=_empty, has_nan=_has_nan)
