"""The data map: every sample by the confidence and the variability that training had in its true label."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierline_cartography.analysis.said import Float
from tierline_cartography.errors import PoolError

LEAST_EPOCHS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DataMap:
    """By sample; Swayamdipta et al., Dataset Cartography, EMNLP 2020."""

    confidence: Float  # mean over epochs of the probability of the true label
    variability: Float  # its standard deviation, that of the population
    correctness: Float  # share of epochs in which the true label was the likeliest


def data_map(true: Float, correct: NDArray[Any], *, epochs: int | None = None) -> DataMap:
    """From (E, N) of one exit.

    Args:
        true: the probability of the true label.
        correct: whether it was the likeliest.
        epochs: use only the first of them; all if not given.

    Raises:
        PoolError: for fewer than five epochs, whose spread means nothing.
    """
    used = true[:epochs].astype(np.float64)
    if len(used) < LEAST_EPOCHS:
        raise PoolError(
            f"a data map needs {LEAST_EPOCHS} epochs, these are {len(used)}: the spread of fewer means "
            f"nothing; train with --epochs {LEAST_EPOCHS}"
        )
    return DataMap(
        confidence=used.mean(0),
        variability=used.std(0),
        correctness=correct[:epochs].astype(np.float64).mean(0),
    )
