"""Inputs and labels as training takes them, whatever the inputs are."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tierline_cartography.data.rows import Row
from tierline_cartography.errors import DataError
from tierline_models import pretrained_tokenizer

Collate = Callable[[Sequence[Any]], tuple[Tensor, ...]]
"""Inputs of one batch to what the model is called with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """N inputs, their classes, and how probable each class is held to be."""

    inputs: Sequence[Any]
    labels: NDArray[np.int64]  # (N,)
    targets: NDArray[np.float32]  # (N, C), rows sum to 1
    collate: Collate
    lengths: NDArray[np.int64]  # (N,), by which batches are made alike

    def __len__(self) -> int:
        return len(self.inputs)


def examples_of(pairs: Iterable[tuple[Tensor, int]], *, classes: int) -> Examples:
    """Any iterable of inputs of equal shape, without a batch dimension, and their classes.

    Raises DataError for labels out of range, unequal shapes, values that are no numbers.
    """
    listed = list(pairs)
    for number, (one, label) in enumerate(listed, 1):
        if one.shape != listed[0][0].shape:
            raise DataError(f"input {number} is {tuple(one.shape)}, the first {tuple(listed[0][0].shape)}")
        if one.is_floating_point() and not bool(torch.isfinite(one).all()):
            raise DataError(f"input {number} holds values that are not finite")
        if not 0 <= int(label) < classes:
            raise DataError(f"input {number} has the label {label}; there are classes 0 to {classes - 1}")
    labels = np.array([int(label) for _, label in listed], dtype=np.int64)
    if len(np.unique(labels)) < 2:
        raise DataError("all inputs are of one class; nothing can be learned from them")
    return Examples(
        inputs=[one for one, _ in listed],
        labels=labels,
        targets=np.eye(classes, dtype=np.float32)[labels],
        collate=lambda some: (torch.stack(list(some)),),
        lengths=np.zeros(len(listed), dtype=np.int64),
    )


def text_examples(rows: Sequence[Row], *, classes: int) -> Examples:
    """Texts as word pieces of the encoder; a pair is one sequence with the mark [SEP] between."""
    tokenizer = pretrained_tokenizer()
    encoded = tokenizer.encode_batch([(row.text, row.pair) if row.pair else row.text for row in rows])
    ids = [tuple(one.ids) for one in encoded]
    labels = np.array([row.label for row in rows], dtype=np.int64)
    targets = np.eye(classes, dtype=np.float32)[labels]
    for number, row in enumerate(rows):
        if row.soft is not None:
            targets[number] = (1 - row.soft, row.soft)
    lengths = np.array([len(one) for one in ids], dtype=np.int64)
    return Examples(inputs=ids, labels=labels, targets=targets, collate=padded, lengths=lengths)


def padded(batch: Sequence[tuple[int, ...]]) -> tuple[Tensor, Tensor]:
    """Word pieces (B, T) and where they are (B, T)."""
    longest = max(map(len, batch))
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    for number, one in enumerate(batch):
        ids[number, : len(one)] = torch.tensor(one)
    lengths = torch.tensor([len(one) for one in batch])
    return ids, torch.arange(longest)[None] < lengths[:, None]


def batches(examples: Examples, size: int, seed: tuple[int, int]) -> list[NDArray[np.int64]]:
    """Places of every example, in batches of about equal length, in an order that the seed fixes.

    Sorting inside chunks of fifty batches saves most of the padding and leaves batches mixed.
    """
    order = np.random.default_rng(seed)
    shuffled = order.permutation(len(examples))
    dealt: list[NDArray[np.int64]] = []
    for start in range(0, len(shuffled), 50 * size):
        chunk = shuffled[start : start + 50 * size]
        alike = chunk[np.argsort(examples.lengths[chunk], kind="stable")]
        dealt += [alike[i : i + size] for i in range(0, len(alike), size)]
    return [dealt[place] for place in order.permutation(len(dealt))]
