"""Files of arrays: written whole or not at all, read without executing anything and within limits."""

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierline_cartography.errors import RecordError

MAX_BYTES = 2 * 2**30  # of all arrays of one file, unpacked
VERSION = 1

Arrays = Mapping[str, NDArray[Any]]


def write_arrays(path: Path, arrays: Arrays, document: Mapping[str, Any]) -> None:
    """Write named arrays and a JSON document as one `.npz`, replacing what is there in one step."""
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    text = json.dumps({"version": VERSION, **document}, sort_keys=True)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            told = np.frombuffer(text.encode(), dtype=np.uint8)
            np.savez_compressed(file, allow_pickle=False, document=told, **dict(arrays))
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise RecordError(
            f"cannot write {path} ({error.strerror or error}); nothing half-written is left"
        ) from error


def read_arrays(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """The arrays and the document; raises RecordError for what `write_arrays` would not have written."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MAX_BYTES:
            raise RecordError(f"{path} unpacks to {size} bytes; at most {MAX_BYTES} are read")
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        document = json.loads(arrays.pop("document").tobytes().decode())
    except FileNotFoundError as error:
        raise RecordError(f"there is no {path}; `tierline train` writes it") from error
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise RecordError(f"{path} holds no records ({error}); make it again") from error
    if not isinstance(document, dict) or document.get("version") != VERSION:
        raise RecordError(f"{path} is of another version; this release reads version {VERSION}")
    return arrays, document
