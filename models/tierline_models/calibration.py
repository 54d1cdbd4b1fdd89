"""Making an exit's confidence mean what it says: of answers given with 0.8, eight in ten are right."""

import math

import torch
from torch import Tensor
from torch.nn import functional

COLDEST, WARMEST = 0.05, 20.0


def fit_temperature(logits: Tensor, truth: Tensor) -> float:
    """The temperature that makes the true classes likeliest.

    Along the temperature the loss falls, then rises, so a third of the interval can be ruled out at a time.

    Args:
        logits: (samples, classes) of data that was not trained on.
        truth: (samples,) class numbers.
    """
    low, high = math.log(COLDEST), math.log(WARMEST)
    for _ in range(60):
        third = (high - low) / 3
        if _loss(logits, truth, low + third) < _loss(logits, truth, high - third):
            high -= third
        else:
            low += third
    return round(math.exp((low + high) / 2), 4)


def calibration_error(confidence: Tensor, correct: Tensor, bins: int = 10) -> float:
    """The expected calibration error: how far confidence and accuracy are apart, over bins of equal width."""
    index = (confidence * bins).long().clamp(max=bins - 1)
    gaps = torch.zeros(bins, dtype=torch.double).index_add(0, index, confidence.double() - correct.double())
    return float(gaps.abs().sum() / len(confidence))


def _loss(logits: Tensor, truth: Tensor, log_temperature: float) -> float:
    return float(functional.cross_entropy(logits.double() / math.exp(log_temperature), truth))
