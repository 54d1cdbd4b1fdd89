"""One task with one seed: trained, asked about everything held out, written down."""

import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import save_file

from tierline_cartography.data.rows import Row, Task
from tierline_cartography.errors import RecordError, TrainingError
from tierline_cartography.files import read_arrays, write_arrays
from tierline_cartography.training.checkpoint import NAME
from tierline_cartography.training.examples import Examples, text_examples
from tierline_cartography.training.fit import Report, answer, fit
from tierline_cartography.training.networks import ExitEncoder, make_encoder
from tierline_cartography.training.recipe import Recipe

RUN = "run.npz"
WEIGHTS = "exits.safetensors"


def train_task(
    task: Task, exits: Sequence[int], recipe: Recipe, folder: Path, report: Report = lambda progress: None
) -> Path:
    """Train on a task, and write weights and what every exit said of every held-out text.

    Args:
        task: with its parts.
        exits: the layers to answer after; a part of a run's exits is a run too, as far as routing goes.
        recipe: everything that can be chosen.
        folder: of this run; a run that was killed goes on from there, one that is done is left alone.
        report: told of every step.

    Returns:
        the file of records.
    """
    path = folder / RUN
    if path.is_file():
        _check_same(path, task, exits, recipe)
        return path
    _make(folder)
    classes = len(task.classes)
    parts = {part: text_examples(rows, classes=classes) for part, rows in parts_of(task).items()}
    network = make_encoder(
        exits,
        classes,
        seed=recipe.seed,
        dropout=recipe.dropout,
        adapter=recipe.adapter,
        attentive=recipe.attentive,
    )
    started, busy = time.monotonic(), time.process_time()
    dynamics = fit(network, parts["train"], parts["validation"], recipe, folder=folder, report=report)
    took = {"seconds": time.monotonic() - started, "cpu_seconds": time.process_time() - busy}
    arrays: dict[str, NDArray[Any]] = {
        "train_true": dynamics.train,
        "train_correct": np.packbits(dynamics.train_correct, axis=-1),
        "validation_true": dynamics.validation,
        "validation_correct": np.packbits(dynamics.validation_correct, axis=-1),
    }
    for part, examples in parts.items():
        if part != "train":
            arrays |= _answered(network, examples, recipe, part)
    save_weights(network, folder)
    write_arrays(path, arrays, _document(task, network, recipe) | took)
    (folder / NAME).unlink(missing_ok=True)
    return path


def _check_same(path: Path, task: Task, exits: Sequence[int], recipe: Recipe) -> None:
    """What is done already is not done again, if it is what is asked for."""
    _, document = read_arrays(path)
    asked = {
        "task": task.name,
        "exits": list(exits),
        "recipe": recipe.as_dict(),
        "rows": {part: len(rows) for part, rows in parts_of(task).items()},
    }
    other = [name for name, one in asked.items() if document.get(name) != one]
    if other:
        raise RecordError(
            f"{path} is of a run with other {' and '.join(other)}; remove its folder or choose another --out"
        )


def _make(folder: Path) -> None:
    """Before anything is computed, not after an epoch."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecordError(f"cannot make {folder} ({error.strerror}); choose another --out") from error


def parts_of(task: Task) -> dict[str, Sequence[Row]]:
    """All parts of a task by name; other sources are called `shifted_` and theirs."""
    shifted = {f"shifted_{name}": rows for name, rows in task.shifted.items()}
    return {"train": task.train, "validation": task.validation, "test": task.test, **shifted}


def save_weights(network: ExitEncoder, folder: Path) -> None:
    """What was trained, in half precision; raises TrainingError where it cannot be written."""
    trained = {
        name: one.detach().half().cpu() for name, one in network.named_parameters() if one.requires_grad
    }
    scratch = folder / f".{WEIGHTS}"
    try:
        save_file(trained, scratch)
        scratch.replace(folder / WEIGHTS)
    except (OSError, SafetensorError) as error:
        scratch.unlink(missing_ok=True)
        raise TrainingError(
            f"cannot write the weights in {folder} ({error}); make room and run the same command again: "
            "it goes on from the last checkpoint"
        ) from error


def _answered(network: ExitEncoder, examples: Examples, recipe: Recipe, part: str) -> dict[str, NDArray[Any]]:
    said = answer(network, examples, recipe)
    arrays: dict[str, NDArray[Any]] = {f"{part}_logits": said.logits.astype(np.float16)}
    if not part.startswith("shifted_"):
        arrays[f"{part}_features"] = np.stack(said.features)  # (X, N, H)
    return arrays


def _document(task: Task, network: ExitEncoder, recipe: Recipe) -> dict[str, Any]:
    return {
        "task": task.name,
        "classes": list(task.classes),
        "exits": list(network.exits),
        "recipe": recipe.as_dict(),
        "rows": {part: len(rows) for part, rows in parts_of(task).items()},
        "torch": torch.__version__,
        "machine": platform.machine(),
    }
