"""The bytes of an image file to the tensor that an image model takes; every byte is taken for hostile."""

import io
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from tierline_models.arrays import Array, as_tensors
from tierline_models.errors import BundleError, InputError
from tierline_models.pictures import MAX_BYTES

if TYPE_CHECKING:
    from torch import Tensor

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 64_000_000  # 192 MB when decoded; the sensors of common phones give up to 50 million
LARGEST_SIDE = 4096  # pixels of what a model takes

_RESAMPLE = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
_ORIENTATION = 0x0112  # the EXIF tag
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# What Pillow raises for damaged files, and for headers that announce huge ones.
_DAMAGED = (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, EOFError, struct.error)
_TOO_LARGE = (Image.DecompressionBombError, Image.DecompressionBombWarning)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageInput:
    """How a photograph becomes what a model takes: its centre, resized and normalised.

    Of each value v of 0 to 255 remains (v / scale - mean) / deviation. Three channels are red, green and
    blue, one is grey, by how many means there are.
    """

    height: int
    width: int
    mean: Sequence[float] = (0.485, 0.456, 0.406)  # ImageNet's
    deviation: Sequence[float] = (0.229, 0.224, 0.225)
    scale: float = 255.0
    crop: float = 1.0  # how much of the largest centred rectangle of this shape is looked at
    resample: Literal["bicubic", "bilinear"] = "bicubic"

    def __post_init__(self) -> None:
        """Refuse what no photograph can become.

        Raises:
            BundleError: with one sentence that names the setting.
        """
        sides = (self.height, self.width)
        numbers = (*self.mean, *self.deviation, self.scale, self.crop)
        if not all(type(side) is int and 1 <= side <= LARGEST_SIDE for side in sides):
            raise BundleError(f"images of {sides} pixels make no sense; sides are 1 to {LARGEST_SIDE}")
        if not all(type(one) in (int, float) and abs(one) <= 1e6 for one in numbers):
            raise BundleError("an image's means, deviations, scale and crop are finite numbers")
        if len(self.mean) not in (1, 3) or len(self.deviation) != len(self.mean):
            raise BundleError("give one mean and one deviation a channel: three for colours, one for grey")
        if min(*self.deviation, self.scale) <= 0 or not 0 < self.crop <= 1:
            raise BundleError("an image's deviations and scale are above 0, its crop above 0 and at most 1")
        if self.resample not in _RESAMPLE:
            raise BundleError(f"{self.resample!r:.40} is no way to resample; choose {' or '.join(_RESAMPLE)}")
        object.__setattr__(self, "mean", tuple(self.mean))
        object.__setattr__(self, "deviation", tuple(self.deviation))

    def arrays(self, data: bytes) -> tuple[Array, ...]:
        """The bytes of a JPEG, PNG or WebP file to one (1, C, height, width) float32; raises InputError."""
        pixels = np.array(_decoded(data, self), dtype=np.float32).reshape(self.height, self.width, -1)
        planes = np.ascontiguousarray(pixels.transpose(2, 0, 1)) / np.float32(self.scale)  # (C, H, W)
        mean, deviation = (np.array(one, np.float32)[:, None, None] for one in (self.mean, self.deviation))
        return (((planes - mean) / deviation)[None],)

    def prepare(self, data: bytes) -> tuple["Tensor", ...]:
        """The same as tensors."""
        return as_tensors(self.arrays(data))


def _decoded(data: bytes, wanted: ImageInput) -> Image.Image:
    if not data:
        raise InputError("the image is empty; send the bytes of a JPEG, PNG or WebP file")
    if len(data) > MAX_BYTES:
        raise InputError(f"the image has {len(data)} bytes and {MAX_BYTES} are taken; send a smaller one")
    try:
        return _cut(_open(data), wanted)
    except _TOO_LARGE as error:
        raise InputError(f"the image has more than {MAX_PIXELS} pixels; send a smaller one") from error
    except UnidentifiedImageError as error:
        raise InputError("this is no image; send the bytes of a JPEG, PNG or WebP file") from error
    except _DAMAGED as error:
        raise InputError(f"the image is cut short or damaged ({error}); send it again") from error


def _open(data: bytes) -> Image.Image:
    """Read the header, and no pixels of an image that is too large."""
    image = Image.open(io.BytesIO(data), formats=FORMATS)
    if image.width * image.height > MAX_PIXELS:
        raise Image.DecompressionBombError
    return image


def _cut(image: Image.Image, wanted: ImageInput) -> Image.Image:
    """The centre, upright, in the colours and the size wanted."""
    orientation = image.getexif().get(_ORIENTATION, 1)
    across, down = wanted.width, wanted.height
    if orientation in (5, 6, 7, 8):  # lies on its side until it is turned
        across, down = down, across
    # A JPEG decodes at a half, a quarter or an eighth much faster, and still at twice what we need.
    wide = across * image.height < down * image.width
    times, over = (down, image.height) if wide else (across, image.width)
    image.draft(None, (2 * times * image.width // over, 2 * times * image.height // over))
    part = wanted.crop * min(image.width / across, image.height / down)  # pixels there for one here
    edges = max(1.0, part * across), max(1.0, part * down)
    left, top = (image.width - edges[0]) / 2, (image.height - edges[1]) / 2
    box = (left, top, left + edges[0], top + edges[1])
    coloured = _rgb(image) if len(wanted.mean) == 3 else _rgb(image).convert("L")
    cut = coloured.resize((across, down), _RESAMPLE[wanted.resample], box=box)
    turn = _UPRIGHT.get(orientation)
    return cut if turn is None else cut.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    """Three channels of eight bits; what is transparent becomes white."""
    if image.mode.startswith("I;16"):  # Pillow would clip at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    drawn = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
