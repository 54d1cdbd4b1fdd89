"""What is coded: noise of four sizes, hidden states of film review snippets, ReLU6 maps of photographs."""

from functools import cache

import numpy as np
import torch
from torch import nn

from tierline_codecs import decode, encode
from tierline_models import load_bundle

SHAPES = {"24 kB": (16, 384), "98 kB": (64, 384), "3.2 MB": (1, 256, 56, 56), "8 MB": (5376, 384)}
LAYERS = (1, 3, 5)


def noise(shape: tuple[int, ...]) -> np.ndarray:
    """Return Gaussian values: what int8 takes does not depend on them."""
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


@cache
def hidden_states(count: int, skip: int = 0) -> dict[int, np.ndarray]:
    """Return the tokens (T, 384) of so many snippets after each of `LAYERS`."""
    bundle = load_bundle("text")
    found: dict[int, list[np.ndarray]] = {layer: [] for layer in LAYERS}
    for sample in bundle.samples("test", seed=0)[skip : skip + count]:
        x = bundle.model.preprocess(sample.data)
        for layer in range(1, max(LAYERS) + 1):
            x = bundle.model.run(x, layer - 1, layer)
            if layer in found:
                found[layer].append(x[0].numpy())
    return {layer: np.concatenate(states) for layer, states in found.items()}


@cache
def relu_maps(count: int) -> list[np.ndarray]:
    """Return ReLU6 maps (1, C, H, W) of 100 kB and more within the first blocks, for so many photographs."""
    bundle, maps = load_bundle("image"), []

    def keep(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        if output.numel() >= 25_000:
            maps.append(output.numpy().copy())

    convolutions = [one for block in bundle.model.blocks for one in block.modules()]
    rectified = [one for one in convolutions if getattr(one, "linear", None) is False]
    handles = [one.register_forward_hook(keep) for one in rectified]
    for sample in bundle.samples("test", seed=0)[:count]:
        bundle.model.unsplit(bundle.model.preprocess(sample.data))
    for handle in handles:
        handle.remove()
    return maps


def real_arrays(*, quick: bool) -> dict[str, np.ndarray]:
    """Return an array of every size of `SHAPES`: hidden states, and for 3.2 MB a ReLU6 map."""
    hidden = hidden_states(12 if quick else 400)[3]
    pixels = np.concatenate([one.reshape(-1) for one in relu_maps(1)])
    return {size: np.resize(pixels if len(shape) == 4 else hidden, shape) for size, shape in SHAPES.items()}


def ratio_and_error(array: np.ndarray, codec: str) -> tuple[float, float]:
    """Return how many times smaller the frame is, and the relative error (L2)."""
    frame = encode(array, codec)
    return array.nbytes / len(frame), relative(array, decode(frame))


def relative(array: np.ndarray, returned: np.ndarray) -> float:
    """Return the relative error (L2)."""
    return float(np.linalg.norm(returned.reshape(-1) - array.reshape(-1)) / np.linalg.norm(array))
