"""More inputs out of few photographs: crops and mirror images as a phone would send them, fixed by a seed."""

import io
import random
from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image, ImageOps

CROPS = 27  # per photograph: fifteen photographs make 405 inputs
MANY_CROPS = 34  # 510 inputs, of which one is 0.2 %
SHORTER_SIDE = 256  # pixels
QUALITY = 90  # of the JPEG


def crops(photographs: Mapping[str, bytes], split: str, count: int = CROPS) -> Iterator[bytes]:
    """`count` JPEG files of each photograph; the first is the whole of it, the others differ by split."""
    for name, data in photographs.items():
        image = Image.open(io.BytesIO(data)).convert("RGB")
        yield _jpeg(image)
        rng = random.Random(f"{split} {name}")
        for _ in range(count - 1):
            yield _jpeg(_crop(image, rng))


def example_jpeg() -> bytes:
    """An image of typical size that needs no photograph: coloured blobs under a little noise."""
    rng = np.random.default_rng(0)
    blobs = Image.fromarray(rng.integers(0, 256, (16, 24, 3), dtype=np.uint8))
    smooth = np.asarray(blobs.resize((SHORTER_SIDE * 3 // 2, SHORTER_SIDE), Image.Resampling.BICUBIC))
    noisy = smooth + rng.normal(0, 4, smooth.shape)
    return _jpeg(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))


def _crop(image: Image.Image, rng: random.Random) -> Image.Image:
    """Between half and nine tenths of both sides, from anywhere, every other one mirrored."""
    part = rng.uniform(0.5, 0.9)
    width, height = image.width * part, image.height * part
    left, top = rng.uniform(0, image.width - width), rng.uniform(0, image.height - height)
    cut = image.crop((round(left), round(top), round(left + width), round(top + height)))
    return ImageOps.mirror(cut) if rng.random() < 0.5 else cut


def _jpeg(image: Image.Image) -> bytes:
    scale = SHORTER_SIDE / min(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    file = io.BytesIO()
    image.resize(size, Image.Resampling.BICUBIC).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
