"""Coding with what is known of a split point's channels beforehand: their means, scales and outliers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from tierline_codecs.arrays import Array, as_array, spec_of
from tierline_codecs.errors import CodecError
from tierline_codecs.frame import Frame, decode_tensors, encode_each
from tierline_codecs.limits import DEFAULT, Limits

CALIBRATED: Mapping[str, str] = MappingProxyType({"int8-calibrated": "int8"})
"""Codecs that work only between programs that know the same calibration, and what each codes with."""

_VALUES, _OUTLIERS, _DIGEST = "", "outliers", "calibration"


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Mean and scale of every channel at one split point, which never travel; only their digest does.

    A channel is an index of the last axis, as of a hidden state (B, T, H), or of the second of a map
    (B, C, H, W). What is coded is (value - mean) / scale; for outlier channels it goes beside the rest as
    half floats, so that their massive activations do not coarsen everybody else's step.

    Attributes:
        mean: of each channel (C,).
        scale: of each channel (C,), above 0; usually its standard deviation.
        outliers: channels that go as half floats, ascending.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    outliers: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse what cannot calibrate."""
        channels = self.mean.shape
        whole = len(channels) == 1 and self.scale.shape == channels and self.outliers.ndim == 1
        if not whole or not np.isfinite(self.mean).all() or not np.isfinite(self.scale).all():
            raise CodecError("bad-calibration", "mean and scale must be finite, one for each channel")
        if self.scale.min(initial=1) <= 0 or not set(self.outliers.tolist()) <= set(range(channels[0])):
            raise CodecError("bad-calibration", "scales must be above 0, and outliers be channels")

    @cached_property
    def digest(self) -> bytes:
        """What both sides compare: eight bytes."""
        parts = (self.mean.astype("<f4"), self.scale.astype("<f4"), self.outliers.astype("<i8"))
        return xxhash.xxh3_64_digest(b"".join(part.tobytes() for part in parts))

    def to_arrays(self) -> dict[str, Array]:
        """Return what a bundle keeps."""
        return {"mean": self.mean, "scale": self.scale, "outliers": self.outliers}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array]) -> "Calibration":
        """Return the calibration that a bundle kept.

        Raises:
            CodecError: it is damaged.
        """
        try:
            mean, scale = arrays["mean"].astype(np.float32), arrays["scale"].astype(np.float32)
            return cls(mean=mean, scale=scale, outliers=arrays["outliers"].astype(np.int64))
        except KeyError as error:
            raise CodecError(
                "bad-calibration", f"calibration has no {error}; build the bundle anew"
            ) from error

    def encode(self, array: object, codec: str = "int8") -> bytearray:
        """Return an array of floats as one frame that only `decode` of an equal calibration reads.

        Raises:
            CodecError: this array cannot be encoded so, or has other channels.
        """
        values = as_array(array)
        if not spec_of(values).is_float:
            raise CodecError("bad-dtype", "calibration is for floats; encode whole numbers without")
        shape = self._beside(values.shape)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is refused by the codec
            plain = (values.astype(np.float32) - self.mean.reshape(shape)) / self.scale.reshape(shape)
        plain = plain.astype(values.dtype)
        parts = [(_DIGEST, np.frombuffer(self.digest, np.uint8), "raw")]
        if self.outliers.size:
            where = self._outliers_of(values.ndim)
            parts.append((_OUTLIERS, np.ascontiguousarray(plain[where]), "fp16"))
            plain[where] = 0
        return encode_each([(_VALUES, plain, codec), *parts])

    def decode(self, frame: Frame, limits: Limits = DEFAULT) -> Array:
        """Return the array in a frame that an equal calibration's `encode` made.

        Raises:
            CodecError: it is no such frame.
        """
        found = decode_tensors(frame, limits)
        values, digest = found.get(_VALUES), found.get(_DIGEST)
        if values is None or digest is None or not spec_of(values).is_float:
            raise CodecError("no-calibration", "frame was encoded without calibration; decode it without")
        if digest.tobytes() != self.digest:
            raise CodecError(
                "no-calibration", "frame was encoded with another calibration; compare the bundles"
            )
        shape = self._beside(values.shape)
        if self.outliers.size:
            where = self._outliers_of(values.ndim)
            kept = found.get(_OUTLIERS)
            if kept is None or kept.shape != values[where].shape or kept.dtype != values.dtype:
                raise CodecError("bad-payload", "frame's outlier channels are not those of its calibration")
            values[where] = kept
        with np.errstate(over="ignore", invalid="ignore"):
            plain = values.astype(np.float32) * self.scale.reshape(shape) + self.mean.reshape(shape)
            array: Array = plain.astype(values.dtype)
        return array

    def _beside(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape in which channels stand beside an array of `shape`."""
        axis = _channel_axis(len(shape))
        if not shape or shape[axis] != self.mean.size:
            raise CodecError(
                "bad-calibration", f"shape {shape} has not the {self.mean.size} calibrated channels"
            )
        return tuple(side if at == axis % len(shape) else 1 for at, side in enumerate(shape))

    def _outliers_of(self, dimensions: int) -> tuple[Any, ...]:
        return (slice(None), self.outliers) if dimensions == 4 else (..., self.outliers)


def calibrate(arrays: Sequence[object], outliers: int = 0) -> Calibration:
    """Measure a split point on calibration data.

    Args:
        arrays: activations of samples, at least one, all of the same channels.
        outliers: how many of the channels of the largest magnitude go as half floats.

    Raises:
        CodecError: there is nothing to measure.
    """
    columns = [_by_channel(as_array(array).astype(np.float64)) for array in arrays]
    if not columns or not sum(column.shape[1] for column in columns):
        raise CodecError("bad-calibration", "calibration needs at least one activation with elements")
    values = np.concatenate(columns, axis=1)  # (C, elements)
    largest = np.abs(values - values.mean(axis=1, keepdims=True)).max(axis=1)
    deviation = values.std(axis=1)
    return Calibration(
        mean=values.mean(axis=1).astype(np.float32),
        scale=np.maximum(deviation, max(float(deviation.max()) * 1e-3, 1e-30)).astype(np.float32),
        outliers=np.sort(np.argsort(largest)[::-1][:outliers]).astype(np.int64),
    )


def _channel_axis(dimensions: int) -> int:
    return 1 if dimensions == 4 else -1


def _by_channel(array: Array) -> NDArray[np.float64]:
    moved = np.moveaxis(np.atleast_1d(array), _channel_axis(array.ndim), 0)
    flat: NDArray[np.float64] = moved.reshape(moved.shape[0], -1)
    return flat
