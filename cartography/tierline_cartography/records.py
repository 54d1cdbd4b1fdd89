"""What a task's runs left behind: enough to compute every pool, route and verdict again without training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierline_cartography.errors import RecordError
from tierline_cartography.files import read_arrays, write_arrays

Float = NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """N held-out samples and what every exit (X) of every seed (S) says of them."""

    ids: NDArray[np.uint64]  # (N,), of the normalised text
    labels: NDArray[np.int64]  # (N,)
    logits: Float  # (S, X, N, C)
    hidden: Float | None = None  # (S, X, N, P), principal components of what each exit's head sees
    embedding: Float | None = None  # (N, Q), principal components of the mean embedding, before layer 1
    rival: Float | None = None  # (R, N, C), logits of single-exit fine-tunes of R of the seeds
    answered: NDArray[np.uint8] | None = (
        None  # (S, N), after which block, by what `routes` in the document says
    )
    gain: Float | None = None  # (S, N), expected of going on from there; NaN where nothing follows

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """One task: S seeds, X exits, E epochs, C classes."""

    task: str
    classes: tuple[str, ...]
    exits: tuple[int, ...]
    seeds: tuple[int, ...]
    train_labels: NDArray[np.int64]  # (N,)
    train_true: Float  # (S, E, X, N), the probability of the true label in training
    train_correct: NDArray[np.bool_]  # (S, E, X, N)
    train_embedding: Float | None
    validation_true: Float  # (S, E, X, Nv), after each epoch
    parts: Mapping[str, Part]  # validation, test, shifted_NAME
    document: Mapping[str, Any]  # recipe, versions, what training took

    @property
    def validation(self) -> Part:
        """What thresholds and routers are fitted on."""
        return self.parts["validation"]

    @property
    def test(self) -> Part:
        """What is reported on."""
        return self.parts["test"]

    @property
    def rival_seeds(self) -> tuple[int, ...]:
        """Of which seeds there are single-exit fine-tunes; of the first ones where a file does not say."""
        test = self.parts.get("test")
        count = 0 if test is None or test.rival is None else len(test.rival)
        return tuple(map(int, self.document.get("rival_seeds", self.seeds[:count])))

    def places(self, exits: tuple[int, ...]) -> list[int]:
        """Where these exits stand among all."""
        missing = sorted(set(exits) - set(self.exits))
        if missing:
            raise RecordError(f"the records of {self.task} have exits {list(self.exits)}, not {missing}")
        return [self.exits.index(layer) for layer in exits]


def save_records(path: Path, records: Records) -> None:
    """Write one `.npz`; what training took and chose is a JSON document in it."""
    arrays: dict[str, NDArray[Any]] = {
        "train_labels": records.train_labels.astype(np.uint8),
        "train_true": _bytes(records.train_true),
        "train_correct": np.packbits(records.train_correct, axis=-1),
        "validation_true": _bytes(records.validation_true),
    }
    if records.train_embedding is not None:
        arrays["train_embedding"] = records.train_embedding.astype(np.float16)
    for name, part in records.parts.items():
        arrays |= {f"{name}/ids": part.ids, f"{name}/labels": part.labels.astype(np.uint8)}
        if part.answered is not None:
            arrays[f"{name}/answered"] = part.answered
        for field in ("logits", "hidden", "embedding", "rival", "gain"):
            if (found := getattr(part, field)) is not None:
                arrays[f"{name}/{field}"] = found.astype(np.float16)
    head = {"task": records.task, "classes": records.classes, "exits": records.exits, "seeds": records.seeds}
    write_arrays(path, arrays, {**records.document, **head})


def load_records(path: Path) -> Records:
    """Read them back; raises RecordError where shapes do not fit together or values are no numbers."""
    arrays, document = read_arrays(path)
    try:
        records = _assembled(arrays, document)
        _check(path, records)
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError(f"{path} lacks what records have ({error}); make it again") from error
    return records


def _assembled(arrays: Mapping[str, NDArray[Any]], document: Mapping[str, Any]) -> Records:
    labels = arrays["train_labels"].astype(np.int64)
    names = sorted({name.partition("/")[0] for name in arrays if "/" in name})
    return Records(
        task=str(document["task"]),
        classes=tuple(document["classes"]),
        exits=tuple(map(int, document["exits"])),
        seeds=tuple(map(int, document["seeds"])),
        train_labels=labels,
        train_true=_shares(arrays["train_true"]),
        train_correct=np.unpackbits(arrays["train_correct"], axis=-1, count=len(labels)).astype(np.bool_),
        train_embedding=_wide(arrays.get("train_embedding")),
        validation_true=_shares(arrays["validation_true"]),
        parts={name: _part(arrays, name) for name in names},
        document=document,
    )


def _part(arrays: Mapping[str, NDArray[Any]], name: str) -> Part:
    answered = arrays.get(f"{name}/answered")
    return Part(
        ids=arrays[f"{name}/ids"],
        labels=arrays[f"{name}/labels"].astype(np.int64),
        logits=arrays[f"{name}/logits"].astype(np.float64),
        hidden=_wide(arrays.get(f"{name}/hidden")),
        embedding=_wide(arrays.get(f"{name}/embedding")),
        rival=_wide(arrays.get(f"{name}/rival")),
        answered=None if answered is None else answered.astype(np.uint8),
        gain=_wide(arrays.get(f"{name}/gain")),
    )


def _bytes(probabilities: Float) -> NDArray[Any]:
    """Probabilities as 255ths: what maps and pools are made of needs no more, and it halves the file."""
    if not np.isfinite(probabilities).all():
        raise RecordError("the probabilities of training are not all numbers; these records are not written")
    return np.round(255 * probabilities.astype(np.float32)).astype(np.uint8)


def _shares(array: NDArray[Any]) -> Float:
    return array.astype(np.float32) / (255 if array.dtype == np.uint8 else 1)


def _wide(array: NDArray[Any] | None) -> Float | None:
    return None if array is None else array.astype(np.float32)


def _check(path: Path, records: Records) -> None:
    seeds, exits, classes = len(records.seeds), len(records.exits), len(records.classes)
    fits = records.train_true.shape[::2] == (seeds, exits) and {"validation", "test"} <= set(records.parts)
    fits &= records.train_true.shape == records.train_correct.shape
    for part in records.parts.values():
        fits &= (
            part.logits.shape == (seeds, exits, len(part), classes) and part.ids.shape == part.labels.shape
        )
        fits &= bool(np.isfinite(part.logits).all()) and bool((part.labels < classes).all())
        if part.rival is not None:
            fits &= part.rival.shape[1:] == (len(part), classes) and 1 <= len(part.rival) <= seeds
            fits &= bool(np.isfinite(part.rival).all())
        if part.answered is not None:
            fits &= part.gain is not None and part.answered.shape == part.gain.shape == (seeds, len(part))
            fits &= bool(np.isin(part.answered, records.exits).all())
    fits &= set(records.rival_seeds) <= set(records.seeds)
    fits &= all(
        one.rival is None or len(one.rival) == len(records.rival_seeds) for one in records.parts.values()
    )
    if not fits or not np.isfinite(records.train_true).all():
        raise RecordError(f"the arrays of {path} do not fit together; make it again")
