"""Raw inputs for a bundle that comes with none: its example, and variations of it."""

import random
from collections.abc import Callable, Iterator

import torch
from safetensors.torch import load, save
from torch import Tensor

from tierline_models.agreement import label_by_model
from tierline_models.bundle import Bundle, Sample
from tierline_models.crops import crops, example_jpeg
from tierline_models.errors import InputError
from tierline_models.graphs.split import Split
from tierline_models.pieces import TextInput
from tierline_models.pixels import ImageInput

COUNT = 320  # enough to show that under 1 % of the labels change
SENTENCE = b"It starts slowly, and yet two fine actors make this modest film a pleasure to watch."


def typical_input(cut: Split) -> bytes:
    """A raw input like the example that the model was split with, to profile and probe with."""
    match cut.preprocessing:
        case TextInput() as text:
            ids = cut.example[0][text.gives.index("ids")] if "ids" in text.gives else torch.empty(1, 0)
            said: str = text.encoder.decode(ids[0].tolist(), skip_special_tokens=True)
            return said.encode() if _reads(text.prepare, said.encode()) else SENTENCE
        case ImageInput():
            return example_jpeg()
        case None:
            inputs = zip(cut.inputs, cut.example[0], strict=True)
            return save({spec.name: one[:1].contiguous() for spec, one in inputs})


def make_samples(opened: Callable[[], Bundle], example: bytes, split: str, seed: int) -> list[Sample]:
    """Variations of the example, labelled by what the unsplit model says: agreement stands for accuracy."""
    bundle = opened()
    data = [one for one in _variations(example, split) if _reads(bundle.model.preprocess, one)]
    samples = label_by_model(bundle.model, bundle.digest, data)
    random.Random(seed).shuffle(samples)
    return samples


def _variations(example: bytes, split: str) -> Iterator[bytes]:
    rng = random.Random(split)
    if example == example_jpeg():
        yield from crops({"example": example}, split, COUNT)
        return
    try:
        words = example.decode().split()
    except UnicodeDecodeError:
        words = []
    for _ in range(COUNT):
        if words:
            yield " ".join(rng.sample(words, rng.randint(1, len(words)))).encode()
        else:
            yield save({name: _mixed(one, rng) for name, one in sorted(load(example).items())})


def _mixed(tensor: Tensor, rng: random.Random) -> Tensor:
    """The same values in another order."""
    order = torch.tensor(rng.sample(range(tensor.numel()), tensor.numel()), dtype=torch.int64)
    return tensor.flatten()[order].reshape(tensor.shape)


def _reads(prepare: Callable[[bytes], object], data: bytes) -> bool:
    try:
        prepare(data)
    except InputError:
        return False
    return True
