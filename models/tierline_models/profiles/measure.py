"""Measure what a model's blocks cost: seconds at several sizes of input, operations, bytes, memory."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from tierline_models.profiles.memory import LiveBytes
from tierline_models.profiles.records import CodecFigure, DeviceProfile, SizeProfile
from tierline_models.profiles.subject import Subject

RUNS = 20
LEAST_RUNS = 3
BUDGET_SECONDS = 2.0  # of one size; a slow model then has fewer runs
BATCHES = (1, 4, 16)
STRETCHES = (0.5, 1.0, 2.0)  # of the example's length


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockCosts:
    """What a block costs on whatever machine."""

    flops: int
    bytes: int  # of what leaves it
    memory_bytes: int  # of all activations alive while it runs, at most
    weight_bytes: int
    shapes: tuple[tuple[int, ...], ...]  # of what leaves it


Clock = Callable[[], float]
Coder = Callable[[Sequence[Tensor]], Mapping[str, CodecFigure]]
"""What each codec makes of the tensors that travel together at a split point."""


def sizes_to_measure(
    subject: Subject, batches: Sequence[int] = (), lengths: Sequence[int] = ()
) -> list[dict[str, Tensor]]:
    """Inputs of each size, the example's own first; by default of several batches and lengths."""
    own = subject.length
    if not lengths:
        lengths = [max(1, round(share * own)) for share in STRETCHES] if own else []
    wanted = [(None, None)] + [
        (batch, length)
        for batch in (batches or BATCHES if subject.batches else (None,))
        for length in (lengths if own else (None,))
    ]
    sized = [subject.sized(batch, length) for batch, length in wanted]
    return list({str([one.shape for one in inputs.values()]): inputs for inputs in sized}.values())


def measure_device(
    subject: Subject,
    sizes: Sequence[Mapping[str, Tensor]],
    *,
    code: Coder | None = None,
    runs: int = RUNS,
    done: Callable[[], None] = lambda: None,
) -> DeviceProfile:
    """Profile a model on this device.

    Args:
        subject: the model.
        sizes: inputs of each size; one that the model refuses (longer than its positions go) is left out,
            but for the first.
        code: measures the codecs, if it is given.
        runs: passes for each size, fewer where they take over BUDGET_SECONDS.
        done: called after each size, and each split point whose codecs were measured.
    """
    measured = []
    for place, inputs in enumerate(sizes):
        try:
            measured.append(_measure(subject, inputs, runs))
        except (RuntimeError, IndexError, ValueError):
            if place == 0:
                raise
        done()
    figures: dict[str, tuple[CodecFigure, ...]] = {}
    if code is not None:
        figures = _codecs(subject, code, done)
    return DeviceProfile(torch=str(torch.__version__), sizes=tuple(measured), codecs=figures)


def one_pass(
    subject: Subject, inputs: Mapping[str, Tensor], clock: Clock, until: float = float("inf")
) -> tuple[list[float], dict[int, float]]:
    """Seconds of each block, all run in order as a request does, and of each exit.

    A block timed alone in a loop keeps its weights in the CPU's cache and looks a quarter faster.

    Args:
        subject: the model.
        inputs: of one size.
        clock: seconds are by this one.
        until: on the clock of `time.perf_counter`: no block begins later, but for the first.
    """
    carried: Any = tuple(inputs.values())
    blocks: list[float] = []
    exits: dict[int, float] = {}
    with torch.no_grad():
        for layer, block in enumerate(subject.blocks, 1):
            if blocks and time.perf_counter() > until:
                break
            started = clock()
            carried = block(carried)
            blocks.append(clock() - started)
            if layer in subject.exits:
                started = clock()
                subject.exits[layer](carried)
                exits[layer] = clock() - started
    return blocks, exits


def _measure(subject: Subject, inputs: Mapping[str, Tensor], runs: int) -> SizeProfile:
    clock = device_clock(next(iter(inputs.values())).device)
    costs = block_costs(subject, inputs)  # this pass also pays for pages and kernels
    passes: list[tuple[list[float], dict[int, float]]] = []
    end = time.perf_counter() + BUDGET_SECONDS
    while len(passes) < runs and (len(passes) < LEAST_RUNS or time.perf_counter() < end):
        passes.append(one_pass(subject, inputs, clock))
    return SizeProfile(
        inputs={name: tuple(one.shape) for name, one in inputs.items()},
        flops=tuple(one.flops for one in costs),
        bytes=tuple(one.bytes for one in costs),
        memory_bytes=tuple(one.memory_bytes for one in costs),
        seconds=tuple(_rounded(blocks) for blocks, _ in passes),
        exit_seconds={layer: _rounded([exits[layer] for _, exits in passes]) for layer in subject.exits},
    )


def block_costs(subject: Subject, inputs: Mapping[str, Tensor] | None = None) -> list[BlockCosts]:
    """What each block costs wherever it runs, for these inputs, or else the example's."""
    carried: Any = tuple((inputs or subject.inputs).values())
    found = []
    with torch.no_grad(), LiveBytes() as live, FlopCounterMode(display=False) as counter:
        live.overlook([*(weight for block in subject.weights for weight in block), *subject.exit_weights])
        live.hold(carried)
        for block, weights in zip(subject.blocks, subject.weights, strict=True):
            live.begin()
            before = counter.get_total_flops()
            carried = block(carried)
            leaves = [one for one in tree_leaves(carried) if isinstance(one, Tensor)]
            found.append(
                BlockCosts(
                    flops=counter.get_total_flops() - before,
                    bytes=sum(one.nbytes for one in leaves),
                    memory_bytes=live.most,
                    weight_bytes=sum(one.nbytes for one in weights),
                    shapes=tuple(tuple(one.shape) for one in leaves),
                )
            )
    return found


def _codecs(subject: Subject, code: Coder, done: Callable[[], None]) -> dict[str, tuple[CodecFigure, ...]]:
    """Figures by codec for the example, an entry a split point."""
    carried: Any = tuple(subject.inputs.values())
    rows = []
    with torch.no_grad():
        for block in subject.blocks[:-1]:
            carried = block(carried)
            parts = carried if isinstance(carried, tuple) else (carried,)
            rows.append(code([one.detach().cpu().contiguous() for one in parts]))
            done()
    return {codec: tuple(row[codec] for row in rows) for codec in (rows[0] if rows else ())}


def device_clock(device: torch.device) -> Clock:
    """What a device's own work is timed by.

    One thread on a CPU: by its time on a core, for the time in which others held the core is not this
    device's. A GPU: by the wall, once it has done what it was told.
    """
    if device.type == "cuda":
        return lambda: _after_waiting(device)
    return time.thread_time if torch.get_num_threads() == 1 else time.perf_counter


def _after_waiting(device: torch.device) -> float:
    torch.cuda.synchronize(device)
    return time.perf_counter()


def _rounded(seconds: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(f"{one:.4g}") for one in seconds)
