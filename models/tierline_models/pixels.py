"""The bytes of an image file to the tensor that the image workload takes; every byte is taken for hostile."""

import io
import struct

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from tierline_models.efficientnet import SIDE
from tierline_models.errors import InputError
from tierline_models.pictures import MAX_BYTES

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 64_000_000  # 192 MB when decoded; the sensors of common phones give up to 50 million

CROP = SIDE / (SIDE + 32)  # of the shorter side: the part in the middle that the model was trained to look at
# Not the mean and deviation of ImageNet: the weights come from TensorFlow's Lite models, which were fed so.
MEAN, SCALE = 127.0, 128.0

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


def image_tensor(data: bytes) -> Tensor:
    """Decode, cut the central square, scale: (1, 3, 224, 224) float32, about -1 to 1; raises InputError."""
    pixels = np.array(_square(data), dtype=np.float32).transpose(2, 0, 1)  # (3, 224, 224)
    scaled = (np.ascontiguousarray(pixels) - np.float32(MEAN)) / np.float32(SCALE)
    return torch.from_numpy(scaled).unsqueeze(0)


def _square(data: bytes) -> Image.Image:
    if not data:
        raise InputError("the image is empty; send the bytes of a JPEG, PNG or WebP file")
    if len(data) > MAX_BYTES:
        raise InputError(f"the image has {len(data)} bytes and {MAX_BYTES} are taken; send a smaller one")
    try:
        return _cut(_open(data))
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


def _cut(image: Image.Image) -> Image.Image:
    """The central square, upright, in RGB, SIDE pixels wide."""
    shorter = min(image.size)
    # A JPEG decodes at a half, a quarter or an eighth much faster, and still at twice what we need.
    width, height = (2 * SIDE * side // shorter for side in image.size)
    image.draft(None, (width, height))
    edge = max(1.0, CROP * min(image.size))
    left, top = (image.width - edge) / 2, (image.height - edge) / 2
    box = (left, top, left + edge, top + edge)
    square = _rgb(image).resize((SIDE, SIDE), Image.Resampling.BICUBIC, box=box)
    turn = _UPRIGHT.get(image.getexif().get(_ORIENTATION, 1))
    return square if turn is None else square.transpose(turn)


def _rgb(image: Image.Image) -> Image.Image:
    """Three channels of eight bits; what is transparent becomes white."""
    if image.mode.startswith("I;16"):  # Pillow would clip at 255
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    drawn = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
