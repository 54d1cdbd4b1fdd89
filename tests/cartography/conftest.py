"""Records as a model leaves them, made by lot: what depth is worth is known, so a rule can be held to it."""

import numpy as np
import pytest

from tierline_cartography import Evaluation, Part, Records, evaluate
from tierline_cartography.analysis.said import Said, said_of, temperatures

SEEDS, EPOCHS, EXITS = 5, 5, (2, 4, 6)
KINDS = {"easy": 0.72, "gains by depth": 0.18, "hard to learn": 0.10}
# By kind: the mean log odds that each exit gives to the true label. Hard ones get worse with depth.
ODDS = np.array([[3.0, 4.0, 4.5], [0.1, 1.5, 2.5], [-1.6, -2.0, -2.5]])


def make_part(count: int, seed: int) -> tuple[Part, np.ndarray]:
    source = np.random.default_rng(seed)
    kinds = source.choice(3, size=count, p=list(KINDS.values()))
    labels = source.integers(0, 2, count)
    noise = 0.6 * source.normal(size=(SEEDS, 1, count)) + 0.5 * source.normal(size=(SEEDS, 3, count))
    odds = ODDS[kinds].T[None] + noise  # (S, X, N), for the true label
    towards_one = np.where(labels == 1, odds, -odds)
    logits = np.stack([-towards_one / 2, towards_one / 2], -1)
    embedding = np.stack([kinds + source.normal(size=count), source.normal(size=count)], -1)
    part = Part(
        ids=np.arange(count, dtype=np.uint64) + 1000 * seed, labels=labels, logits=logits, embedding=embedding
    )
    return part, kinds


def make_records(*, validation: int = 400, test: int = 600) -> Records:
    source = np.random.default_rng(9)
    trained, kinds = make_part(2000, 1)
    true = np.empty((SEEDS, EPOCHS, 3, 2000))
    for epoch in range(EPOCHS):
        odds = ODDS[kinds].T[None] * (epoch + 1) / EPOCHS + 0.4 * source.normal(size=(SEEDS, 3, 2000))
        true[:, epoch] = 1 / (1 + np.exp(-odds))
    return Records(
        task="made",
        classes=("no", "yes"),
        exits=EXITS,
        seeds=tuple(range(SEEDS)),
        train_labels=trained.labels,
        train_true=true,
        train_correct=true > 0.5,
        train_embedding=trained.embedding,
        validation_true=true[..., :validation],
        parts={"validation": make_part(validation, 2)[0], "test": make_part(test, 3)[0]},
        document={},
    )


@pytest.fixture(scope="session")
def records() -> Records:
    return make_records()


@pytest.fixture(scope="session")
def many_records() -> Records:
    return make_records(test=3000)


@pytest.fixture(scope="session")
def evaluation(records: Records) -> Evaluation:
    return evaluate(records, EXITS)


@pytest.fixture(scope="session")
def validation(records: Records) -> Said:
    return said_of(records, records.validation, EXITS, temperatures(records, EXITS))


@pytest.fixture(scope="session")
def tested(records: Records) -> Said:
    return said_of(records, records.test, EXITS, temperatures(records, EXITS))
