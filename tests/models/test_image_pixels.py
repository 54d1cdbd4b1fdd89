import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tierline_models import InputError
from tierline_models.crops import example_jpeg
from tierline_models.image import image_tensor
from tierline_models.pixels import MAX_BYTES

WHITE, BLACK = 1.0, -127 / 128


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(width: int = 300, height: int = 200) -> Image.Image:
    """Smooth, coloured and the same in no direction."""
    across, down = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    planes = np.stack([across, down, across * down**2], axis=-1)
    return Image.fromarray((planes * 255).astype(np.uint8))


def png_header(width: int, height: int) -> bytes:
    """A PNG that announces a size and holds no pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_jpeg_png_and_webp_give_the_same_picture(kind: str):
    exact = image_tensor(encoded(picture()))

    x = image_tensor(encoded(picture(), kind, quality=95))

    assert x.shape == (1, 3, 224, 224)
    assert str(x.dtype) == "torch.float32"
    assert x.is_contiguous()
    assert (x - exact).abs().mean() < 0.02


def test_brightness_is_scaled_as_the_weights_expect():
    assert image_tensor(encoded(Image.new("RGB", (300, 200), "white"))).unique().tolist() == [WHITE]
    assert image_tensor(encoded(Image.new("RGB", (300, 200), "black"))).unique().tolist() == [BLACK]


def test_only_the_middle_is_looked_at():
    framed = Image.new("RGB", (320, 256), "red")
    framed.paste(Image.new("RGB", (232, 232), "white"), (44, 12))

    assert image_tensor(encoded(framed)).unique().tolist() == [WHITE]


def test_channels_come_in_the_order_red_green_blue():
    x = image_tensor(encoded(Image.new("RGB", (50, 50), (255, 127, 0))))

    assert x.mean(dim=(0, 2, 3)).tolist() == [WHITE, 0.0, BLACK]


@pytest.mark.parametrize(
    ("orientation", "turned"),
    [
        (1, None),
        (2, Image.Transpose.FLIP_LEFT_RIGHT),
        (3, Image.Transpose.ROTATE_180),
        (4, Image.Transpose.FLIP_TOP_BOTTOM),
        (5, Image.Transpose.TRANSPOSE),
        (6, Image.Transpose.ROTATE_90),
        (7, Image.Transpose.TRANSVERSE),
        (8, Image.Transpose.ROTATE_270),
    ],
)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_photograph_held_sideways_is_turned_upright(
    kind: str, orientation: int, turned: Image.Transpose | None
):
    upright = picture(256, 256)
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = upright if turned is None else upright.transpose(turned)

    x = image_tensor(encoded(stored, kind, exif=exif, quality=95))

    assert (x - image_tensor(encoded(upright))).abs().mean() < 0.02


def test_what_is_transparent_becomes_white():
    clear = Image.new("RGBA", (64, 64), (255, 0, 0, 0))
    palette = Image.new("P", (64, 64))

    assert image_tensor(encoded(clear)).unique().tolist() == [WHITE]
    assert image_tensor(encoded(palette, transparency=0)).unique().tolist() == [WHITE]
    assert image_tensor(encoded(palette, transparency=bytes([0, 255]))).unique().tolist() == [WHITE]


def test_sixteen_bits_of_grey_keep_their_shades():
    grey = Image.fromarray(np.full((64, 64), 127 * 256 + 200, dtype=np.uint16))

    assert image_tensor(encoded(grey)).unique().tolist() == [0.0]


@pytest.mark.parametrize("mode", ["L", "CMYK", "1"])
def test_other_kinds_of_pixels_are_taken(mode: str):
    kind = "JPEG" if mode == "CMYK" else "PNG"

    assert image_tensor(encoded(picture().convert(mode), kind)).shape == (1, 3, 224, 224)


def test_a_large_photograph_is_decoded_at_a_lower_resolution_and_looks_the_same():
    large = picture(3000, 2000)

    assert (image_tensor(encoded(large, "JPEG")) - image_tensor(encoded(large))).abs().mean() < 0.02


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 2)])
def test_the_smallest_images_are_taken(size: tuple[int, int]):
    assert image_tensor(encoded(Image.new("RGB", size, "white"))).unique().tolist() == [WHITE]


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"", "the image is empty; send the bytes of a JPEG, PNG or WebP file"),
        (b"a gorgeous, witty film", "this is no image"),
        (b"\xff\xd8\xff", "this is no image"),
        (encoded(picture(), "GIF"), "this is no image"),
        (encoded(picture(), "TIFF"), "this is no image"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "this is no image"),
        (bytes(MAX_BYTES + 1), "has 33554433 bytes and 33554432 are taken"),
        (png_header(8001, 8000), "more than 64000000 pixels; send a smaller one"),
        (png_header(10_000, 10_000), "more than 64000000 pixels; send a smaller one"),
        (png_header(2**31 - 1, 2**31 - 1), "more than 64000000 pixels; send a smaller one"),
        (png_header(100, 100), "cut short or damaged"),
    ],
    ids=["empty", "text", "start", "gif", "tiff", "zeros", "bytes", "pixels", "many", "huge", "no pixels"],
)
def test_what_is_no_image_that_we_take_is_refused_in_one_sentence(data: bytes, complaint: str):
    with pytest.raises(InputError, match=complaint) as refused:
        image_tensor(data)

    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_file_cut_short_is_refused(kind: str, share: float):
    whole = encoded(picture(), kind)

    with pytest.raises(InputError, match=r"cut short or damaged|is no image"):
        image_tensor(whole[: int(share * len(whole))])


SEEDS = [
    encoded(picture(60, 40), "JPEG"),
    encoded(picture(60, 40), "JPEG", progressive=True),
    encoded(picture(60, 40), "PNG"),
    encoded(picture(60, 40).quantize(16), "PNG", transparency=bytes(range(16))),
    encoded(picture(60, 40), "WEBP"),
    encoded(picture(60, 40), "WEBP", save_all=True, append_images=[picture(60, 40).rotate(90)]),
]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, of damaged EXIF
@settings(max_examples=200, deadline=None)
@given(
    seed=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    end=st.integers(0, 5000),
)
def test_a_damaged_file_gives_a_picture_or_an_input_error(
    seed: bytes, changes: list[tuple[int, int]], end: int
):
    damaged = bytearray(seed)
    for place, value in changes:
        damaged[place % len(damaged)] = value

    try:
        x = image_tensor(bytes(damaged[:end]))
    except InputError:
        return

    assert x.shape == (1, 3, 224, 224)
    assert x.abs().max() <= WHITE


def test_the_example_is_an_image():
    assert image_tensor(example_jpeg()).std() > 0.1
