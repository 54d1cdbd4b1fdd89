"""How fast this machine runs a model, block by block."""

import statistics
import time
from dataclasses import dataclass

from tierline_models.served import ServedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelProfile:
    """Median seconds on this machine, for one sample of typical size."""

    block_seconds: tuple[float, ...]  # one per block; the first includes the embedding or stem
    exit_seconds: float  # of one exit, mean over the exits
    preprocess_seconds: float  # raw input to tensor
    runs: int  # how many passes it stands on
    scaled_by: float | None = None  # this machine's seconds over those of a shipped profile, if it is one


def profile_model(model: ServedModel, example: bytes, *, budget_seconds: float = 2.0) -> ModelProfile:
    """Measure for about `budget_seconds`, at least three passes.

    Each pass runs all blocks in order, as a request does: a block timed alone in a loop keeps its weights in
    the CPU's cache and looks a quarter faster than it is.

    Args:
        model: may hold fewer blocks than its bundle.
        example: a raw input of typical size, such as `Bundle.example`.
        budget_seconds: when to stop.
    """
    passes: list[_Pass] = []
    _time_pass(model, example)  # the first pass pays for pages and kernels that later ones do not
    end = time.perf_counter() + budget_seconds
    while len(passes) < 3 or time.perf_counter() < end:
        passes.append(_time_pass(model, example))
    blocks = zip(*(one.blocks for one in passes), strict=True)
    return ModelProfile(
        block_seconds=tuple(statistics.median(seconds) for seconds in blocks),
        exit_seconds=statistics.median(one.exits for one in passes) / max(1, len(model.exits)),
        preprocess_seconds=statistics.median(one.preprocess for one in passes),
        runs=len(passes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pass:
    """Seconds of one pass."""

    preprocess: float
    blocks: list[float]
    exits: float  # all together


def _time_pass(model: ServedModel, example: bytes) -> _Pass:
    start = time.perf_counter()
    x = model.preprocess(example)
    preprocess = time.perf_counter() - start
    blocks: list[float] = []
    exits = 0.0
    for layer in range(1, len(model.blocks) + 1):
        start = time.perf_counter()
        x = model.run(x, layer - 1, layer)
        blocks.append(time.perf_counter() - start)
        if layer in model.exits:
            start = time.perf_counter()
            model.exit(layer, x)
            exits += time.perf_counter() - start
    return _Pass(preprocess=preprocess, blocks=blocks, exits=exits)
