"""The figures of docs/codecs.md: rate against error with the Gaussian bound, and time against size."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from _codec_arrays import hidden_states, ratio_and_error
from _codec_rate import gaussian_bound
from _codec_timing import Call, Effort, medians, take_turns

from tierline_codecs import decode, encode, warm_up

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "tierline"
from matplotlib import pyplot as plt  # noqa: E402 - after the choice of how to draw

RATED = ("fp16", "int8", "int8-mask", "step-zstd-2", "step-zstd", "step-zstd-10", "int4")
TIMED = ("int8", "int8-lz4", "step-zstd", "int4")
TIMED_SHAPES = [(4, 384), (16, 384), (64, 384), (256, 384), (1024, 384), (5376, 384)]


def plot(folder: Path, effort: Effort) -> None:
    """Draw both into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    states = hidden_states(12 if effort.quick else 400)[3]
    rate_figure(states).savefig(folder / "codecs-rate.svg", metadata={"Date": None})
    time_figure(states, effort).savefig(folder / "codecs-time.svg", metadata={"Date": None})


def rate_figure(states: np.ndarray) -> plt.Figure:
    """Draw bits an element against error."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for codec in RATED:
        ratio, error = ratio_and_error(states, codec)
        axes.plot(100 * error, 32 / ratio, "o", label=codec)
    errors = np.geomspace(0.005, 0.15, 30)
    bound = [gaussian_bound(states, error) for error in errors]
    axes.plot(100 * errors, bound, "k--", label="Gaussian bound")
    axes.set(xscale="log", xlabel="relative error (L2), %", ylabel="bits an element", title="MiniLM, block 3")
    axes.legend()
    return figure


def time_figure(states: np.ndarray, effort: Effort) -> plt.Figure:
    """Draw what encoding and decoding take against the size of the array, in numpy and with the extra."""
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    sizes = [4 * rows * width / 1e3 for rows, width in TIMED_SHAPES]
    for codec, micros in timed(states, ("copy", *TIMED), effort).items():
        axes.plot(sizes, micros, "o-", label=codec)
    if warm_up() is not None:
        for codec, micros in timed(states, ("int8", "step-zstd"), effort).items():
            axes.plot(sizes, micros, "x:", label=f"{codec}, with the extra")
    axes.set(xscale="log", yscale="log", xlabel="float32 kB", ylabel="encode + decode, µs of CPU")
    axes.legend()
    return figure


def timed(states: np.ndarray, names: tuple[str, ...], effort: Effort) -> dict[str, list[float]]:
    """Return microseconds of encoding and decoding by size, for each codec, and for a copy."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for shape in TIMED_SHAPES:
        array = np.resize(states, shape)
        calls: dict[str, Call] = {
            name: (lambda array=array: array.copy())
            if name == "copy"
            else (lambda array=array, name=name: decode(encode(array, name)))
            for name in names
        }
        for name, seconds in medians(take_turns(calls, array.size, effort.lighter)).items():
            found[name].append(1e6 * seconds)
    return found
