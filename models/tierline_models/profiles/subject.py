"""What is profiled: blocks in order, exits, and inputs of the sizes that the model may meet."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tierline_models.bundle import Bundle
from tierline_models.graphs.split import Split

Block = Callable[[Any], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A model to be profiled."""

    digest: str
    blocks: Sequence[Block]  # the first takes a tuple of the inputs
    exits: Mapping[int, Block]  # by layer
    inputs: Mapping[str, Tensor]  # the example's
    varies: Mapping[str, tuple[int, ...]]  # by input, the dimensions that may differ from the example's
    weights: Sequence[Sequence[Tensor]]  # of each block
    exit_weights: Sequence[Tensor]

    @property
    def length(self) -> int | None:
        """Size of the first dimension that varies besides the batch; None if there is none."""
        found = (
            one.shape[dim]
            for name, one in self.inputs.items()
            for dim in self.varies.get(name, ())
            if dim > 0
        )
        return next(found, None)

    @property
    def batches(self) -> bool:
        """May several samples go together?"""
        return bool(self.inputs) and all(0 in self.varies.get(name, ()) for name in self.inputs)

    def sized(self, batch: int | None, length: int | None) -> dict[str, Tensor]:
        """The example repeated or cut to so many samples of such a length; None: as it is.

        Where several inputs have a length each, all change in the same proportion.
        """
        share = 1.0 if length is None or self.length is None else length / self.length
        return {name: self._sized(name, one, batch, share) for name, one in self.inputs.items()}

    def _sized(self, name: str, tensor: Tensor, batch: int | None, share: float) -> Tensor:
        for dim in self.varies.get(name, ()):
            wanted = round(share * tensor.shape[dim]) if dim else batch or tensor.shape[0]
            copies = -(-wanted // tensor.shape[dim])
            tensor = torch.cat([tensor] * copies, dim).narrow(dim, 0, max(1, wanted)).contiguous()
        return tensor


def subject_of(model: Split | Bundle, device: torch.device | None = None) -> Subject:
    """What to profile of a split model, or of a built-in bundle, on a device."""
    return _of_bundle(model) if isinstance(model, Bundle) else _of_split(model, device)


def _of_split(cut: Split, device: torch.device | None) -> Subject:
    blocks = [cut.segment(layer, layer + 1, device=device) for layer in range(cut.layers)]
    exits = {one.layer: cut.exit(one.layer - 1, device=device) for one in cut.exits}
    inputs = zip(cut.inputs, cut.example[0], strict=True)
    return Subject(
        digest=cut.digest,
        blocks=blocks,
        exits=exits,
        inputs={spec.name: one if device is None else one.to(device) for spec, one in inputs},
        varies={spec.name: spec.varies for spec in cut.inputs},
        weights=[_weights(one) for one in blocks],
        exit_weights=[weight for one in exits.values() for weight in _weights(one)],
    )


def _of_bundle(bundle: Bundle) -> Subject:
    """One sample at a time, as nodes run it; its length varies if that of its activations does."""
    model = bundle.model
    example = model.preprocess(bundle.example)
    several = () if isinstance(example, Tensor) else example
    parts = {f"input_{place}": one for place, one in enumerate(several)}
    if isinstance(example, Tensor):
        parts = {"input": example}

    def block(layer: int) -> Block:
        lone = layer == 1 and len(parts) == 1
        return lambda given: model.run(given[0] if lone else given, layer - 1, layer)

    def leave(layer: int) -> Block:
        return lambda given: model.exit(layer, given)

    return Subject(
        digest=bundle.digest,
        blocks=[block(layer) for layer in range(1, len(model.blocks) + 1)],
        exits={layer: leave(layer) for layer in model.exits},
        inputs=parts,
        varies={name: (1,) if _is_text(one) else () for name, one in parts.items()},
        weights=[_weights(one) for one in model.blocks],
        exit_weights=[weight for one in model.exits.values() for weight in _weights(one.head)],
    )


def _is_text(tensor: Tensor) -> bool:
    return tensor.ndim == 2 and not tensor.is_floating_point()


def _weights(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]
