"""The training loop: joint, seeded, resumable after a kill, with each sample's fate written down."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from tierline_cartography.errors import TrainingError
from tierline_cartography.training.checkpoint import (
    Checkpoint,
    identity_of,
    optimiser_tensors,
    read_checkpoint,
    restore_optimiser,
    write_checkpoint,
)
from tierline_cartography.training.examples import Examples, batches
from tierline_cartography.training.loss import joint_loss
from tierline_cartography.training.networks import ExitNetwork
from tierline_cartography.training.recipe import Recipe

CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run stands."""

    step: int
    steps: int
    loss: float  # of the step
    seconds_left: float


Report = Callable[[Progress], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dynamics:
    """The probability of the true label, by epoch (E), exit (X) and sample (N).

    In training as the loss saw it, dropout included, as in Swayamdipta et al., EMNLP 2020; of validation at
    the end of each epoch. `correct` says whether the true label was the likeliest.
    """

    train: NDArray[np.float16]  # (E, X, N)
    train_correct: NDArray[np.bool_]  # (E, X, N)
    validation: NDArray[np.float16]  # (E, X, Nv)
    validation_correct: NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """What every exit says of N samples: logits (X, N, C), and the features (X, N, F) they are made of."""

    logits: NDArray[np.float32]
    features: tuple[NDArray[np.float16], ...]  # per exit (N, F)


@dataclass(slots=True)
class _Run:
    """The state of one run; `tensors` and `restore` move it to disk and back."""

    network: ExitNetwork
    optimiser: torch.optim.Optimizer
    tables: dict[str, Tensor]
    device: torch.device
    recipe: Recipe
    step: int = 0

    def tensors(self) -> dict[str, Tensor]:
        trained = {
            f"model.{name}": one.detach()
            for name, one in self.network.named_parameters()
            if one.requires_grad
        }
        state = {f"optimiser.{name}": one for name, one in optimiser_tensors(self.optimiser).items()}
        tables = {f"table.{name}": one for name, one in self.tables.items()}
        return trained | state | tables | {"random": torch.get_rng_state()}

    def restore(self, checkpoint: Checkpoint) -> None:
        kept = checkpoint.tensors
        with torch.no_grad():
            for name, one in self.network.named_parameters():
                if one.requires_grad:
                    one.copy_(kept[f"model.{name}"])
        restore_optimiser(self.optimiser, _under("optimiser.", kept))
        for name, table in self.tables.items():
            table.copy_(kept[f"table.{name}"])
        torch.set_rng_state(kept["random"])
        self.step = checkpoint.step


def fit(
    network: ExitNetwork,
    train: Examples,
    validation: Examples,
    recipe: Recipe,
    *,
    folder: Path | None = None,
    report: Report = lambda progress: None,
    checkpoint_seconds: float = CHECKPOINT_SECONDS,
) -> Dynamics:
    """Fine-tune all exits, in place, and return what became of every sample.

    Args:
        network: with exits.
        train: what to learn from.
        validation: looked at after each epoch, not learned from.
        recipe: everything that can be chosen.
        folder: keeps a checkpoint; the same call goes on from it after a kill.
        report: told of every step.
        checkpoint_seconds: between two checkpoints; there is one after each epoch too.

    Raises:
        TrainingError: the loss is no number any more, or the folder cannot be written.
        RecordError: the folder holds another run.
    """
    torch.set_num_threads(1)  # two are slower than one as soon as anything else runs on two cores
    run = _prepare(network, train, validation, recipe)
    identity = identity_of(recipe.as_dict(), network.exits, train.labels.tolist(), train.lengths.tolist())
    if folder is not None and (found := read_checkpoint(folder, identity)) is not None:
        run.restore(found)
    steps = recipe.epochs * math.ceil(len(train) / recipe.batch)
    started, first, saved = time.monotonic(), run.step, time.monotonic()
    for epoch in range(recipe.epochs):
        dealt = batches(train, recipe.batch, (recipe.seed, epoch))
        for place, chosen in enumerate(dealt):
            if epoch * len(dealt) + place < run.step:
                continue
            loss = _learn(run, train, chosen, recipe, epoch, steps)
            took = time.monotonic() - started
            report(Progress(run.step, steps, loss, took / (run.step - first) * (steps - run.step)))
            ended = place == len(dealt) - 1
            if ended:
                _look(run, validation, epoch)
            if folder is not None and (ended or time.monotonic() - saved > checkpoint_seconds):
                write_checkpoint(folder, Checkpoint(run.step, identity, run.tensors()))
                saved = time.monotonic()
    network.eval()
    return Dynamics(**{name: table.numpy() for name, table in run.tables.items()})


def answer(network: ExitNetwork, examples: Examples, recipe: Recipe, *, batch: int = 64) -> Answers:
    """What every exit says of every example, nothing learned."""
    network.eval()
    device = next(network.parameters()).device
    order = np.argsort(examples.lengths, kind="stable")
    logits: list[Tensor] = []
    features: list[list[Tensor]] = []
    with torch.inference_mode(), _arithmetic(recipe, device):
        for start in range(0, len(order), batch):
            some = examples.collate([examples.inputs[i] for i in order[start : start + batch]])
            said, seen = network(*(one.to(device) for one in some))
            logits.append(torch.stack([one.float().cpu() for one in said]))  # (X, B, C)
            features.append([one.half().cpu() for one in seen])
    back = np.argsort(order, kind="stable")
    return Answers(
        logits=torch.cat(logits, 1).numpy()[:, back],
        features=tuple(torch.cat(part).numpy()[back] for part in zip(*features, strict=True)),
    )


def _prepare(network: ExitNetwork, train: Examples, validation: Examples, recipe: Recipe) -> _Run:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network.to(device).train()
    torch.manual_seed(recipe.seed)
    fresh = network.new()
    known = {id(one) for one in fresh}
    body = [one for one in network.parameters() if one.requires_grad and id(one) not in known]
    groups = [
        {"params": some, "lr": rate, "peak": rate}
        for some, rate in ((body, recipe.rate), (fresh, recipe.head_rate))
        if some
    ]
    optimiser = torch.optim.AdamW(groups, weight_decay=recipe.decay, fused=True)
    shape = (recipe.epochs, len(network.exits))
    tables = {
        "train": torch.zeros(*shape, len(train), dtype=torch.float16),
        "train_correct": torch.zeros(*shape, len(train), dtype=torch.bool),
        "validation": torch.zeros(*shape, len(validation), dtype=torch.float16),
        "validation_correct": torch.zeros(*shape, len(validation), dtype=torch.bool),
    }
    return _Run(network, optimiser, tables, device, recipe)


def _learn(
    run: _Run, train: Examples, chosen: NDArray[np.int64], recipe: Recipe, epoch: int, steps: int
) -> float:
    """One step: forward, write down, backward, update."""
    slope = recipe.slope(run.step, steps)
    for group in run.optimiser.param_groups:
        group["lr"] = group["peak"] * slope
    batch = train.collate([train.inputs[i] for i in chosen])
    target = torch.from_numpy(train.targets[chosen]).to(run.device)
    with _arithmetic(recipe, run.device):
        logits, _features = run.network(*(one.to(run.device) for one in batch))
    loss = joint_loss(logits, target, run.network.exits, recipe, run.step)
    if not bool(torch.isfinite(loss)):
        raise TrainingError(
            f"the loss is {loss.item()} at step {run.step}: nothing of this step was kept; lower the rate "
            f"({recipe.rate:g}) or use precision fp32, and begin again"
        )
    _note(run, "train", epoch, chosen, logits, train.labels[chosen])
    run.optimiser.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_([one for one in run.network.parameters() if one.requires_grad], recipe.clip)
    run.optimiser.step()
    run.step += 1
    return float(loss.detach())


def _look(run: _Run, validation: Examples, epoch: int) -> None:
    run.network.eval()
    order = np.argsort(validation.lengths, kind="stable")
    with torch.inference_mode(), _arithmetic(run.recipe, run.device):
        for start in range(0, len(order), 64):
            chosen = order[start : start + 64]
            batch = validation.collate([validation.inputs[i] for i in chosen])
            logits, _ = run.network(*(one.to(run.device) for one in batch))
            _note(run, "validation", epoch, chosen, logits, validation.labels[chosen])
    run.network.train()


def _note(
    run: _Run,
    part: str,
    epoch: int,
    chosen: NDArray[np.int64],
    logits: list[Tensor],
    labels: NDArray[np.int64],
) -> None:
    places, truth = torch.from_numpy(chosen), torch.from_numpy(labels)
    for place, one in enumerate(logits):
        probabilities = torch.softmax(one.detach().float().cpu(), -1)  # (B, C)
        run.tables[part][epoch, place, places] = probabilities[torch.arange(len(truth)), truth].half()
        run.tables[f"{part}_correct"][epoch, place, places] = probabilities.argmax(-1) == truth


@contextmanager
def _arithmetic(recipe: Recipe, device: torch.device) -> Generator[None]:
    """How numbers are multiplied: the fused attention's backward pass takes a third of a step on a CPU."""
    fast = recipe.precision == "bf16" or (recipe.precision == "auto" and _has_bf16(device))
    with sdpa_kernel(SDPBackend.MATH), torch.autocast(device.type, torch.bfloat16, enabled=fast):
        yield


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    return bool(torch.cpu._is_avx512_bf16_supported())  # 2.7 times faster there, slower elsewhere


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}
