"""Labels where nobody knows the truth: what the unsplit model says, so that agreement stands for accuracy."""

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path

import structlog
import torch

from tierline_models.bundle import Sample
from tierline_models.fetch import cache_folder
from tierline_models.segmented import SegmentedModel

log = structlog.get_logger()


def label_by_model(model: SegmentedModel, digest: str, data: Sequence[bytes]) -> list[Sample]:
    """Run the whole model on each input and label it with the answer; kept in the cache for the next time.

    Args:
        model: with all its blocks.
        digest: of its bundle.
        data: raw inputs; one that cannot be used raises InputError.
    """
    file = cache_folder() / "agreement" / f"{_key(digest, data)}.json"
    labels = _read(file, len(data))
    if labels is None:
        log.info("samples_labelling", samples=len(data))
        labels = [_label(model, one) for one in data]
        _write(file, labels)
    return [Sample(data=one, label=label) for one, label in zip(data, labels, strict=True)]


def _label(model: SegmentedModel, data: bytes) -> str:
    last = len(model.blocks)
    return model.exit(last, model.run(model.preprocess(data), 0, last)).label


def _key(digest: str, data: Sequence[bytes]) -> str:
    """Names exactly these inputs to this model; another torch may round another way and tip a close call."""
    key = hashlib.sha256(f"{digest} {torch.__version__}".encode())
    for one in data:
        key.update(hashlib.sha256(one).digest())
    return key.hexdigest()[:32]


def _read(file: Path, count: int) -> list[str] | None:
    try:
        labels = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = isinstance(labels, list) and len(labels) == count and all(isinstance(one, str) for one in labels)
    return labels if whole else None


def _write(file: Path, labels: list[str]) -> None:
    """Keep them if there is room: a cache that cannot be written costs time and nothing else."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_suffix(f".{os.getpid()}")
        part.write_text(json.dumps(labels), encoding="utf-8")
        part.replace(file)
    except OSError as error:
        log.warning("samples_not_cached", file=str(file), reason=error.strerror)
