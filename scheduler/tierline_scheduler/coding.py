"""Which codec a hop uses after each layer, and what it costs: `tierline_codecs.choose` fed with profiles."""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from tierline_broker import CodecCost, Profile
from tierline_codecs import CALIBRATED, CodecSeconds, Device, choose, statistics_from
from tierline_scheduler.model import KNOWN, Model
from tierline_scheduler.state import NodeState
from tierline_scheduler.table import Floats, Ints

_FLOAT_BYTES = 4
Costs = tuple[CodecCost, ...]
"""One for each of `KNOWN`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coding:
    """How samples cross one hop; (C, L) each, over `KNOWN` and the layers from 0, which is never coded.

    Attributes:
        frame_bytes: on the wire; NaN where the split point does not allow the codec.
        encode: seconds at the sender, as fast as it is now.
        decode: seconds at the receiver, as fast as it is now.
        chosen: (L,) the codec that is soonest, as a place in `KNOWN`.
    """

    frame_bytes: Floats
    encode: Floats
    decode: Floats
    chosen: Ints


def hop_coding(
    model: Model, sender: NodeState, receiver: NodeState, rate: float, most_bytes: float = math.inf
) -> Coding | None:
    """Return how a hop codes, each split point by itself; None where one of the two is not profiled.

    Args:
        model: which both run.
        sender: with its profile and present speed.
        receiver: the same.
        rate: bytes a second that the link has for this hop.
        most_bytes: frames over that are chosen only where there is no other.
    """
    if sender.profile is None or receiver.profile is None:
        return None
    slower, at = _speed(sender), _speed(receiver)
    sends, receives = _costs(sender.profile), _costs(receiver.profile)
    arrays = _array_bytes(model)
    shared = receiver.model is not None and receiver.model.key == model.key
    return Coding(
        frame_bytes=_frames(model),
        encode=slower * _seconds([(one.encode_call, one.encode_byte) for one in sends], arrays),
        decode=at * _seconds([(one.decode_call, one.decode_byte) for one in receives], arrays),
        chosen=_chosen(model, sends, receives, _rough(slower), _rough(at), _rough(rate), most_bytes, shared),
    )


@lru_cache(maxsize=4096)
def _chosen(
    model: Model,
    sends: Costs,
    receives: Costs,
    slower: float,
    at: float,
    rate: float,
    most_bytes: float,
    shared: bool,
) -> Ints:
    device = Device(sender=_measured(sends, slower), receiver=_measured(receives, at))
    chosen = np.zeros(model.blocks + 1, dtype=np.int64)
    for layer, sizes in model.allowed.items():
        # Who describes the model in other figures may have calibrated it otherwise.
        known = {codec: size for codec, size in sizes.items() if shared or codec not in CALIBRATED} or sizes
        fitting = {codec: size for codec, size in known.items() if size <= most_bytes} or known
        tensor = statistics_from(max(1, model.array_bytes[layer] // _FLOAT_BYTES), fitting, {})
        chosen[layer] = KNOWN.index(choose(rate, device, tensor, math.inf).codec)
    return chosen


@lru_cache(maxsize=64)
def _frames(model: Model) -> Floats:
    frames = np.full((len(KNOWN), model.blocks + 1), np.nan)
    for layer, sizes in model.allowed.items():
        for codec, size in sizes.items():
            frames[KNOWN.index(codec), layer] = size
    return frames


@lru_cache(maxsize=64)
def _array_bytes(model: Model) -> Floats:
    return np.array([model.array_bytes.get(layer, 0) for layer in range(model.blocks + 1)], dtype=np.float64)


def _seconds(costs: list[tuple[float, float]], array_bytes: Floats) -> Floats:
    call, each = np.array(costs, dtype=np.float64).T
    seconds: Floats = call[:, None] + each[:, None] * array_bytes
    return seconds


def _costs(profile: Profile) -> Costs:
    """Return what each codec takes on a device; one that was not measured, half a usual coding each way."""
    half = profile.codec_seconds / 2
    usual = CodecCost(encode_call=half, encode_byte=0.0, decode_call=half, decode_byte=0.0)
    return tuple(profile.codecs.get(codec, usual) for codec in KNOWN)


def _measured(costs: Costs, slower: float) -> dict[str, CodecSeconds]:
    return {
        codec: CodecSeconds(**{name: slower * value for name, value in cost.model_dump().items()})
        for codec, cost in zip(KNOWN, costs, strict=True)
    }


def _speed(node: NodeState) -> float:
    return 1.0 if node.speed is None else node.speed.value


def _rough(value: float) -> float:
    """Return a figure to two digits, more than a choice needs, so that most choices were made before."""
    return float(f"{value:.1e}")
