"""What a run trained, as a bundle that nodes serve: split, with its exits, calibrated and charted."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from tierline_cartography.analysis.charting import LEAST_SAMPLES, chart
from tierline_cartography.data.rows import Task
from tierline_cartography.errors import RecipeError, RecordError
from tierline_cartography.files import read_arrays
from tierline_cartography.training.networks import ExitEncoder, make_encoder
from tierline_cartography.training.run import RUN, WEIGHTS
from tierline_models import (
    LoraLinear,
    Split,
    TextInput,
    attach,
    cartography_to_json,
    pretrained_tokenizer,
    split,
)

LONGEST = 128  # word pieces, as in training
_EXAMPLE = "It starts slowly, and the jokes are old, but two fine actors make this modest film a pleasure."


def bundle_run(task: Task, run: Path, folder: Path, *, made: Mapping[str, str]) -> str:
    """Write the bundle of a finished run, with a cartography fitted on its validation data.

    Args:
        task: that was trained on.
        run: folder of the run.
        folder: of the bundle.
        made: by which command, for people.

    Returns:
        the bundle's digest.

    Raises:
        RecordError: the run is damaged, or of another task.
        RecipeError: nodes cannot serve such a model.
    """
    if any(row.pair for row in task.validation):
        raise RecipeError(f"{task.name} is of pairs of texts, and a bundle takes one; choose another task")
    arrays, document = read_arrays(run / RUN)
    if document["task"] != task.name or tuple(document["classes"]) != task.classes:
        raise RecordError(f"{run} is a run of {document['task']}, not of {task.name}")
    network = _trained(run, document["exits"], len(task.classes), document["recipe"])
    whole = _Whole(network).eval()
    ids = torch.tensor([pretrained_tokenizer().encode(_EXAMPLE).ids])
    cut = split(whole, ids)
    layers = (*_attach_exits(cut, network, whole, ids), cut.layers)
    labels = torch.tensor([row.label for row in task.validation]).numpy()
    logits = arrays["validation_logits"].astype("float64")  # (X, N, C)
    found = chart(logits, labels, layers, made=made) if len(labels) >= LEAST_SAMPLES else None
    text = TextInput(tokenizer=pretrained_tokenizer().to_str(), longest=LONGEST)
    digest = cut.save(folder, name=task.name, labels=task.classes, preprocessing=text)
    if found is not None:
        attach(folder, {"cartography.json": cartography_to_json(found)})
    return digest


class _Unpadded(nn.Module):
    """A head as it was trained, of texts that are not padded."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """(B, T, H) to logits (B, C)."""
        logits: Tensor = self.head(x, torch.ones_like(x[..., 0], dtype=torch.bool))[0]
        return logits


class _Whole(nn.Module):
    """The encoder up to its last exit, of texts that are not padded."""

    def __init__(self, network: ExitEncoder) -> None:
        super().__init__()
        self.embedding, self.blocks = network.embedding, network.blocks
        self.head = _Unpadded(network.heads[str(network.exits[-1])])

    def forward(self, ids: Tensor) -> Tensor:
        """Word pieces (B, T) to logits (B, C)."""
        logits: Tensor = self.head(self.states(ids)[-1])
        return logits

    def states(self, ids: Tensor) -> list[Tensor]:
        """Hidden states (B, T, H) after each block."""
        x, found = self.embedding(ids), []
        for block in self.blocks:
            x = block(x)
            found.append(x)
        return found


def _trained(run: Path, exits: Sequence[int], classes: int, recipe: Mapping[str, Any]) -> ExitEncoder:
    """The network as it was trained, its adapters merged."""
    kind = {name: bool(recipe.get(name)) for name in ("adapter", "attentive")}
    network = make_encoder(exits, classes, seed=0, dropout=0.0, **kind)
    wanted = {name for name, one in network.named_parameters() if one.requires_grad}
    try:
        weights = {name: one.float() for name, one in load_file(run / WEIGHTS).items()}
        if set(weights) != wanted:
            raise RecordError(f"{run / WEIGHTS} holds other weights than its recipe trains; train it again")
        network.load_state_dict(weights, strict=False)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise RecordError(f"{run / WEIGHTS} cannot be read ({error!s:.120}); train it again") from error
    for block in network.blocks:
        for name, layer in list(block.named_children()):
            if isinstance(layer, LoraLinear):
                setattr(block, name, _merged(layer))
    return network.eval().requires_grad_(False)


def _merged(layer: LoraLinear) -> nn.Linear:
    """One linear layer that does what the layer and its adapter do."""
    made = nn.Linear(layer.frozen.in_features, layer.frozen.out_features)
    with torch.no_grad():
        offset = layer(torch.zeros(1, made.in_features))
        made.weight.copy_((layer(torch.eye(made.in_features)) - offset).T)
        made.bias.copy_(offset[0])
    return made


def _attach_exits(cut: Split, network: ExitEncoder, whole: _Whole, ids: Tensor) -> list[int]:
    """Put each head but the last where its block ends, and return the layers; blocks have cuts within."""
    with torch.no_grad():
        ends = whole.states(ids)
        carried = [cut.head(k)(ids) for k in range(len(cut.points))]
    layers = []
    for layer in network.exits[:-1]:
        place = next((k for k, one in enumerate(carried) if _same(one, ends[layer - 1])), None)
        if place is None:
            raise RecipeError(f"no split point lies after block {layer}; train with other --exits")
        head = _Unpadded(network.heads[str(layer)])
        layers.append(cut.add_exit(place, head.eval()).layer)
    return layers


def _same(one: Tensor | tuple[Tensor, ...], other: Tensor) -> bool:
    return isinstance(one, Tensor) and one.shape == other.shape and torch.allclose(one, other, atol=1e-4)
