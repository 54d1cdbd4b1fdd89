"""What a planner must know of a model, as plain data: sizes at the cuts, exits, accuracy of the routes.

The fields are those of the wire's model card, name by name; a node copies them into its profile.
"""

import json
from dataclasses import asdict, dataclass, field
from math import prod

HEADER_BYTES = 64  # a codec frame's header, about


@dataclass(frozen=True, slots=True, kw_only=True)
class PointData:
    """A split point: after `layer` blocks this many bytes leave, by codec (whole frames, mean)."""

    layer: int
    frame_bytes: dict[str, int]
    errors: dict[str, float] = field(default_factory=dict)  # by codec: relative (L2), of the worst sample
    error_budget: float | None = None  # the largest that keeps the labels; None: never measured
    calibration: str = ""  # which calibration the calibrated codecs use


@dataclass(frozen=True, slots=True, kw_only=True)
class RouteData:
    """What happens when samples leave at `exits` in turn, measured on validation data.

    A sample leaves at exits[i] when its calibrated confidence there is at least thresholds[i]; all leave at
    the last.
    """

    exits: tuple[int, ...]
    thresholds: tuple[float, ...]  # one fewer than exits
    shares: tuple[float, ...]  # one per exit, sum 1
    accuracy: float  # of the answers given


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolData:
    """What happens to the samples of one pool on a route: `shares` leave at each exit."""

    shares: tuple[float, ...]
    accuracy: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingData(RouteData):
    """A route on which samples leave by the gain of going on instead of by confidence.

    A sample leaves at exits[i] when the gain expected there is at most gains[i]. The thresholds are the
    confidences that let about as many go, for nodes that know no gains.
    """

    gains: tuple[float, ...] = ()  # one fewer than exits, in shares of a right answer
    pools: dict[str, PoolData] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitData:
    """What an exit said of the data that calibrated it: mean confidence, and what the next exit doubts."""

    layer: int
    confidence: float
    overclaim: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelCardData:
    """A model without its weights."""

    digest: str
    name: str
    blocks: int
    input_bytes: int  # mean raw input
    points: tuple[PointData, ...]
    exits: tuple[int, ...]  # ascending; the last is `blocks`
    accuracy: float  # of the unsplit model on the same validation data
    routes: tuple[RouteData, ...]
    router: str = ""  # digest of the bundle's cartography; empty: samples leave by confidence
    pools: dict[str, float] = field(default_factory=dict)  # share of the samples in each, as measured
    exit_cards: tuple[ExitData, ...] = ()

    def to_json(self) -> str:
        """One JSON document, keys in the order above."""
        return json.dumps(asdict(self))


def frame_bytes(shape: tuple[int, ...]) -> dict[str, int]:
    """Estimate the whole frame that carries one float32 activation, by codec.

    int8 keeps one float32 scale per row of the last dimension. LZ4 finds no repeats in hidden states, so
    `int8-lz4` is estimated as int8: a planner may be pleasantly surprised, never the other way round.
    """
    elements, rows = prod(shape), prod(shape[:-1])
    int8 = HEADER_BYTES + elements + 4 * rows
    return {
        "raw": HEADER_BYTES + 4 * elements,
        "fp16": HEADER_BYTES + 2 * elements,
        "int8": int8,
        "int8-lz4": int8,
    }
