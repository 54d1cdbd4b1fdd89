"""The runs of one task, put together as its records."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tierline_cartography.data.rows import Row, Task
from tierline_cartography.data.splits import digest
from tierline_cartography.errors import RecordError
from tierline_cartography.files import read_arrays
from tierline_cartography.records import Float, Part, Records
from tierline_cartography.training.examples import text_examples
from tierline_cartography.training.run import RUN, parts_of
from tierline_models import pretrained_encoder

HIDDEN_COMPONENTS = 2  # of what a head sees; more tell no more of what depth gains, and files stay small
EMBEDDING_COMPONENTS = 32

Loaded = tuple[dict[str, NDArray[Any]], dict[str, Any]]


def gather(task: Task, folders: Sequence[Path], *, rivals: Sequence[Path] = ()) -> Records:
    """Read the runs, all of this task and with the same exits and epochs, in the order of their seeds.

    Args:
        task: that was trained on.
        folders: of the runs.
        rivals: folders of runs with the last exit alone, of some of these seeds: all-cloud is the better one.
    """
    runs, alone = _read(folders), _read(rivals)
    _check(task, [*runs, *alone])
    _check_rivals(runs, alone)
    first = runs[0][1]
    embedded = _embedded(task)
    return Records(
        task=task.name,
        classes=task.classes,
        exits=tuple(first["exits"]),
        seeds=tuple(document["recipe"]["seed"] for _, document in runs),
        train_labels=_labels(task.train),
        train_true=np.stack([arrays["train_true"] for arrays, _ in runs]),
        train_correct=np.stack(
            [
                np.unpackbits(arrays["train_correct"], axis=-1, count=len(task.train)).astype(np.bool_)
                for arrays, _ in runs
            ]
        ),
        train_embedding=embedded["train"],
        validation_true=np.stack([arrays["validation_true"] for arrays, _ in runs]),
        parts={
            name: _part(name, rows, runs, embedded, alone)
            for name, rows in parts_of(task).items()
            if name != "train"
        },
        document={
            "recipe": first["recipe"],
            "rows": first["rows"],
            "torch": first["torch"],
            "machine": first["machine"],
            "cpu_seconds": [document["cpu_seconds"] for _, document in runs],
            "seconds": [document["seconds"] for _, document in runs],
            "rival_seeds": [document["recipe"]["seed"] for _, document in alone],
            "rival_cpu_seconds": [document["cpu_seconds"] for _, document in alone],
        },
    )


def principal(features: Float, components: int, *, fitted_on: Float | None = None) -> Float:
    """The first principal components of (N, F) features, as found on those given, else on themselves."""
    known = (features if fitted_on is None else fitted_on).astype(np.float64)
    centre = known.mean(0)
    _, _, directions = np.linalg.svd(known - centre, full_matrices=False)
    projected: Float = ((features - centre) @ directions[:components].T).astype(np.float32)
    return projected


def _read(folders: Sequence[Path]) -> list[Loaded]:
    runs = [read_arrays(folder / RUN) for folder in folders]
    return sorted(runs, key=lambda run: int(run[1]["recipe"]["seed"]))


def _part(
    name: str,
    rows: Sequence[Row],
    runs: Sequence[Loaded],
    embedded: dict[str, Float],
    alone: Sequence[Loaded],
) -> Part:
    hidden = None
    if f"{name}_features" in runs[0][0]:
        hidden = np.stack(
            [
                np.stack(
                    [
                        principal(ours, HIDDEN_COMPONENTS, fitted_on=theirs)
                        for ours, theirs in zip(
                            arrays[f"{name}_features"], arrays["validation_features"], strict=True
                        )
                    ]
                )
                for arrays, _ in runs
            ]
        )
    return Part(
        ids=np.array([int(digest(row.whole), 16) for row in rows], dtype=np.uint64),
        labels=_labels(rows),
        logits=np.stack([arrays[f"{name}_logits"] for arrays, _ in runs]),
        hidden=hidden,
        embedding=embedded.get(name),
        rival=np.stack([arrays[f"{name}_logits"][-1] for arrays, _ in alone]) if alone else None,
    )


def _labels(rows: Sequence[Row]) -> NDArray[np.int64]:
    return np.array([row.label for row in rows], dtype=np.int64)


def _embedded(task: Task) -> dict[str, Float]:
    """The mean embedding of every text, which no training changes, in the main directions of train."""
    embedding, _ = pretrained_encoder()
    means: dict[str, Float] = {}
    for name, rows in parts_of(task).items():
        examples = text_examples(rows, classes=len(task.classes))
        found = []
        with torch.inference_mode():
            for start in range(0, len(rows), 256):
                ids, mask = examples.collate(examples.inputs[start : start + 256])
                weights = (mask / mask.sum(1, keepdim=True)).unsqueeze(-1)  # (B, T, 1)
                found.append((embedding(ids) * weights).sum(1))
        means[name] = torch.cat(found).numpy()
    return {
        name: principal(some, EMBEDDING_COMPONENTS, fitted_on=means["train"]) for name, some in means.items()
    }


def _check(task: Task, runs: Sequence[Loaded]) -> None:
    rows = {part: len(some) for part, some in parts_of(task).items()}
    for _, document in runs:
        if document["task"] != task.name or document["rows"] != rows:
            raise RecordError(
                f"a run of {document['task']} with rows {document['rows']} does not belong with {task.name}, "
                f"which has {rows}; give runs of the same task and rows"
            )


def _check_rivals(runs: Sequence[Loaded], alone: Sequence[Loaded]) -> None:
    """Runs are alike but for their seeds; those they are compared with, but for their exits too."""
    different = {"seed": None}
    kinds = {json.dumps([one["exits"], one["recipe"] | different]) for _, one in runs}
    recipes = {json.dumps(one["recipe"] | different) for _, one in (*runs, *alone)}
    seeds = [one["recipe"]["seed"] for _, one in runs]
    theirs = [one["recipe"]["seed"] for _, one in alone]
    if len(kinds) > 1 or len(recipes) > 1 or not set(theirs) <= set(seeds):
        raise RecordError(
            f"runs of different exits, recipes or seeds ({seeds}; alone {theirs}) do not belong together; "
            "train all with one command, in a folder of their own"
        )
