"""What a node measures of itself: its profile at the start, its speed again when it has been idle."""

from dataclasses import asdict
from statistics import median

import numpy as np
import psutil
import structlog

from tierline_broker import CodecCost, ModelCard, Profile
from tierline_codecs import CALIBRATED, CODECS, Calibration, CodecError, decode, encode, lend, warm_up
from tierline_models import Array, Codings, Served, profile_at_start
from tierline_nodes.activation import pack, unpack, widest
from tierline_nodes.coding import DEFAULT, make_coder
from tierline_nodes.config import NodeConfig
from tierline_nodes.stopwatch import Spent, Stopwatch

CODEC_ROUNDS = 20
WARM_FROM_BYTES = 2**20  # of an activation, whose coding then takes 0.3 ms less; starting numba, seconds

_log = structlog.get_logger()
COST_ROUNDS = 7


def measure_profile(bundle: Served, config: NodeConfig, incarnation: int, slowdown: float) -> Profile:
    """Measure this node's seconds per block, exit and codec (at most three seconds of work).

    Args:
        bundle: the model it runs.
        config: which node it is.
        incarnation: of this start.
        slowdown: the emulated slowness, part of what this device is.
    """
    warm_codecs(bundle)
    timed = profile_at_start(bundle)
    return Profile(
        node=config.name,
        tier=config.tier,
        incarnation=incarnation,
        model=ModelCard.model_validate(asdict(bundle.card)),
        block_seconds=tuple(seconds * slowdown for seconds in timed.block_seconds),
        exit_seconds=timed.exit_seconds * slowdown,
        codec_seconds=codec_seconds(bundle) * slowdown,
        codecs=codec_costs(bundle, slowdown),
        max_layer=len(bundle.model.blocks),
        memory_bytes=psutil.virtual_memory().total,
        cores=psutil.cpu_count() or 1,
    )


def warm_codecs(bundle: Served) -> None:
    """Compile the codecs' kernels where they can be had and this model's activations are large.

    Where not, they are decoded by what the model computes with, if that is faster than numpy.
    """
    layers = range(1, len(bundle.model.blocks))
    if max((bundle.model.activation_bytes(layer) for layer in layers), default=0) < WARM_FROM_BYTES:
        return
    try:
        seconds = warm_up()
    except CodecError as error:
        _log.warning("kernels_missing", reason=str(error))
        seconds = None
    if seconds is None:
        lend(bundle.model.scale_rows)
    else:
        _log.info("kernels_ready", seconds=seconds)


def codec_seconds(bundle: Served) -> float:
    """Return the median seconds of one encode and decode of this model's first activation."""
    model = bundle.model
    carried, coder = (
        model.run(model.preprocess(bundle.example), 0, 1),
        make_coder(Codings(calibrations={}), {}),
    )
    rounds = []
    for _ in range(CODEC_ROUNDS):
        watch = Stopwatch()
        coded = pack(model, coder, 1, carried, DEFAULT, None)
        unpack(model, coder, 1, coded.payload, coded.codec)
        rounds.append(watch.lap().cpu)
    return median(rounds)


def codec_costs(bundle: Served, slowdown: float) -> dict[str, CodecCost]:
    """Return what each codec takes on this device, from the largest activation and a quarter of it.

    Args:
        bundle: the model that is run here.
        slowdown: of the emulated device, part of what it takes.
    """
    model, layer = bundle.model, _widest(bundle)
    array = widest(model, model.run(model.preprocess(bundle.example), 0, layer))
    parts = bundle.codings.calibrations.get(layer)
    calibration = None if parts is None else Calibration.from_arrays(parts)
    return {codec: _cost(codec, calibration, array, slowdown) for codec in _codecs(calibration)}


def _widest(bundle: Served) -> int:
    """Return the layer among those held here whose activation is the largest."""
    last = max(1, len(bundle.model.blocks) - 1)
    return max(range(1, last + 1), key=bundle.model.activation_bytes)


def _codecs(calibration: Calibration | None) -> list[str]:
    return [*CODECS, *(CALIBRATED if calibration is not None else ())]


def _cost(codec: str, calibration: Calibration | None, array: Array, slowdown: float) -> CodecCost:
    axis = 1 if array.ndim == 3 else array.ndim // 2  # of tokens, or of a map's rows: the channels stay
    index = (slice(None),) * axis + (slice(0, max(1, array.shape[axis] // 4)),)
    whole, part = array.astype(np.float32), np.ascontiguousarray(array[index], dtype=np.float32)
    (encode_all, decode_all), (encode_part, decode_part) = (
        _coding_seconds(codec, calibration, one) for one in (whole, part)
    )
    more = max(1, whole.nbytes - part.nbytes)
    each = [max(0.0, a - b) / more for a, b in ((encode_all, encode_part), (decode_all, decode_part))]
    return CodecCost(
        encode_call=slowdown * max(0.0, encode_all - each[0] * whole.nbytes),
        encode_byte=slowdown * each[0],
        decode_call=slowdown * max(0.0, decode_all - each[1] * whole.nbytes),
        decode_byte=slowdown * each[1],
    )


def _coding_seconds(codec: str, calibration: Calibration | None, array: Array) -> tuple[float, float]:
    """Return the seconds of an encode and of a decode: the least, since whatever else runs only adds."""
    rounds: tuple[list[float], list[float]] = [], []
    for _ in range(COST_ROUNDS):
        watch = Stopwatch()
        if calibration is not None and codec in CALIBRATED:
            frame = calibration.encode(array, CALIBRATED[codec])
            rounds[0].append(watch.lap().cpu)
            calibration.decode(frame)
        else:
            frame = encode(array, codec)
            rounds[0].append(watch.lap().cpu)
            decode(frame)
        rounds[1].append(watch.lap().cpu)
    return min(rounds[0]), min(rounds[1])


def time_first_block(bundle: Served) -> Spent:
    """Return what the first block takes right now, to notice a device that changed."""
    model = bundle.model
    x = model.preprocess(bundle.example)
    watch = Stopwatch()
    model.run(x, 0, 1)
    return watch.lap()
