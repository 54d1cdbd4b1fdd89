"""One number to minimise for all exits together."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from tierline_cartography.training.recipe import Recipe


def exit_weights(exits: Sequence[int], recipe: Recipe) -> list[float]:
    """What each exit's loss counts; deeper exits count more, as DIMEE's code has it, or all alike."""
    raw = [float(layer) if recipe.weighting == "depth" else 1.0 for layer in exits]
    return [one / sum(raw) for one in raw]


def joint_loss(
    logits: Sequence[Tensor], target: Tensor, exits: Sequence[int], recipe: Recipe, step: int
) -> Tensor:
    """The weighted sum of the exits' cross-entropies.

    Args:
        logits: (B, C) per exit.
        target: (B, C), how probable each class is held to be.
        exits: their layers.
        recipe: chooses weights, distillation, alternation.
        step: decides whose turn it is where they alternate.
    """
    *early, last = (one.float() for one in logits)
    final = functional.cross_entropy(last, target)
    if recipe.alternate and step % 2 == 0:
        return final
    told = target.lerp(torch.softmax(last.detach(), -1), recipe.distil)
    losses = [*(functional.cross_entropy(one, told) for one in early), final]
    weighted = [weight * loss for weight, loss in zip(exit_weights(exits, recipe), losses, strict=True)]
    return torch.stack(weighted).sum()
