"""What a node measures of itself: its profile at the start, its speed again when it has been idle."""

from dataclasses import asdict
from statistics import median

import psutil
import structlog

from tierline_broker import ModelCard, Profile
from tierline_codecs import CodecError, decode, encode, warm_up
from tierline_models import Bundle, profile_model
from tierline_nodes.config import NodeConfig
from tierline_nodes.stopwatch import Spent, Stopwatch

CODEC_ROUNDS = 20
WARM_FROM_BYTES = 2**20  # of an activation, whose coding then takes 0.3 ms less; starting numba, seconds

_log = structlog.get_logger()


def measure_profile(bundle: Bundle, config: NodeConfig, incarnation: int, slowdown: float) -> Profile:
    """Measure this node's seconds per block, exit and codec (at most three seconds of work).

    Args:
        bundle: the model it runs.
        config: which node it is.
        incarnation: of this start.
        slowdown: the emulated slowness, part of what this device is.
    """
    warm_codecs(bundle)
    timed = profile_model(bundle.model, bundle.example)
    return Profile(
        node=config.name,
        tier=config.tier,
        incarnation=incarnation,
        model=ModelCard.model_validate(asdict(bundle.card)),
        block_seconds=tuple(seconds * slowdown for seconds in timed.block_seconds),
        exit_seconds=timed.exit_seconds * slowdown,
        codec_seconds=codec_seconds(bundle) * slowdown,
        max_layer=len(bundle.model.blocks),
        memory_bytes=psutil.virtual_memory().total,
        cores=psutil.cpu_count() or 1,
    )


def warm_codecs(bundle: Bundle) -> None:
    """Compile the codecs' kernels where they can be had and this model's activations are large."""
    layers = range(1, len(bundle.model.blocks))
    if max((bundle.model.activation_bytes(layer) for layer in layers), default=0) < WARM_FROM_BYTES:
        return
    try:
        seconds = warm_up()
    except CodecError as error:
        _log.warning("kernels_missing", reason=str(error))
    else:
        _log.info("kernels_ready", seconds=seconds)


def codec_seconds(bundle: Bundle) -> float:
    """Return the median seconds of one encode and decode of this model's first activation."""
    model = bundle.model
    activation = model.run(model.preprocess(bundle.example), 0, 1)
    rounds = []
    for _ in range(CODEC_ROUNDS):
        watch = Stopwatch()
        decode(encode(activation, codec="int8-lz4"))
        rounds.append(watch.lap().cpu)
    return median(rounds)


def time_first_block(bundle: Bundle) -> Spent:
    """Return what the first block takes right now, to notice a device that changed."""
    model = bundle.model
    x = model.preprocess(bundle.example)
    watch = Stopwatch()
    model.run(x, 0, 1)
    return watch.lap()
