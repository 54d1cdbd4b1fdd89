"""What int8's coding step takes alone, and whole calls, as multiples of copying the array."""

import math
import sys
from collections.abc import Iterator

import numpy as np
import torch
from _codec_arrays import SHAPES, hidden_states, noise, real_arrays
from _codec_timing import Call, Effort, Row, medians, row, take_turns

from tierline_codecs import CODECS, decode, encode, lend, warm_up
from tierline_codecs import (
    dequantize as back_again,
)  # inner modules, as tests may: what calls are made around
from tierline_codecs import native as compiled
from tierline_codecs import quantize as inner
from tierline_models import load_bundle

ENCODE_REACH = {"24 kB": 10, "98 kB": 7.5, "3.2 MB": 4.6, "8 MB": 5.2}
DECODE_REACH = {"24 kB": 6, "98 kB": 4, "3.2 MB": 1.5, "8 MB": 1.3}
NATIVE_ENCODE_REACH, NATIVE_DECODE_REACH = 1.5, 1.0
STEP_REACH = 3.0
WIRE_BYTES_PER_SECOND = 100e6 / 8
TINY = (1, 16)


def numpy_rows(effort: Effort) -> Iterator[Row]:
    """Yield what int8 takes in numpy, and as a share of what its frame takes on the wire."""
    for size in SHAPES:
        yield from int8_rows(size, "", ENCODE_REACH[size], DECODE_REACH[size], effort)
    yield step_row("", effort)


def lent_rows(effort: Effort) -> Iterator[Row]:
    """Yield what decoding large arrays takes where a node lends its torch, and nothing is compiled."""
    torch.set_num_threads(1)
    lend(load_bundle("text").model.scale_rows)
    for size in ("3.2 MB", "8 MB"):
        rows = int8_rows(size, "with torch beside it, ", ENCODE_REACH[size], DECODE_REACH[size], effort)
        yield from (one for one in rows if "int8 decode" in one["claim"])
    lend(None)


def native_rows(effort: Effort) -> Iterator[Row]:
    """Yield the same with compiled kernels, from now on in use; nothing where numba is not installed."""
    seconds = warm_up()
    if seconds is None:
        print("numba is not installed: nothing is measured with the extra", file=sys.stderr)
        return
    print(f"kernels took {seconds:.1f} s to compile or load", file=sys.stderr)
    for size in SHAPES:
        yield from int8_rows(size, "with the extra, ", NATIVE_ENCODE_REACH, NATIVE_DECODE_REACH, effort)
    yield step_row("with the extra, ", effort)


def int8_rows(size: str, how: str, encode_reach: float, decode_reach: float, effort: Effort) -> Iterator[Row]:
    """Yield rows of one size. Their `seconds` also say what a call takes that has next to nothing to code."""
    calls, frame_bytes = int8_calls(SHAPES[size])
    turns = take_turns(calls, math.prod(SHAPES[size]), effort)
    seconds = medians(turns)
    for part, call in (("coding step alone", "step"), ("whole call", "call")):
        for way, reach in (("encode", encode_reach), ("decode", decode_reach)):
            ratios = [one / copy for one, copy in zip(turns[f"{way} {call}"], turns["copy"], strict=True)]
            claim = f"{how}int8 {way}, {part}, {size}, over a copy of the float32 array"
            yield row(claim, ratios, reach, better="lower", unit="times", seconds=seconds)
    if size != "24 kB":
        wire = frame_bytes / WIRE_BYTES_PER_SECOND
        both = zip(turns["encode call"], turns["decode call"], strict=True)
        claim = f"{how}int8 encode and decode, {size}, over the wire time of the frame at 100 Mbit/s"
        yield row(claim, [sum(pair) / wire for pair in both], 0.02, better="lower", unit="of it")


