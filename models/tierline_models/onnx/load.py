"""Load a bundle to be served by onnxruntime; needs no torch."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path

from tierline_models.arrays import Array
from tierline_models.bundle import OnnxBundle
from tierline_models.codings import codings_beside, with_codings
from tierline_models.errors import BundleError
from tierline_models.graphs.points import TensorSpec
from tierline_models.onnx.about import ABOUT, About, about_from_json
from tierline_models.onnx.blocks import OnnxBlocks
from tierline_models.onnx.model import OnnxModel
from tierline_models.pieces import TOKENIZER_BYTES
from tierline_models.preprocessing import TOKENIZER, preprocessing_from_json
from tierline_models.routing.cartography import with_cartography
from tierline_models.routing.document import cartography_beside
from tierline_models.schema import arrays_reader


def load_onnx(folder: Path, *, max_layer: int | None = None) -> OnnxBundle:
    """The bundle in a folder; raises BundleError where it cannot be served without torch.

    Args:
        folder: as `Split.save(..., onnx=True)` wrote it.
        max_layer: read the weights of blocks 1..max_layer only.
    """
    files = OnnxBlocks(folder)
    if ABOUT not in files.files:
        raise BundleError(
            f"{folder} has no {ABOUT}: make its ONNX with `tierline bundle build --onnx`, of a model that "
            "returns one tensor of logits"
        )
    about = about_from_json(files.files.json(ABOUT))
    _check(folder, files, about)
    last = about.card.blocks if max_layer is None else max_layer
    if not 1 <= last <= about.card.blocks:
        raise BundleError(f"max_layer is {last}; this model has blocks 1 to {about.card.blocks}")
    codings = codings_beside(files.files)
    found = cartography_beside(files.files, about.card.exits)
    layers = [one.about.layer for one in files.manifest.exits if one.about.layer <= last]
    return OnnxBundle(
        name=files.manifest.name,
        digest=files.manifest.digest,
        card=with_cartography(with_codings(about.card, codings), found),
        model=OnnxModel(
            blocks=[files.block(layer) for layer in range(1, last + 1)],
            exits={layer: files.exit(layer) for layer in layers},
            about=about,
            prepare=_reader(files, about),
        ),
        example=about.example,
        codings=codings,
        cartography=found,
    )


def _check(folder: Path, files: OnnxBlocks, about: About) -> None:
    """Refuse what was made of another bundle, or what a model would trip over."""
    points = len(files.manifest.points)
    exits = (*(one.about.layer for one in files.manifest.exits), points + 1)
    if about.card.digest != files.manifest.digest:
        raise BundleError(f"{folder / ABOUT} is of another bundle; make the bundle's ONNX again")
    fits = (
        about.card.blocks == points + 1
        and about.card.exits == exits == tuple(about.temperatures)
        and all(_kinds(one) == _kinds(files.manifest.inputs) for one in about.inputs)
        and [[(len(part.sizes), part.dtype) for part in parts] for parts in about.travelling]
        == [_kinds(one.tensors) for one in files.manifest.points]
        and 0 <= about.output < 1000
        and all(0 < one < math.inf for one in about.temperatures.values())
    )
    if not fits:
        raise BundleError(f"{folder / ABOUT} does not fit the bundle; make the bundle's ONNX again")


def _kinds(specs: Sequence[TensorSpec]) -> list[tuple[int, str]]:
    return [(len(one.shape), one.dtype) for one in specs]


def _reader(files: OnnxBlocks, about: About) -> Callable[[bytes], tuple[Array, ...]]:
    tokenizer = files.files.text(TOKENIZER, limit=TOKENIZER_BYTES) if TOKENIZER in files.files else None
    chosen = preprocessing_from_json(files.manifest.preprocessing, tokenizer)
    return arrays_reader(*about.inputs) if chosen is None else chosen.arrays
