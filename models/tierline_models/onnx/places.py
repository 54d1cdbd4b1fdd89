"""Where a bundle's weights lie, as the ONNX files beside them say it; needs no torch."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from tierline_models.errors import BundleError
from tierline_models.graphs.files import Files, WeightSpec
from tierline_models.onnx.check import Stored


class Places:
    """The weights of a bundle's blocks, or of one of its exits; files are looked into when asked for."""

    def __init__(self, files: Files, specs: Mapping[str, WeightSpec]) -> None:
        self._files = files
        self._specs = specs
        self._found: dict[str, dict[str, Stored]] = {}

    def find(self, name: str) -> Stored | None:
        """Where a weight is; None where the bundle has none of this name. Raises BundleError."""
        spec = self._specs.get(name)
        return None if spec is None else self._in(spec.file).get(name)

    def __getitem__(self, name: str) -> Stored:
        """Where a weight is."""
        found = self.find(name)
        if found is None:
            raise BundleError(f"the bundle has no weight {name}")
        return found

    def _in(self, file: str) -> dict[str, Stored]:
        if file not in self._found:
            self._found[file] = {
                name: Stored(
                    file=PurePosixPath(file).name,
                    offset=place.begin,
                    shape=place.shape,
                    dtype=place.dtype,
                    bytes=place.end - place.begin,
                )
                for name, place in self._files.places(file).items()
            }
        return self._found[file]
