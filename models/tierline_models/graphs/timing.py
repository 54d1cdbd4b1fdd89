"""How long each block of a split model takes on this machine."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

RUNS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockSeconds:
    """One block's time, with all blocks run in order as a request does."""

    median: float
    p95: float


def time_blocks(
    blocks: Sequence[nn.Module], inputs: tuple[Tensor, ...], *, runs: int = RUNS
) -> tuple[BlockSeconds, ...]:
    """Seconds per block for these inputs, after one run that is not counted."""
    passes = [_one_pass(blocks, inputs) for _ in range(runs + 1)][1:]
    return tuple(_block_seconds(times) for times in zip(*passes, strict=True))


def _one_pass(blocks: Sequence[nn.Module], inputs: tuple[Tensor, ...]) -> list[float]:
    carried: Any = inputs
    seconds = []
    with torch.no_grad():
        for block in blocks:
            started = time.perf_counter()
            carried = block(carried)
            seconds.append(time.perf_counter() - started)
    return seconds


def _block_seconds(times: Sequence[float]) -> BlockSeconds:
    ordered = sorted(times)
    return BlockSeconds(median=statistics.median(ordered), p95=ordered[round(0.95 * (len(ordered) - 1))])
