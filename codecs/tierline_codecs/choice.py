"""Which codec to use: the one that brings a tensor across soonest among those whose error is allowed."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tierline_codecs.arrays import as_array, spec_of
from tierline_codecs.errors import CodecError
from tierline_codecs.quantize import as_rows, first_of, peaks_of, pieces_of, rows_of

_HEADER_BYTES = 64
_STEPS = MappingProxyType({"step-zstd-2": 0.02, "step-zstd": 0.05, "step-zstd-10": 0.1})
_ENTROPY_OVERHEAD = 1.02  # what zstd's level 1 takes beside the entropy
_FLOAT_BYTES = 4
_SEEN = 2**19  # elements, about, that statistics are taken of


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """What a codec takes for an array, as multiples of copying it as float32 on that device."""

    encode: float
    decode: float


# Means of the 3.2 MB (a ReLU6 map) and the 8 MB (hidden states) of docs/codecs.md.
# The fixed part of a call is in `Device.call_seconds`.
SPEEDS: Mapping[str, Speed] = MappingProxyType(
    {
        "raw": Speed(encode=1.7, decode=1.9),
        "fp16": Speed(encode=22, decode=15),
        "int8": Speed(encode=4.7, decode=2.2),
        "int8-mask": Speed(encode=11, decode=13),
        "step-zstd-2": Speed(encode=22, decode=9.6),
        "step-zstd": Speed(encode=15, decode=5.8),
        "step-zstd-10": Speed(encode=18, decode=15),
        "int4": Speed(encode=17, decode=9.6),
    }
)
"""What `choose` may choose, and what each costs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecSeconds:
    """What a codec was measured to take on one device: for a call, and for each byte of the float32 array."""

    encode_call: float
    encode_byte: float
    decode_call: float
    decode_byte: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """How fast both ends are: measured for each codec, or known only by how fast they copy.

    Attributes:
        encode_copy: bytes a second that the sending device copies within memory, in one thread.
        decode_copy: the same of the receiving device.
        call_seconds: fixed cost of an encode and a decode together.
        sender: what was measured there, by codec; comes before `SPEEDS` where the receiver measured it too.
        receiver: the same of the receiving device.
    """

    encode_copy: float = 10e9
    decode_copy: float = 10e9
    call_seconds: float = 40e-6
    sender: Mapping[str, CodecSeconds] = field(default_factory=dict)
    receiver: Mapping[str, CodecSeconds] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorStatistics:
    """What a tensor is like, as far as its coding goes.

    Attributes:
        elements: how many.
        bytes_each: of its data type.
        by_codec: for each codec of `SPEEDS` the bits an element takes, and the relative error (L2).
    """

    elements: int
    bytes_each: int
    by_codec: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A codec, and what is expected of it.

    Attributes:
        codec: a name of `CODECS`.
        seconds: to encode, send and decode.
        frame_bytes: on the wire.
        error: relative (L2).
    """

    codec: str
    seconds: float
    frame_bytes: float
    error: float


def choose(
    link_bytes_per_second: float, device: Device, tensor: TensorStatistics, error_budget: float
) -> Choice:
    """Return the codec that brings a tensor across soonest within an error budget; pure.

    Args:
        link_bytes_per_second: of the link, without its delay, which is the same for all codecs.
        device: how fast both ends are.
        tensor: as `statistics_of` or `statistics_from` has it; of one sample, or of calibration data.
        error_budget: the largest relative error (L2) that this split point tolerates; raw has none.

    Raises:
        CodecError: the link or the budget is no number that makes sense, no codec is allowed, or of one that
            is nothing says what it takes: neither `SPEEDS` nor both devices.
    """
    if not link_bytes_per_second > 0 or not error_budget >= 0:
        raise CodecError("bad-choice", "a link has a speed above 0, and an error budget is at least 0")
    allowed = [codec for codec, (_, error) in tensor.by_codec.items() if error <= error_budget]
    if not allowed:
        raise CodecError("bad-choice", f"no codec keeps an error budget of {error_budget:g}; allow raw")
    choices = [expect(codec, link_bytes_per_second, device, tensor) for codec in allowed]
    return min(choices, key=lambda choice: (choice.seconds, choice.frame_bytes, choice.error))


def expect(codec: str, link_bytes_per_second: float, device: Device, tensor: TensorStatistics) -> Choice:
    """Return what a codec is expected to take: S/E + S/D + S/(r B), and a fixed cost for each call."""
    bits, error = tensor.by_codec[codec]
    frame_bytes = tensor.elements * bits / 8 + _HEADER_BYTES
    seconds = coding_seconds(codec, device, tensor.elements) + frame_bytes / link_bytes_per_second
    return Choice(codec=codec, seconds=seconds, frame_bytes=frame_bytes, error=error)


def coding_seconds(codec: str, device: Device, elements: int) -> float:
    """Return what encoding and decoding take together."""
    size = elements * _FLOAT_BYTES
    sender, receiver = device.sender.get(codec), device.receiver.get(codec)
    if sender is not None and receiver is not None:
        calls = sender.encode_call + receiver.decode_call
        return calls + size * (sender.encode_byte + receiver.decode_byte)
    speed = SPEEDS.get(codec)
    if speed is None:
        raise CodecError(
            "bad-choice", f"nothing says what {codec} takes; measure it on both devices, or leave it out"
        )
    each = speed.encode / device.encode_copy + speed.decode / device.decode_copy
    return device.call_seconds + size * each


def break_even(codec: str, other: str, device: Device, tensor: TensorStatistics) -> float:
    """Return the bytes a second below which a codec beats another: infinite if always, 0 if never."""
    saved = (tensor.by_codec[other][0] - tensor.by_codec[codec][0]) / 8 * tensor.elements
    costs = coding_seconds(codec, device, tensor.elements) - coding_seconds(other, device, tensor.elements)
    if costs <= 0:
        return math.inf if saved >= 0 else 0.0
    return max(saved / costs, 0.0)


def statistics_from(
    elements: int, frame_bytes: Mapping[str, float], errors: Mapping[str, float]
) -> TensorStatistics:
    """Return what is known of a split point's tensors from frames that were measured.

    Args:
        elements: of the mean tensor, float32; at least one.
        frame_bytes: whole frames by codec, mean.
        errors: relative (L2) by codec; a codec without one is taken for exact.
    """
    by_codec = {
        codec: (max(0.0, size - _HEADER_BYTES) * 8 / elements, errors.get(codec, 0.0))
        for codec, size in frame_bytes.items()
    }
    return TensorStatistics(elements=elements, bytes_each=_FLOAT_BYTES, by_codec=MappingProxyType(by_codec))


def statistics_of(array: object) -> TensorStatistics:
    """Return what an array of floats is like, from at most half a million of its elements.

    Raises:
        CodecError: it holds no finite floats, or none at all.
    """
    values = as_array(array)
    spec = spec_of(values)
    if not spec.is_float or not spec.size:
        raise CodecError("bad-dtype", "only arrays of floats, with elements, have statistics")
    rows = as_rows(values, rows_of(spec.shape, first_of(spec.shape), pieces_of(spec.shape)))
    rows = np.ascontiguousarray(rows[:: max(1, -(-rows.size // _SEEN))])
    peaks, unsigned = peaks_of(rows)
    rms = math.sqrt(float(np.mean(np.square(rows, dtype=np.float64)))) or 1.0
    by_codec = {
        "raw": (8.0 * spec.dtype.itemsize, 0.0),
        **_sized(rows, peaks, rms, unsigned=unsigned),
        **{name: _stepped(rows, error, rms) for name, error in _STEPS.items()},
    }
    if peaks.max() > 65504:
        del by_codec["fp16"]
    return TensorStatistics(
        elements=spec.size, bytes_each=spec.dtype.itemsize, by_codec=MappingProxyType(by_codec)
    )


def _sized(
    rows: NDArray[np.float32], peaks: NDArray[np.float32], rms: float, *, unsigned: bool
) -> dict[str, tuple[float, float]]:
    """Return bits and error of the codecs with a fixed step; rounding errs by step/√12, zeros not at all."""
    dense = float(np.count_nonzero(rows)) / rows.size
    levels = 255 if unsigned else 127
    eight = math.sqrt(dense * float(np.mean(np.square(peaks / levels, dtype=np.float64))) / 12) / rms
    scale_bits = 32 / rows.shape[1]
    groups = np.abs(rows.reshape(-1)[: rows.size // 32 * 32]).reshape(-1, 32)
    tops = groups.max(axis=1) if groups.size else peaks
    four_levels = 15 if unsigned else 7
    four = math.sqrt(dense * float(np.mean(np.square(tops / four_levels, dtype=np.float64))) / 12) / rms
    return {
        "fp16": (16.0, 2.0**-12),
        "int8": (8 + scale_bits, eight),
        "int8-mask": (1 + 8 * dense + scale_bits, eight),
        "int4": (4.5, four),
    }


def _stepped(rows: NDArray[np.float32], error: float, rms: float) -> tuple[float, float]:
    """Return bits and error of a step codec, from the entropy of its codes."""
    step = error * math.sqrt(12) * rms
    codes = np.rint(rows.reshape(-1) / np.float32(step))
    counts = np.bincount(np.clip(codes, -2000, 2000).astype(np.int64) + 2000)
    shares = counts[counts > 0] / codes.size
    entropy = float(-(shares * np.log2(shares)).sum())
    lost = math.sqrt(float(np.mean(np.square(rows.reshape(-1) - codes * step, dtype=np.float64)))) / rms
    return _ENTROPY_OVERHEAD * entropy, lost
