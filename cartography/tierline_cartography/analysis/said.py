"""What the exits say of held-out samples, calibrated: confidence, prediction, right or wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierline_cartography.records import Part, Records

Float = NDArray[np.floating[Any]]
Places = NDArray[np.intp]
"""(S, N): by seed and sample, the place among the exits of the one that answers."""

COLDEST, WARMEST = 0.05, 20.0
UNLABELLED = -1  # in place of a label that nobody gave
WORD = 0.9  # how much the last exit's own word counts, beside the labels


@dataclass(frozen=True)
class Said:
    """N samples, X exits, S seeds, C classes."""

    exits: tuple[int, ...]
    labels: NDArray[np.int64]  # (N,), UNLABELLED where there is none
    probabilities: Float  # (S, X, N, C), calibrated
    embedding: Float | None = None  # (N, Q), known before layer 1
    hidden: Float | None = None  # (S, X, N, P), known at each exit
    rival_right: NDArray[np.bool_] | None = None  # (R, N), of R single-exit fine-tunes
    rival_places: tuple[int, ...] = ()  # (R,), of which seeds these are

    @cached_property
    def confidence(self) -> Float:
        """(S, X, N): the probability of the likeliest class."""
        found: Float = self.probabilities.max(-1)
        return found

    @cached_property
    def entropy(self) -> Float:
        """(S, X, N), in nats."""
        found: Float = -(self.probabilities * np.log(np.maximum(self.probabilities, 1e-12))).sum(-1)
        return found

    @cached_property
    def prediction(self) -> NDArray[np.intp]:
        """(S, X, N)."""
        found: NDArray[np.intp] = self.probabilities.argmax(-1)
        return found

    @cached_property
    def held(self) -> Float:
        """(S, X, N): how probable the last exit holds each answer to be."""
        last = np.broadcast_to(self.probabilities[:, -1:], self.probabilities.shape)
        found: Float = np.take_along_axis(last, self.prediction[..., None], -1)[..., 0]
        return found

    @cached_property
    def right(self) -> Float:
        """(S, X, N): 1 or 0; without a label how probably, the last exit taken at its word."""
        known = self.labels != UNLABELLED
        found: Float = np.where(known, self.prediction == self.labels, self.held)
        return found

    @property
    def layers(self) -> Float:
        """(X,)."""
        return np.array(self.exits, dtype=np.float64)

    def right_at(self, chosen: Places) -> Float:
        """(S, N), 1 where the exit chosen is right; see `right`."""
        return np.take_along_axis(self.right, chosen[:, None], 1)[:, 0]

    @cached_property
    def worth(self) -> Float:
        """(S, X, N): how probably each answer is right, by labels and the last exit's word; see `blend`."""
        return blend(self.right, self.held)

    def expected_at(self, chosen: Places) -> Float:
        """(S, N): how probably the exit chosen is right.

        Unlike counts of right answers it varies little from one lot of samples to the next, so that what was
        chosen by it does not look good by luck.
        """
        return np.take_along_axis(self.worth, chosen[:, None], 1)[:, 0]

    def only(self, rows: NDArray[Any]) -> "Said":
        """Some of the samples."""
        return Said(
            self.exits,
            self.labels[rows],
            self.probabilities[:, :, rows],
            None if self.embedding is None else self.embedding[rows],
            None if self.hidden is None else self.hidden[:, :, rows],
            None if self.rival_right is None else self.rival_right[:, rows],
            self.rival_places,
        )


def blend(told: Float, held: Float) -> Float:
    """What labels tell of samples, and what the last exit holds of them, as one.

    The last exit's calibrated word varies several times less from sample to sample.
    """
    found: Float = WORD * held + (1 - WORD) * told
    return found


def fit_temperature(logits: Float, labels: NDArray[np.int64]) -> float:
    """The temperature that makes the true classes (N,) likeliest under logits (N, C); Guo et al., ICML 2017.

    The loss falls, then rises along it, so that a third of the interval can be ruled out at a time.
    """
    low, high = np.log(COLDEST), np.log(WARMEST)
    for _ in range(60):
        third = (high - low) / 3
        if _loss(logits, labels, low + third) < _loss(logits, labels, high - third):
            high -= third
        else:
            low += third
    return float(np.exp((low + high) / 2))


def softmax(logits: Float) -> Float:
    """Along the last axis."""
    odds = np.exp(logits - logits.max(-1, keepdims=True))
    found: Float = odds / odds.sum(-1, keepdims=True)
    return found


def temperatures(records: Records, exits: Sequence[int]) -> Float:
    """(S, X), fitted on validation."""
    part, places = records.validation, records.places(tuple(exits))
    return np.array([[fit_temperature(seed[place], part.labels) for place in places] for seed in part.logits])


def said_of(records: Records, part: Part, exits: Sequence[int], scale: Float) -> Said:
    """What these exits say of a part, their logits divided by temperatures (S, X)."""
    places = records.places(tuple(exits))
    logits = part.logits[:, places] / scale[:, :, None, None]
    hidden = None if part.hidden is None else part.hidden[:, places]
    rival = None if part.rival is None else part.rival.argmax(-1) == part.labels
    seeds = tuple(records.seeds.index(one) for one in records.rival_seeds)
    return Said(tuple(exits), part.labels, softmax(logits), part.embedding, hidden, rival, seeds)


def sides(records: Records, exits: tuple[int, ...]) -> tuple[Said, Said]:
    """Validation and test, calibrated on validation."""
    scale = temperatures(records, exits)
    validation = said_of(records, records.validation, exits, scale)
    return validation, said_of(records, records.test, exits, scale)


def calibration_error(said: Said, *, bins: int = 10) -> Float:
    """(S, X): how far confidence and accuracy are apart, over bins of equal width."""
    index = np.minimum((said.confidence * bins).astype(int), bins - 1)
    gaps = said.confidence - said.right
    within = np.stack([np.abs(np.where(index == one, gaps, 0).sum(-1)) for one in range(bins)])
    found: Float = within.sum(0) / len(said.labels)
    return found


def _loss(logits: Float, labels: NDArray[np.int64], log_temperature: float) -> float:
    scaled = logits / np.exp(log_temperature)
    top = scaled.max(-1)
    total = top + np.log(np.exp(scaled - top[:, None]).sum(-1))
    return float((total - scaled[np.arange(len(labels)), labels]).mean())
