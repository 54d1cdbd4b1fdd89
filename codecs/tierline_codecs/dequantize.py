"""Eight-bit whole numbers back to floats, and which scales may make them."""

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierline_codecs.arrays import FLOAT32, Array
from tierline_codecs.errors import CodecError
from tierline_codecs.native import ScaleRows, kernels, lent
from tierline_codecs.quantize import largest_of, largest_scale
from tierline_codecs.scratch import blocks, room_for, scale_codes

_LENT_FROM = 2**18  # values: below, another library's start takes longer than numpy's passes


def to_values(codes: NDArray[Any], scales: NDArray[np.float32], out: Array) -> None:
    """Write code * scale of the rows (R, N) into `out` (R, N), of whatever floats; scales are (R,)."""
    single = out.dtype == FLOAT32
    if single and codes.itemsize == 1 and codes.size and out.flags.aligned and scales.flags.aligned:
        faster = _faster(codes.size)
        if faster:
            faster(codes, scales, out)
            return
    if codes.itemsize > 1:  # whose product with float32 numpy would make a float64
        codes = codes.astype(np.float32)
    if single:
        scale_codes(codes, scales, out)
        return
    for block in blocks(*codes.shape):
        piece = codes[block]
        values = room_for(piece.shape).floats
        scale_codes(piece, scales[block[0]], values)
        np.copyto(out[block], values, casting="unsafe")


def _faster(size: int) -> ScaleRows | None:
    """Return what makes values of so many codes in less time than numpy, if that is at hand."""
    native = kernels()
    if native:
        return native.dequantize
    return lent() if size >= _LENT_FROM else None


def check_scales(scales: NDArray[np.float32], dtype: str, levels: int) -> bool:
    """Refuse scales that make no values, and return whether one more level would make such of any.

    Raises:
        CodecError: one is negative or not finite, or makes values that the data type cannot hold.
    """
    if not scales.size:
        return False
    # As whole numbers NaN, infinity and whatever is negative are larger than any scale.
    found = largest_of(scales.view(np.uint32))
    most, tight = _scale_bits(dtype, levels)
    if found > most:
        raise CodecError(
            "bad-scale",
            f"frame has a scale that is no number from 0 to {largest_scale(dtype, levels):g}",
        )
    return found > tight


@lru_cache(maxsize=64)
def _scale_bits(dtype: str, levels: int) -> tuple[int, int]:
    """Return the bits of the largest scale for so many levels, and for one more."""
    most, tight = (int(largest_scale(dtype, one).view(np.uint32)) for one in (levels, levels + 1))
    return most, tight
