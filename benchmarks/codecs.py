"""What coding an activation costs, how small it gets, and what the model makes of what comes back.

Times are of this thread's CPU, each a median of rounds in which everything takes its turn, as ratios to
copying the float32 array in the same round. Sizes and errors are of real activations: MiniLM hidden states of
film review snippets, ReLU6 maps inside EfficientNet-Lite0 of photographs. `--quick` takes fewer rounds and
samples; `--plot FOLDER` draws rate against error and time against size instead.
"""

import argparse
import io
import json
import pickle
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import lz4.block
import msgpack
import numpy as np
import structlog
import torch
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import nn

from tierline_codecs import calibrate, decode, encode
from tierline_models import load_bundle

SHAPES = {"24 kB": (16, 384), "98 kB": (64, 384), "3.2 MB": (1, 256, 56, 56), "8 MB": (5376, 384)}
ENCODE_REACH = {"24 kB": 10, "98 kB": 7.5, "3.2 MB": 4.6, "8 MB": 5.2}
DECODE_REACH = {"24 kB": 6, "98 kB": 4, "3.2 MB": 1.5, "8 MB": 1.3}
WIRE_BYTES_PER_SECOND = 100e6 / 8
ROUNDS, QUICK_ROUNDS = 15, 3
TURN_ELEMENTS, QUICK_TURN_ELEMENTS = 1_500_000, 200_000
ACCURACY_CODECS = ("int8-lz4", "step-zstd-2", "step-zstd")
SAMPLES, QUICK_SAMPLES = 400, 4
HIDDEN_SAMPLES, MAP_SAMPLES = 60, 3

Row = dict[str, Any]
Turns = dict[str, list[float]]


def seconds_of(call: Callable[[], object], times: int) -> float:
    """Return the mean CPU seconds of one call."""
    start = time.thread_time()
    for _ in range(times):
        call()
    return (time.thread_time() - start) / times


