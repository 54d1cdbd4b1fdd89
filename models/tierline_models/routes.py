"""The route table: what share of samples leaves at each exit, and how accurate the answers then are."""

from collections.abc import Mapping, Sequence
from itertools import combinations, combinations_with_replacement

import torch
from torch import Tensor

from tierline_models.card import RouteData

GRID = (0.99, 0.98, 0.97, 0.95, 0.93, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55)
LONGEST_CHAIN = 3  # one exit per tier


def route_table(confidence: Mapping[int, Tensor], correct: Mapping[int, Tensor]) -> tuple[RouteData, ...]:
    """Every chain of one to three exits with every useful choice of thresholds.

    Thresholds never rise along a chain: pools are bands of confidence, and a sample that would be easy at an
    early exit is not held back at a later one. Rows that another row of the same chain beats are left out.

    Args:
        confidence: (samples,) calibrated confidence by exit.
        correct: (samples,) bool by exit.
    """
    table: list[RouteData] = []
    for length in range(1, LONGEST_CHAIN + 1):
        for exits in combinations(sorted(confidence), length):
            rows = [
                _route(exits, thresholds, confidence, correct)
                for thresholds in combinations_with_replacement(GRID, length - 1)
            ]
            table += undominated(rows)
    return tuple(table)


def undominated(rows: Sequence[RouteData]) -> list[RouteData]:
    """Drop rows beaten by another that lets samples leave no later and is no less accurate."""
    kept: list[RouteData] = []
    for row in sorted(rows, key=lambda row: (row.accuracy, _gone(row)), reverse=True):
        if not any(all(a >= b for a, b in zip(_gone(other), _gone(row), strict=True)) for other in kept):
            kept.append(row)
    return kept


def _gone(row: RouteData) -> tuple[float, ...]:
    """The share of samples that have left after each exit of the chain."""
    return tuple(round(sum(row.shares[: i + 1]), 9) for i in range(len(row.shares)))


def _route(
    exits: tuple[int, ...],
    thresholds: tuple[float, ...],
    confidence: Mapping[int, Tensor],
    correct: Mapping[int, Tensor],
) -> RouteData:
    staying = torch.ones_like(correct[exits[-1]])
    shares, right = [], 0
    for layer, threshold in zip(exits, (*thresholds, 0.0), strict=True):  # all leave at the last
        leaving = staying & (confidence[layer] >= threshold)
        shares.append(int(leaving.sum()) / len(staying))
        right += int((leaving & correct[layer]).sum())
        staying &= ~leaving
    return RouteData(exits=exits, thresholds=thresholds, shares=tuple(shares), accuracy=right / len(staying))
