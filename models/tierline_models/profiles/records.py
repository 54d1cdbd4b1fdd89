"""`profile.json`: what one bundle costs on each class of devices, checked when it is read."""

import json
import os
from pathlib import Path
from statistics import median
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from tierline_models.errors import BundleError
from tierline_models.graphs.files import regular_size

FILE = "profile.json"
MOST_PASSES = 100  # kept of one input size; the oldest go first
MOST_BYTES = 32 * 2**20

Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**50)]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Shape = Annotated[tuple[Annotated[int, Field(ge=0, le=2**40)], ...], Field(max_length=16)]
Row = Annotated[tuple[Seconds, ...], Field(min_length=1, max_length=4096)]
Counts = Annotated[tuple[Count, ...], Field(min_length=1, max_length=4096)]


class Record(BaseModel):
    """Base: frozen; fields of later versions are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class SizeProfile(Record):
    """What inputs of one size cost, block by block."""

    inputs: Annotated[dict[Name, Shape], Field(min_length=1, max_length=64)]  # shape by input
    flops: Counts
    bytes: Counts  # of the activation at the block's end
    memory_bytes: Counts  # of all activations alive while it runs, at most
    seconds: Annotated[tuple[Row, ...], Field(min_length=1, max_length=MOST_PASSES)]  # a row a pass
    exit_seconds: Annotated[dict[Annotated[int, Field(ge=1, le=4096)], Row], Field(max_length=64)] = {}

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        blocks = len(self.flops)
        if {len(self.bytes), len(self.memory_bytes), *map(len, self.seconds)} != {blocks}:
            raise ValueError(f"not every row has an entry for each of {blocks} blocks")
        if any(layer > blocks for layer in self.exit_seconds):
            raise ValueError(f"there is an exit beyond the last of {blocks} blocks")
        return self

    def quantile(self, share: float) -> tuple[float, ...]:
        """Seconds per block that this share of all passes kept within (nearest rank; 0.5: the median)."""
        if share == 0.5:
            return tuple(median(times) for times in zip(*self.seconds, strict=True))
        ordered = [sorted(times) for times in zip(*self.seconds, strict=True)]
        return tuple(times[round(share * (len(times) - 1))] for times in ordered)

    def whole(self, share: float) -> float:
        """Seconds of all blocks together that this share of all passes kept within (nearest rank)."""
        return sorted(map(sum, self.seconds))[round(share * (len(self.seconds) - 1))]

    def merged(self, other: "SizeProfile") -> "SizeProfile":
        """The passes of both, the other's last."""
        layers = self.exit_seconds.keys() | other.exit_seconds.keys()
        exits = {
            layer: (*self.exit_seconds.get(layer, ()), *other.exit_seconds.get(layer, ()))[-MOST_PASSES:]
            for layer in sorted(layers)
        }
        seconds = (*self.seconds, *other.seconds)[-MOST_PASSES:]
        return other.model_copy(update={"seconds": seconds, "exit_seconds": exits})


class CodecFigure(Record):
    """What a codec makes of the activation at one split point."""

    bytes: Count  # of the whole frame
    error: Annotated[float, Field(ge=0, allow_inf_nan=False)]  # relative (L2), of the tensors that travel
    encode_seconds: Seconds
    decode_seconds: Seconds


class DeviceProfile(Record):
    """What was measured on one class of devices."""

    torch: Name
    sizes: Annotated[tuple[SizeProfile, ...], Field(min_length=1, max_length=64)]  # the example's first
    codecs: Annotated[
        dict[Name, Annotated[tuple[CodecFigure, ...], Field(max_length=4096)]], Field(max_length=32)
    ] = {}  # by codec, an entry a split point

    @model_validator(mode="after")
    def _same_blocks(self) -> Self:
        blocks = {len(size.flops) for size in self.sizes}
        if len(blocks) > 1:
            raise ValueError(f"sizes disagree on how many blocks there are: {sorted(blocks)}")
        if any(len(figures) != self.blocks - 1 for figures in self.codecs.values()):
            raise ValueError(f"not every codec has an entry for each of {self.blocks - 1} split points")
        return self

    @property
    def blocks(self) -> int:
        """How many blocks were measured."""
        return len(self.sizes[0].flops)

    def merged(self, other: "DeviceProfile") -> "DeviceProfile":
        """Runs of both by input size, figures of codecs from the other where it has them."""
        if self.blocks != other.blocks:
            return other
        sizes = {json.dumps(size.inputs): size for size in self.sizes}
        for size in other.sizes:
            key = json.dumps(size.inputs)
            sizes[key] = sizes[key].merged(size) if key in sizes else size
        return DeviceProfile(
            torch=other.torch, sizes=tuple(sizes.values())[:64], codecs={**self.codecs, **other.codecs}
        )


class BundleProfile(Record):
    """All that is known of one bundle, by class of device."""

    format: Literal[1] = 1
    bundle: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]  # its digest
    devices: Annotated[dict[Name, DeviceProfile], Field(max_length=64)]

    def merged(self, other: "BundleProfile") -> "BundleProfile":
        """Both: of one class the runs of both, of different classes each its own."""
        devices = dict(self.devices)
        for name, device in other.devices.items():
            devices[name] = devices[name].merged(device) if name in devices else device
        return BundleProfile(bundle=other.bundle, devices=devices)


def read_profile(path: Path, digest: str) -> BundleProfile | None:
    """The profile of this bundle in a file; None where there is no file.

    Raises:
        BundleError: it is damaged, forged, or of another bundle.
    """
    if not os.path.lexists(path):
        return None
    if regular_size(path) > MOST_BYTES:
        raise BundleError(f"{path} is larger than any profile; remove it and profile the bundle again")
    return parse_profile(path.read_bytes(), digest, str(path))


def parse_profile(content: bytes | str, digest: str | None, where: str) -> BundleProfile:
    """The profile in a JSON document.

    Args:
        content: of the document.
        digest: of the bundle that it must be of, if any.
        where: it came from, for errors.
    """
    try:
        profile = BundleProfile.model_validate_json(content, strict=False)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))[:100]
        raise BundleError(
            f"{where} is no profile that can be used ({place}: {first['msg'][:120]}); "
            "remove it and profile the bundle again"
        ) from error
    if digest is not None and profile.bundle != digest:
        raise BundleError(
            f"{where} is of another bundle ({profile.bundle[:12]}, not {digest[:12]}); "
            "remove it and profile the bundle again"
        )
    return profile