def take_turns(calls: dict[str, Callable[[], object]], rounds: int, elements: int, turn: int) -> Turns:
    """Return each call's seconds, round by round; a first round warms up."""
    found: Turns = {name: [] for name in calls}
    times = max(2, turn // elements)
    for number in range(rounds + 1):
        for name, call in calls.items():
            seconds = seconds_of(call, times if number else 1)
            if number:
                found[name].append(seconds)
    return found


def row(claim: str, values: list[float], reach: float, *, better: str, unit: str, **more: Any) -> Row:
    """Return a row of results: the median of the values, and how they spread."""
    return {
        "claim": claim,
        "value": statistics.median(values),
        "reach": reach,
        "better": better,
        "unit": unit,
        "spread": [min(values), max(values)],
        "runs": len(values),
        **more,
    }


# -- arrays --------------------------------------------------------------------------------------------------


def noise(shape: tuple[int, ...]) -> np.ndarray:
    """Return Gaussian values: what int8 takes does not depend on them."""
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def hidden_states(layers: tuple[int, ...], count: int, skip: int = 0) -> dict[int, np.ndarray]:
    """Return the tokens (T, 384) of so many snippets after each of these blocks."""
    bundle = load_bundle("text")
    found: dict[int, list[np.ndarray]] = {layer: [] for layer in layers}
    for sample in bundle.samples("test", seed=0)[skip : skip + count]:
        x = bundle.model.preprocess(sample.data)
        for layer in range(1, max(layers) + 1):
            x = bundle.model.run(x, layer - 1, layer)
            if layer in found:
                found[layer].append(x[0].numpy())
    return {layer: np.concatenate(states) for layer, states in found.items()}


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


def error_of(array: np.ndarray, codec: str) -> tuple[float, float]:
    """Return how many times smaller the frame is, and the relative error (L2)."""
    frame = encode(array, codec)
    return array.nbytes / len(frame), relative(array, decode(frame))


def relative(array: np.ndarray, returned: np.ndarray) -> float:
    """Return the relative error (L2)."""
    return float(np.linalg.norm(returned.reshape(-1) - array.reshape(-1)) / np.linalg.norm(array))


# -- time ----------------------------------------------------------------------------------------------------


def time_rows(options: SimpleNamespace) -> Iterator[Row]:
    """Yield what int8 takes, as multiples of a copy, and as a share of what its frame takes on the wire."""
    for size, shape in SHAPES.items():
        array = noise(shape)
        frame, out = encode(array, "int8"), np.empty_like(array)
        turns = take_turns(
            {
                "copy": lambda array=array, out=out: np.copyto(out, array),
                "encode": lambda array=array: encode(array, "int8"),
                "decode": lambda frame=frame, out=out: decode(frame, out=out),
            },
            options.rounds,
            array.size,
            options.turn,
        )
        for name, reach in (("encode", ENCODE_REACH[size]), ("decode", DECODE_REACH[size])):
            ratios = [one / copy for one, copy in zip(turns[name], turns["copy"], strict=True)]
            claim = f"int8 {name}, {size}, over a copy of the float32 array"
            seconds = {way: statistics.median(turns[way]) for way in turns}
            yield row(claim, ratios, reach, better="lower", unit="times", seconds=seconds)
        if size != "24 kB":
            wire = len(frame) / WIRE_BYTES_PER_SECOND
            both = zip(turns["encode"], turns["decode"], strict=True)
            shares = [(one + other) / wire for one, other in both]
            claim = f"int8 encode and decode, {size}, over the wire time of the frame at 100 Mbit/s"
            yield row(claim, shares, 0.02, better="lower", unit="of it")


# -- peers ---------------------------------------------------------------------------------------------------


def torch_save(array: np.ndarray) -> bytes:
    """Return an array as torch saves it."""
    buffer = io.BytesIO()
    torch.save(torch.from_numpy(array), buffer)
    return buffer.getvalue()


def naive_encode(array: np.ndarray) -> bytes:
    """Return what one writes first: one scale, torch, LZ4, msgpack."""
    x = torch.from_numpy(array)
    scale = x.abs().max() / 127
    codes = torch.clamp(torch.round(x / scale), -128, 127).to(torch.int8)
    packed: bytes = msgpack.packb((lz4.block.compress(codes.numpy().tobytes()), float(scale), list(x.shape)))
    return packed


def naive_decode(message: bytes) -> np.ndarray:
    """Undo `naive_encode`."""
    block, scale, shape = msgpack.unpackb(message)
    codes = np.frombuffer(lz4.block.decompress(block), np.int8)
    return (torch.from_numpy(codes.copy()).float() * scale).reshape(shape).numpy()


def blockwise_encode(array: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return codes and scales in blocks of 4096, as hivemind's but without its codebook."""
    x = torch.from_numpy(array).reshape(-1)
    x = nn.functional.pad(x, (0, -x.numel() % 4096)).reshape(-1, 4096)
    scales = x.abs().amax(dim=1, keepdim=True) / 127
    return (x / scales).round().to(torch.int8), scales


def blockwise_decode(coded: tuple[torch.Tensor, torch.Tensor], shape: tuple[int, ...]) -> np.ndarray:
    """Undo `blockwise_encode`."""
    values = (coded[0].float() * coded[1]).reshape(-1)
    return values[: int(np.prod(shape))].reshape(shape).numpy()


def peers() -> dict[str, tuple[Callable[[np.ndarray], Any], Callable[[Any, np.ndarray], np.ndarray], str]]:
    """Return how each peer encodes and decodes, and our codec of equal or lower error."""
    found: dict[str, Any] = {
        "pickle": (lambda a: pickle.dumps(a, 5), lambda m, _: pickle.loads(m), "raw"),  # noqa: S301
        "torch.save": (torch_save, lambda m, _: torch.load(io.BytesIO(m), weights_only=True).numpy(), "raw"),
        "safetensors": (
            lambda a: save_safetensors({"x": torch.from_numpy(a)}),
            lambda m, _: load_safetensors(m)["x"].numpy(),
            "raw",
        ),
        "naive int8, LZ4 and msgpack": (naive_encode, lambda m, _: naive_decode(m), "int8"),
        "hivemind-style blockwise int8": (
            blockwise_encode,
            lambda m, a: blockwise_decode(m, a.shape),
            "int8",
        ),
    }
    try:
        import blosc2

        found["blosc2 (bit shuffle, LZ4, lossless)"] = (
            lambda a: blosc2.compress2(
                a,
                codec=blosc2.Codec.LZ4,
                clevel=5,
                filters=[blosc2.Filter.BITSHUFFLE],
                typesize=4,
                nthreads=1,
            ),
            lambda m, a: np.frombuffer(blosc2.decompress2(m), a.dtype).reshape(a.shape),
            "raw",
        )
    except ImportError:
        print("blosc2 is not installed and not compared", file=sys.stderr)
    try:
        import zfpy

        found["zfpy (8 bits a value)"] = (
            lambda a: zfpy.compress_numpy(a, rate=8),
            lambda m, _: zfpy.decompress_numpy(m),
            "int8",
        )
    except ImportError:
        print("zfpy is not installed and not compared", file=sys.stderr)
    return found


def peer_rows(options: SimpleNamespace) -> Iterator[Row]:
    """Yield how many times longer each peer takes than our codec of no larger error, at its best size."""
    hidden = hidden_states((3,), 12 if options.quick else 400)[3]
    arrays = {name: np.resize(hidden, shape) for name, shape in SHAPES.items() if len(shape) == 2}
    maps = relu_maps(1)
    arrays["3.2 MB"] = np.resize(np.concatenate([one.reshape(-1) for one in maps]), SHAPES["3.2 MB"])
    for name, (pack, unpack, codec) in peers().items():
        ratios, table = [], {}
        for size, array in arrays.items():
            message, frame, out = pack(array), encode(array, codec), np.empty_like(array)
            theirs, ours = relative(array, unpack(message, array)), relative(array, decode(frame))
            turns = take_turns(
                {
                    "theirs": lambda pack=pack, unpack=unpack, array=array: unpack(pack(array), array),
                    "ours": lambda codec=codec, array=array, out=out: decode(encode(array, codec), out=out),
                },
                max(3, options.rounds // 2),
                array.size,
                options.turn // 2,
            )
            ratio = statistics.median(turns["theirs"]) / statistics.median(turns["ours"])
            ratios.append(ratio)
            table[size] = {"times": ratio, "their_error": theirs, "our_error": ours}
        claim = f"{name}: time over that of {codec}, encode and decode, at the size where it does best"
        line = row(claim, ratios, 1.0, better="higher", unit="times", sizes=table)
        yield line | {"value": min(ratios)}


# -- size and error ------------------------------------------------------------------------------------------


def rate_rows(options: SimpleNamespace) -> Iterator[Row]:
    """Yield how small real activations get, at what error, how fast."""
    states = hidden_states((1, 3, 5), 8 if options.quick else HIDDEN_SAMPLES)
    steps = [error_of(state, "step-zstd") for state in states.values()]
    eights = [error_of(state, "int8") for state in states.values()]
    title = "MiniLM states after blocks 1, 3, 5"
    yield row(f"{title}: step-zstd ratio", [r for r, _ in steps], 7.0, better="higher", unit="times")
    yield row(f"{title}: step-zstd error", [e for _, e in steps], 0.05, better="lower", unit="of the norm")
    speeds = []
    for state in states.values():
        turns = take_turns(
            {"encode": lambda state=state: encode(state, "step-zstd")},
            max(3, options.rounds // 2),
            state.size,
            options.turn // 2,
        )
        speeds.append(state.nbytes / statistics.median(turns["encode"]) / 1e9)
    yield row(f"{title}: step-zstd encode, of float32", speeds, 3.0, better="higher", unit="GB/s")
    yield row(f"{title}: int8 ratio", [r for r, _ in eights], 3.9, better="higher", unit="times")
    yield row(f"{title}: int8 error", [e for _, e in eights], 0.013, better="lower", unit="of the norm")
    others = hidden_states((1, 3, 5), 8 if options.quick else HIDDEN_SAMPLES, skip=1000)
    errors = []
    for layer, state in states.items():
        calibration = calibrate([others[layer]], outliers=2)
        errors.append(relative(state, calibration.decode(calibration.encode(state, "int8"))))
    claim = f"{title}: int8 error, calibrated on other snippets, two outlier channels"
    yield row(claim, errors, 0.0071, better="lower", unit="of the norm")
    maps = [error_of(one, "step-zstd") for one in relu_maps(1 if options.quick else MAP_SAMPLES)]
    title = "ReLU6 maps within EfficientNet-Lite0"
    yield row(f"{title}: step-zstd ratio", [r for r, _ in maps], 15.0, better="higher", unit="times")
    yield row(f"{title}: step-zstd error", [e for _, e in maps], 0.04, better="lower", unit="of the norm")


# -- accuracy ------------------------------------------------------------------------------------------------


def accuracy_rows(options: SimpleNamespace) -> Iterator[Row]:
    """Yield how many points of accuracy the text model loses at its worst split point, by codec."""
    bundle = load_bundle("text")
    model, samples = bundle.model, bundle.samples("test", seed=0)[: options.samples]
    last = len(model.blocks)
    right = {(codec, layer): 0 for codec in ("raw", *ACCURACY_CODECS) for layer in range(1, last)}
    for number, sample in enumerate(samples):
        if number % 100 == 0:
            print(f"accuracy: {number} of {len(samples)}", file=sys.stderr)
        x = model.preprocess(sample.data)
        whole = model.exit(last, model.run(x, 0, last)).label == sample.label
        for layer in range(1, last):
            x = model.run(x, layer - 1, layer)
            right["raw", layer] += whole
            for codec in ACCURACY_CODECS:
                y = torch.from_numpy(decode(encode(x, codec)))
                right[codec, layer] += model.exit(last, model.run(y, layer, last)).label == sample.label
    for codec in ACCURACY_CODECS:
        lost = [100 * (right["raw", at] - right[codec, at]) / len(samples) for at in range(1, last)]
        claim = (
            f"text: points of accuracy that {codec} costs at the worst split point, {len(samples)} samples"
        )
        yield row(claim, lost, 0.2, better="lower", unit="points") | {"value": max(lost)}


# -- plots ---------------------------------------------------------------------------------------------------


def gaussian_bound(states: np.ndarray, error: float) -> float:
    """Return the smallest bits an element that a Gaussian of this covariance takes at a relative error."""
    variances = np.linalg.eigvalsh(np.cov(states.T)).clip(1e-12)
    target = error**2 * float(np.mean(states**2)) * states.shape[1]
    low, high = 0.0, float(variances.max())
    for _ in range(100):
        level = (low + high) / 2
        low, high = (level, high) if np.minimum(variances, level).sum() < target else (low, level)
    return float(np.maximum(0, 0.5 * np.log2(variances / low)).sum() / states.shape[1])


def plot(folder: Path, options: SimpleNamespace) -> None:
    """Draw rate against error with the Gaussian bound, and time against size."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "tierline"
    from matplotlib import pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    states = hidden_states((3,), 400)[3]
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for codec in ("fp16", "int8", "int8-mask", "step-zstd-2", "step-zstd", "step-zstd-10", "int4"):
        ratio, error = error_of(states, codec)
        axes.plot(100 * error, 32 / ratio, "o", label=codec)
    errors = np.geomspace(0.005, 0.15, 30)
    bound = [gaussian_bound(states, error) for error in errors]
    axes.plot(100 * errors, bound, "k--", label="Gaussian bound")
    axes.set(xscale="log", xlabel="relative error (L2), %", ylabel="bits an element", title="MiniLM, block 3")
    axes.legend()
    figure.savefig(folder / "codecs-rate.svg", metadata={"Date": None})
    figure, axes = plt.subplots(figsize=(7, 4.5), layout="constrained")
    sizes = [(4, 384), (16, 384), (64, 384), (256, 384), (1024, 384), (5376, 384)]
    taken: dict[str, list[float]] = {}
    for shape in sizes:
        array = np.resize(states, shape)
        calls: dict[str, Callable[[], object]] = {"copy": lambda array=array: array.copy()}
        for codec in ("int8", "int8-lz4", "step-zstd", "int4"):
            calls[codec] = lambda array=array, codec=codec: decode(encode(array, codec))
        for name, seconds in take_turns(calls, 3, array.size, options.turn // 4).items():
            taken.setdefault(name, []).append(1e6 * statistics.median(seconds))
    for name, values in taken.items():
        axes.plot([4 * rows * width / 1e3 for rows, width in sizes], values, "o-", label=name)
    axes.set(xscale="log", yscale="log", xlabel="float32 kB", ylabel="encode + decode, µs of CPU")
    axes.legend()
    figure.savefig(folder / "codecs-time.svg", metadata={"Date": None})


def main() -> None:
    """Measure and print the rows, or draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(file=sys.stderr))
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    options = SimpleNamespace(
        quick=args.quick,
        rounds=QUICK_ROUNDS if args.quick else ROUNDS,
        turn=QUICK_TURN_ELEMENTS if args.quick else TURN_ELEMENTS,
        samples=QUICK_SAMPLES if args.quick else SAMPLES,
    )
    if args.plot:
        plot(args.plot, options)
        return
    parts = (time_rows, peer_rows, rate_rows, accuracy_rows)
    print(json.dumps([one for part in parts for one in part(options)], indent=1))


if __name__ == "__main__":
    main()
