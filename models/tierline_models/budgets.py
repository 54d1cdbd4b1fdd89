"""Error budgets: how far coding may take a split point's activations before answers change, measured."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from tierline_models.arrays import Array
from tierline_models.bundle import Sample
from tierline_models.codings import CodecReport, PointBudget
from tierline_models.errors import InputError
from tierline_models.segmented import Carried, SegmentedModel

Coder = Callable[[Array], tuple[Array, int]]
"""An activation to what a receiver makes of it, and the bytes of the frame between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What coding may do to the answers of the exits after a split point, at the worst of them.

    Attributes:
        changed: share of the labels that may change, held with `confidence` (one-sided, Clopper-Pearson).
        lost: share of accuracy that may be lost on these samples; only where they have true labels.
        confidence: of the bound on `changed`.
    """

    changed: float = 0.01
    lost: float | None = 0.002
    confidence: float = 0.95

    def __post_init__(self) -> None:
        """Refuse limits that make no sense.

        Raises:
            InputError: with one sentence that names the limit.
        """
        if not 0 < self.changed < 1 or not 0 < self.confidence < 1:
            raise InputError(f"a share of {self.changed:g} changed labels makes no sense; say 0.01, for 1 %")

    @property
    def least_samples(self) -> int:
        """With fewer samples not even one whose labels all stay shows anything."""
        return math.ceil(math.log(1 - self.confidence) / math.log1p(-self.changed))

    def admits(self, changes: int, losses: int, samples: int) -> bool:
        """Whether so many changed labels, and right answers lost on balance, are within the limit."""
        if self.lost is not None and losses > self.lost * samples:
            return False
        return at_most(changes, samples, self.changed) <= 1 - self.confidence


def at_most(successes: int, trials: int, chance: float) -> float:
    """The probability of so many successes or fewer in independent trials (binomial)."""
    total = 0.0
    for k in range(min(successes, trials) + 1):
        ways = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        total += math.exp(ways + k * math.log(chance) + (trials - k) * math.log1p(-chance))
    return min(1.0, total)


def activations(model: SegmentedModel, samples: Sequence[Sample]) -> dict[int, list[Array]]:
    """What leaves each block but the last, sample by sample: what channels are calibrated on.

    Where several tensors travel together there is nothing.
    """
    lone = [layer for layer in range(1, len(model.blocks)) if len(model.travelling(layer)) == 1]
    found: dict[int, list[Array]] = {layer: [] for layer in lone}
    for sample in samples:
        states = _states(model, sample)
        for layer, arrays in found.items():
            arrays.append(_array(states[layer - 1]))
    return found


def measure_budgets(
    model: SegmentedModel,
    samples: Sequence[Sample],
    coders: Mapping[int, Mapping[str, Coder]],
    limit: Limit,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[PointBudget, ...]:
    """Send every sample across every split point in every codec, and find what error leaves answers alone.

    Args:
        model: with all its blocks.
        samples: that were not trained on, at least one.
        coders: what to try, by split point and name; raw needs none, and where several tensors travel
            together nothing is tried.
        limit: what may happen to the answers.
        progress: told after each sample how many are done.

    Raises:
        InputError: so few samples cannot show that the limit is kept.
    """
    if len(samples) < limit.least_samples:
        raise InputError(
            f"{len(samples)} samples cannot show that under {limit.changed:.2%} of the labels change;"
            f" give at least {limit.least_samples}, or allow more changes"
        )
    coders = {layer: some for layer, some in coders.items() if len(model.travelling(layer)) == 1}
    tallies = {(layer, name): _Tally() for layer, some in coders.items() for name in some}
    for done, sample in enumerate(samples, start=1):
        states = _states(model, sample)
        wanted = _answers(model, states)
        for layer, some in coders.items():
            _cross(model, layer, some, states, (wanted, sample.label), tallies, limit, len(samples))
        progress(done)
    return tuple(
        _budget(layer, {name: tallies[layer, name] for name in some}, limit, len(samples))
        for layer, some in sorted(coders.items())
    )


@dataclass(slots=True)
class _Tally:
    """What one codec has done at one split point so far."""

    samples: int = 0
    error: float = 0.0
    frame_bytes: int = 0
    cosine: float = 1.0
    changes: Counter[int] = field(default_factory=Counter)  # by exit
    losses: Counter[int] = field(default_factory=Counter)

    def failed(self, limit: Limit, samples: int) -> bool:
        """Whether no further sample can bring it within the limit."""
        return not limit.admits(max(self.changes.values(), default=0), -samples, samples)

    def report(self) -> CodecReport:
        """What is told of it."""
        return CodecReport(
            error=round(self.error, 6),
            frame_bytes=round(self.frame_bytes / self.samples),
            changed=round(max(self.changes.values(), default=0) / self.samples, 6),
            lost=round(max(self.losses.values(), default=0) / self.samples, 6),
            cosine=round(self.cosine, 6),
            samples=self.samples,
        )


def _array(carried: Carried) -> Array:
    """What travels where it is one tensor."""
    return (carried if isinstance(carried, Tensor) else carried[0]).numpy()


def _states(model: SegmentedModel, sample: Sample) -> list[Carried]:
    """What leaves each block."""
    x = model.preprocess(sample.data)
    states: list[Carried] = []
    for layer in range(1, len(model.blocks) + 1):
        x = model.run(x, layer - 1, layer)
        states.append(x)
    return states


def _answers(model: SegmentedModel, states: Sequence[Carried]) -> dict[int, str]:
    return {layer: model.exit(layer, states[layer - 1]).label for layer in model.exits}


def _cross(
    model: SegmentedModel,
    layer: int,
    coders: Mapping[str, Coder],
    states: Sequence[Carried],
    truth: tuple[Mapping[int, str], str | None],
    tallies: Mapping[tuple[int, str], _Tally],
    limit: Limit,
    samples: int,
) -> None:
    """Send one sample across one split point; codecs that lose the same are computed once."""
    array = _array(states[layer - 1])
    seen: dict[bytes, tuple[dict[int, str], float]] = {}
    wanted, label = truth
    here = [tallies[layer, name] for name in coders]
    # No budget goes beyond the error of a codec that failed, so what errs more already is not tried on.
    failed = min((one.error for one in here if one.failed(limit, samples)), default=math.inf)
    for name, coder in coders.items():
        tally = tallies[layer, name]
        if tally.failed(limit, samples) or tally.error > failed:
            continue
        received, size = coder(array)
        key = received.tobytes()
        if key not in seen:
            seen[key] = _onward(model, layer, torch.from_numpy(received), states[-1])
        answers, cosine = seen[key]
        tally.samples += 1
        tally.error = max(tally.error, _relative(received, array))
        tally.frame_bytes += size
        tally.cosine = min(tally.cosine, cosine)
        for leave, answer in answers.items():
            tally.changes[leave] += answer != wanted[leave]
            tally.losses[leave] += (wanted[leave] == label) - (answer == label)


def _onward(model: SegmentedModel, layer: int, x: Carried, whole: Carried) -> tuple[dict[int, str], float]:
    """The labels of the exits after a layer, and how alike the last block's activation is."""
    answers: dict[int, str] = {}
    for leave in model.exits:
        if leave > layer:
            x, layer = model.run(x, layer, leave), leave
            answers[leave] = model.exit(leave, x).label
    flat, other = _flat(x), _flat(whole)
    return answers, float(torch.nn.functional.cosine_similarity(flat, other, dim=0))


def _flat(returned: Carried) -> Tensor:
    """All values of whatever leaves a block."""
    return torch.cat([one.flatten().double() for one in tree_leaves(returned)])


def _relative(received: Array, array: Array) -> float:
    norm = float(np.linalg.norm(array.astype(np.float64)))
    return float(np.linalg.norm(received.astype(np.float64) - array)) / (norm or 1.0)


def _budget(layer: int, tallies: Mapping[str, _Tally], limit: Limit, samples: int) -> PointBudget:
    """Climb the codecs by their error as long as they keep to the limit."""
    budget = 0.0
    for tally in sorted(tallies.values(), key=lambda one: one.error):
        worst = max(tally.losses.values(), default=0)
        if not limit.admits(max(tally.changes.values(), default=0), worst, samples):
            break
        budget = tally.error
    codecs = {name: tally.report() for name, tally in sorted(tallies.items())}
    # To the same digits as the errors that are held against it.
    return PointBudget(layer=layer, error_budget=round(budget, 6), codecs=codecs)
