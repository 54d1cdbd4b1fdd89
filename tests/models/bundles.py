"""Forging bundles: what somebody would do who may write all of a bundle's files."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tierline_models.graphs.manifest import sealed


def forge(folder: Path, change: Callable[[Any], Any]) -> None:
    """Change the manifest and give it the digests of what it then says, as a forger would."""
    manifest = json.loads((folder / "bundle.json").read_text())
    change(manifest)
    (folder / "bundle.json").write_text(sealed(manifest))


def reseal(folder: Path) -> None:
    """Give all files the sums of what they hold now."""

    def update(manifest: Any) -> None:
        for name, listed in (manifest["files"] | manifest["beside"]).items():
            data = (folder / name).read_bytes()
            listed.update(sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))

    forge(folder, update)


def edit_json(path: Path, change: Callable[[Any], Any]) -> None:
    """Change a JSON file of a bundle, which is to be resealed."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
