"""Training the text workload's exits: adapters in all blocks and a head at each exit, jointly."""

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tierline_models.heads import TokenHead
from tierline_models.lora import adapt
from tierline_models.minilm import HIDDEN, Block, Embedding

Report = Callable[[int, int, float], None]
"""`(step, steps, mean loss of late)`, called now and then."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What decides the outcome, besides the data."""

    seed: int = 0
    epochs: int = 4
    batch: int = 32
    peak_rate: float = 1e-3  # of AdamW
    warm_share: float = 0.1  # of the steps, before the rate falls linearly to 0
    decay: float = 0.01
    clip: float = 1.0


@dataclass(frozen=True, slots=True)
class Example:
    """One text as word pieces, and how probable each class is held to be."""

    ids: tuple[int, ...]
    target: tuple[float, ...]  # sums to 1


class ExitStack(nn.Module):
    """An encoder with adapters and heads, run on batches of texts of unequal length."""

    def __init__(
        self, embedding: Embedding, blocks: Sequence[Block], exits: Sequence[int], classes: int
    ) -> None:
        super().__init__()
        self.embedding = embedding.requires_grad_(False)
        self.blocks = nn.ModuleList(blocks)
        adapt(self.blocks)
        self.heads = nn.ModuleDict({str(layer): TokenHead(HIDDEN, classes) for layer in exits})

    def forward(self, ids: Tensor, mask: Tensor) -> list[Tensor]:
        """(B, T) and where there are word pieces (B, T) to logits (B, classes), one entry per exit."""
        x = self.embedding(ids)
        found: list[Tensor] = []
        for layer, block in enumerate(self.blocks, 1):
            x = block(x, mask[:, None, None, :])
            if str(layer) in self.heads:
                found.append(self.heads[str(layer)](x.float(), mask.float()))
        return found


def train(stack: ExitStack, examples: Sequence[Example], settings: Settings, report: Report) -> None:
    """Minimise the sum of the exits' cross-entropies; the same seed and machine give the same weights."""
    parameters = [parameter for parameter in stack.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(parameters, lr=settings.peak_rate, weight_decay=settings.decay)
    steps = settings.epochs * math.ceil(len(examples) / settings.batch)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _slope(steps, settings.warm_share))
    order = random.Random(settings.seed)
    step, late = 0, 0.0
    for _ in range(settings.epochs):
        for batch in batches(examples, settings.batch, order):
            loss = _loss(stack, batch)
            optimiser.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(parameters, settings.clip)
            optimiser.step()
            schedule.step()
            step += 1
            late += loss.item() / 50
            if step % 50 == 0:
                report(step, steps, late)
                late = 0.0


def batches(examples: Sequence[Example], size: int, order: random.Random) -> list[list[Example]]:
    """Deal the examples into batches of about equal length, in random order.

    Sorting by length inside chunks of fifty batches saves most of the padding and leaves batches mixed.
    """
    shuffled = order.sample(examples, len(examples))
    chunk = 50 * size
    dealt: list[list[Example]] = []
    for start in range(0, len(shuffled), chunk):
        alike = sorted(shuffled[start : start + chunk], key=lambda example: len(example.ids))
        dealt += [alike[i : i + size] for i in range(0, len(alike), size)]
    order.shuffle(dealt)
    return dealt


def _loss(stack: ExitStack, batch: Sequence[Example]) -> Tensor:
    longest = max(len(example.ids) for example in batch)
    ids = torch.zeros(len(batch), longest, dtype=torch.long)
    mask = torch.zeros(len(batch), longest, dtype=torch.bool)
    for row, example in enumerate(batch):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        mask[row, : len(example.ids)] = True
    target = torch.tensor([example.target for example in batch])
    with torch.autocast("cpu", torch.bfloat16):  # a third of the time of float32, where the CPU has it
        logits = stack(ids, mask)
    return torch.stack([functional.cross_entropy(each.float(), target) for each in logits]).sum()


def _slope(steps: int, warm_share: float) -> Callable[[int], float]:
    warm = max(1, round(steps * warm_share))

    def factor(step: int) -> float:
        return (step + 1) / warm if step < warm else (steps - step) / max(1, steps - warm)

    return factor
