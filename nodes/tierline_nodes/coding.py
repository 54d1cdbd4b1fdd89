"""How a node codes what it sends on: as its plan says, or better where link and activations changed since.

Used from one thread only.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from tierline_broker import CodecCost
from tierline_codecs import (
    CALIBRATED,
    CODECS,
    Calibration,
    CodecError,
    CodecSeconds,
    Device,
    Limits,
    TensorStatistics,
    choose,
    decode,
    encode,
    statistics_from,
    statistics_of,
)
from tierline_models import Array, Codings

DEFAULT = "int8-lz4"
"""Where nothing was measured at a split point, and nobody says what to use."""
EXACT = "raw"
"""Kept where a plan asks for it: whoever does wants the bits."""
ASSUMED_RATE = 2.5e6
"""Bytes a second of a link that nobody measured yet: 20 Mbit/s."""
WORTH = 0.9
"""Of the time that the planned codec takes: another must save a tenth to take its place."""

_PROBE_EVERY = 64  # frames of one split point
_PROBE_ELEMENTS = 32_768
_GAIN = 0.2  # of the latest frame in what is known of a codec's frames


@dataclass(frozen=True, slots=True, kw_only=True)
class Coded:
    """An activation ready to travel.

    Attributes:
        payload: the frame.
        codec: that it is in, as work names it.
        array_bytes: of the activation.
        noted: why it is not in the codec that was asked for, one word each; empty where it is.
    """

    payload: bytes
    codec: str
    array_bytes: int
    noted: tuple[str, ...]


@dataclass(slots=True)
class _Point:
    """What is known of one split point: which codecs may be used there, and what their frames take."""

    budget: float
    errors: dict[str, float]
    bits: dict[str, float]  # an element; follows the frames that are sent
    frames: int = 0


@dataclass(slots=True)
class Coder:
    """Codes activations within the error budgets of a bundle; holds what it learnt of their frames."""

    calibrations: Mapping[int, Calibration]
    device: Device
    points: dict[int, _Point] = field(default_factory=dict)

    def encode(self, array: Array, layer: int, wanted: str, rate: float | None) -> Coded:
        """Return an activation as a frame.

        Args:
            array: what leaves block `layer`.
            layer: blocks computed.
            wanted: the codec that the plan names; of one that we cannot use, another takes the place.
            rate: bytes a second of the link as it is now; None where nobody knows.

        Raises:
            CodecError: the activation holds values that are not finite.
        """
        codec, noted = self._chosen(array, layer, wanted, rate)
        try:
            payload = self._frame(array, layer, codec)
        except CodecError:
            if codec == EXACT or not np.isfinite(array).all():
                raise
            codec, noted = EXACT, (*noted, "codec-refused")
            payload = self._frame(array, layer, codec)
        self._learn(array, layer, codec, len(payload))
        return Coded(payload=payload, codec=codec, array_bytes=array.nbytes, noted=noted)

    def decode(self, payload: bytes, layer: int, codec: str, limits: Limits) -> Array:
        """Return the activation in a frame that arrived in `codec`.

        Raises:
            CodecError: it is no such frame, or coded with a calibration that is not ours.
        """
        if codec not in CALIBRATED:
            return decode(payload, limits=limits)
        known = self.calibrations.get(layer)
        if known is None:
            raise CodecError(
                "no-calibration", f"there is no calibration after block {layer} here; compare the bundles"
            )
        # Beside the activation there are its outlier channels, fewer than all, and eight bytes of digest.
        beside = replace(limits, array_bytes=2 * limits.array_bytes + 8, tensors=limits.tensors + 2)
        return known.decode(payload, beside)

    def _frame(self, array: Array, layer: int, codec: str) -> bytes:
        if codec in CALIBRATED:
            return bytes(self.calibrations[layer].encode(array, CALIBRATED[codec]))
        return bytes(encode(array, codec=codec))

    def _chosen(
        self, array: Array, layer: int, wanted: str, rate: float | None
    ) -> tuple[str, tuple[str, ...]]:
        """Return the codec to use, and why it is another than the one that is wanted."""
        point, known = self.points.get(layer), self._usable(layer, wanted)
        if wanted == EXACT:
            return EXACT, ()
        if point is None:
            return (wanted, ()) if known else (DEFAULT, ("codec-unknown",))
        within = known and point.errors.get(wanted, np.inf) <= point.budget
        if within and rate is None:
            return wanted, ()
        # A receiver with another calibration could not read it: only a planner knows whether it has ours.
        bits = {c: b for c, b in point.bits.items() if c not in CALIBRATED or c == wanted}
        speed = rate or ASSUMED_RATE
        best = choose(speed, self.device, _tensor(array.size, bits, point), point.budget)
        if not within:
            return best.codec, ("codec-over-budget" if known else "codec-unknown",)
        asked = choose(speed, self.device, _tensor(array.size, {wanted: bits[wanted]}, point), point.budget)
        if best.seconds < WORTH * asked.seconds:
            return best.codec, ("codec-refined",)
        return wanted, ()

    def _usable(self, layer: int, codec: str) -> bool:
        return codec in CODECS or (codec in CALIBRATED and layer in self.calibrations)

    def _learn(self, array: Array, layer: int, codec: str, size: int) -> None:
        """Fold a frame's size into what is known, and now and then what the others would take."""
        point = self.points.get(layer)
        if point is None:
            return
        if codec in point.bits:
            _fold(point.bits, codec, 8 * size / array.size)
        point.frames += 1
        if point.frames % _PROBE_EVERY == 0:
            every = -(-array.size // _PROBE_ELEMENTS)
            probed = statistics_of(np.ascontiguousarray(array[:, ::every]))
            for name, (bits, _) in probed.by_codec.items():
                if name in point.bits and name != codec:
                    _fold(point.bits, name, bits)


def make_coder(codings: Codings, costs: Mapping[str, CodecCost]) -> Coder:
    """Return a coder that knows what was measured of a bundle and, of coding, of this device.

    Args:
        codings: of the bundle.
        costs: of this device; the receiver is taken to be as fast, since only planners know how fast it is.
    """
    measured = {name: CodecSeconds(**cost.model_dump()) for name, cost in costs.items()}
    points = {
        budget.layer: _Point(
            budget=budget.error_budget,
            errors={name: report.error for name, report in budget.codecs.items() if name in measured},
            bits={
                name: 8 * report.frame_bytes / (budget.codecs[EXACT].frame_bytes / 4)
                for name, report in budget.codecs.items()
                if name in measured
            },
        )
        for budget in codings.budgets
        if EXACT in budget.codecs and EXACT in measured
    }
    calibrations = {layer: Calibration.from_arrays(arrays) for layer, arrays in codings.calibrations.items()}
    return Coder(calibrations=calibrations, device=Device(sender=measured, receiver=measured), points=points)


def _tensor(elements: int, bits: Mapping[str, float], point: _Point) -> TensorStatistics:
    sizes = {name: each * elements / 8 for name, each in bits.items()}
    return statistics_from(max(1, elements), sizes, point.errors)


def _fold(bits: dict[str, float], codec: str, seen: float) -> None:
    bits[codec] += _GAIN * (seen - bits[codec])