def int8_calls(shape: tuple[int, ...]) -> tuple[dict[str, Call], int]:
    """Return what is timed of an array of `shape`, and how many bytes its frame takes.

    The coding step finds the rows' largest magnitudes and writes scales and codes into memory that is kept,
    or values out of both; a whole call makes a checked frame of an array, or checks one and reads it.
    """
    array, tiny = noise(shape), noise(TINY)
    frame, out = encode(array, "int8"), np.empty_like(array)
    tiny_frame, tiny_out = encode(tiny, "int8"), np.empty_like(tiny)
    calls: dict[str, Call] = {
        "copy": lambda: np.copyto(out, array),
        **step_calls(array, out),
        "encode call": lambda: encode(array, "int8"),
        "decode call": lambda: decode(frame, out=out),
        "encode call, 16 values": lambda: encode(tiny, "int8"),
        "decode call, 16 values": lambda: decode(tiny_frame, out=tiny_out),
    }
    return calls, len(frame)


def step_calls(array: np.ndarray, out: np.ndarray) -> dict[str, Call]:
    """Return the coding step of an array in numpy, or once the kernels are compiled those themselves."""
    shape = inner.rows_of(array.shape, inner.first_of(array.shape), inner.pieces_of(array.shape))
    rows, back = array.reshape(shape), out.reshape(shape)
    scales, codes = np.empty(len(rows), np.float32), np.empty(shape, np.int8)
    kernels = compiled.kernels()
    if kernels:
        return {
            "encode step": lambda: kernels.quantize(rows, scales, codes, inner.SIGNED),
            "decode step": lambda: kernels.dequantize(codes, scales, back),
        }
    return {
        "encode step": lambda: inner.quantize(rows, scales, codes, unsigned=False),
        "decode step": lambda: back_again.to_values(codes, scales, back),
    }


def step_row(how: str, effort: Effort) -> Row:
    """Return how fast step-zstd encodes hidden states."""
    speeds = []
    for state in hidden_states(8 if effort.quick else 60).values():
        turns = take_turns({"": lambda state=state: encode(state, "step-zstd")}, state.size, effort.lighter)
        speeds.append(state.nbytes / medians(turns)[""] / 1e9)
    claim = f"{how}MiniLM states after blocks 1, 3, 5: step-zstd encode, of float32"
    return row(claim, speeds, STEP_REACH, better="higher", unit="GB/s")


def table(effort: Effort) -> str:
    """Return what every codec takes for real arrays, in numpy / with the extra, as docs/codecs.md has it."""
    arrays = {size: array for size, array in real_arrays(quick=effort.quick).items() if size != "24 kB"}
    found = {how: multiples(arrays, effort) for how in ("numpy", "native") if how == "numpy" or warm_up()}
    lines = [
        f"| codec | {' | '.join(f'{way} {size}' for way in ('encode', 'decode') for size in arrays)} |",
        "|---" * (1 + 2 * len(arrays)) + "|",
    ]
    for codec in CODECS:
        cells = [
            " / ".join(f"{found[how][size][codec][way]:.2g}" for how in found)
            for way in (0, 1)
            for size in arrays
        ]
        lines.append(f"| `{codec}` | {' | '.join(cells)} |")
    return "\n".join(lines)


def multiples(arrays: dict[str, np.ndarray], effort: Effort) -> dict[str, dict[str, tuple[float, float]]]:
    """Return encode and decode over a copy, by size and codec."""
    found: dict[str, dict[str, tuple[float, float]]] = {}
    for size, array in arrays.items():
        out = np.empty_like(array)
        calls = {"copy": lambda out=out, array=array: np.copyto(out, array)}
        for codec in CODECS:
            frame = encode(array, codec)
            calls[f"{codec} 0"] = lambda array=array, codec=codec: encode(array, codec)
            calls[f"{codec} 1"] = lambda frame=frame, out=out: decode(frame, out=out)
        seconds = medians(take_turns(calls, array.size, effort))
        found[size] = {
            codec: (seconds[f"{codec} 0"] / seconds["copy"], seconds[f"{codec} 1"] / seconds["copy"])
            for codec in CODECS
        }
    return found
