"""What a planner must know of a model and of a node that holds it: retained records, no weights, no code."""

from typing import Annotated

from pydantic import Field

from tierline_broker.records import (
    Bytes,
    Change,
    Count,
    Error,
    Layer,
    Name,
    Pool,
    Record,
    Seconds,
    Share,
    Text,
    Tier,
)


class PointCard(Record):
    """A split point: after `layer` blocks this many bytes leave, by codec (whole frames, mean)."""

    layer: Layer
    frame_bytes: dict[str, Bytes] = Field(max_length=32)
    errors: dict[str, Error] = Field(default_factory=dict, max_length=32)  # by codec, relative (L2)
    error_budget: Error | None = None  # the largest that keeps the labels; None: never measured
    calibration: Text = ""  # which one the calibrated codecs use; both sides must have it


class PoolCard(Record):
    """What happens to the samples of one pool on a route: `shares` leave at each exit."""

    shares: tuple[Share, ...] = Field(min_length=1, max_length=3)
    accuracy: Share


class ExitCard(Record):
    """What an exit said of the data that calibrated it."""

    layer: Layer
    confidence: Share  # mean
    overclaim: Change  # by how much surer it was of its answers than the next exit, of samples not easy


class RouteCard(Record):
    """What happens when samples leave at `exits` in turn, measured on validation data.

    A sample leaves at exits[i] when its calibrated confidence there is at least thresholds[i]; all leave at
    the last. Accuracy is that of the answers given. Where there are gains and the node knows the router, a
    sample leaves at exits[i] when the gain expected of going on is at most gains[i] instead.
    """

    exits: tuple[Layer, ...] = Field(min_length=1, max_length=3)
    thresholds: tuple[Share, ...] = Field(max_length=2)  # one fewer than exits
    shares: tuple[Share, ...] = Field(min_length=1, max_length=3)  # one per exit, sum 1
    accuracy: Share
    gains: tuple[Change, ...] = Field(default=(), max_length=2)  # none, or one fewer than exits
    pools: dict[Pool, PoolCard] = Field(default_factory=dict)  # the same by pool


class ModelCard(Record):
    """What a planner must know of a model: no weights, no code."""

    digest: Text
    name: Text
    blocks: Annotated[int, Field(ge=1, le=4096)]
    input_bytes: Bytes  # mean raw input
    points: tuple[PointCard, ...] = Field(max_length=4096)
    exits: tuple[Layer, ...] = Field(min_length=1, max_length=64)  # ascending; the last is `blocks`
    accuracy: Share  # of the unsplit model on the same validation data
    routes: tuple[RouteCard, ...] = Field(max_length=4096)
    router: Text = ""  # digest of the bundle's cartography, which gains are of; empty: there is none
    pools: dict[Pool, Share] = Field(default_factory=dict)  # share of the same data in each
    exit_cards: tuple[ExitCard, ...] = Field(default=(), max_length=64)


class CodecCost(Record):
    """What a codec takes on one device: a fixed part of each call, and a part for each byte as float32."""

    encode_call: Seconds
    encode_byte: Seconds
    decode_call: Seconds
    decode_byte: Seconds


class Profile(Record):
    """What this node measured of itself at start (retained)."""

    node: Name
    tier: Tier
    incarnation: Count
    model: ModelCard
    block_seconds: tuple[Seconds, ...] = Field(max_length=4096)  # one per block, median, on this device
    exit_seconds: Seconds
    codec_seconds: Seconds  # encode plus decode of one activation, median
    codecs: dict[str, CodecCost] = Field(default_factory=dict, max_length=32)  # empty: all as above
    max_layer: Layer  # memory admits blocks 1..max_layer here
    memory_bytes: Bytes
    cores: Annotated[int, Field(ge=1, le=4096)]
