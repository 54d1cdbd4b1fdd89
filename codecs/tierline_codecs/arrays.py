"""Which arrays have a place in a frame: data types, shapes, and how foreign tensors become numpy arrays."""

import math
import sys
from functools import lru_cache
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

from tierline_codecs.errors import CodecError
from tierline_codecs.limits import Limits

Array = NDArray[Any]

# The name on the wire is numpy's own, without byte order: values travel little-endian. numpy has no bfloat16.
DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(f"<{name}")
    for name in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8")
} | {"bf16": np.dtype(ml_dtypes.bfloat16)}

FLOAT32 = DTYPES["f4"]
_NAMES = {dtype: name for name, dtype in DTYPES.items()}


class Spec(NamedTuple):
    """What an array is, without its values."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    name: str
    """Of the data type, on the wire."""

    @property
    def size(self) -> int:
        """How many elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """How many bytes they take in memory."""
        return self.size * self.dtype.itemsize

    @property
    def is_float(self) -> bool:
        """Whether the elements are floating point."""
        return self.dtype.kind in "fV"  # V: bfloat16


def spec_of(array: Array) -> Spec:
    """Return what `array` is.

    Raises:
        CodecError: its data type has no place in a frame.
    """
    return _spec(array.dtype, array.shape)


@lru_cache(maxsize=256)
def _spec(dtype: np.dtype[Any], shape: tuple[int, ...]) -> Spec:
    return Spec(dtype, shape, dtype_name(dtype))


def dtype_name(dtype: np.dtype[Any]) -> str:
    """Return a data type's name on the wire.

    Raises:
        CodecError: it has no place in a frame.
    """
    name = _NAMES.get(dtype) or _NAMES.get(dtype.newbyteorder("<"))
    if name is None:
        raise CodecError("bad-dtype", f"arrays of {dtype} cannot be encoded; convert to one of {_names()}")
    return name


def read_spec(dtype: object, shape: object, limits: Limits) -> Spec:
    """Return what a frame claims to hold, having checked that it may.

    Raises:
        CodecError: the claim is malformed or beyond the limits.
    """
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise CodecError("bad-dtype", f"frame has an unknown data type; known are {_names()}")
    if not isinstance(shape, list | tuple) or len(shape) > limits.dimensions:
        raise CodecError("bad-shape", f"frame's shape is no list of at most {limits.dimensions} numbers")
    if not all(type(side) is int and side >= 0 for side in shape):
        raise CodecError("bad-shape", "frame's shape has a side that is no whole number from 0")
    spec = Spec(DTYPES[dtype], tuple(shape), dtype)
    # A side of 0 must not hide huge others, which numpy would refuse in its own way.
    claimed = math.prod(max(side, 1) for side in shape) * spec.dtype.itemsize
    if claimed > limits.array_bytes:
        raise CodecError(
            "too-large", f"frame claims {claimed} bytes, at most {limits.array_bytes} are accepted"
        )
    return spec


def as_array(array: object) -> Array:
    """Return a numpy array or a CPU tensor as a contiguous little-endian array, copied only if it must be.

    Raises:
        CodecError: it is neither, or of a data type that has no place in a frame.
    """
    native = array if type(array) is np.ndarray else _from_foreign(array)
    if native.flags.c_contiguous and native.dtype in _NAMES:
        return native
    dtype = DTYPES[dtype_name(native.dtype)]
    # reshape: ascontiguousarray would make one dimension out of none
    return np.ascontiguousarray(native, dtype=dtype).reshape(native.shape)


def _from_foreign(array: Any) -> Array:
    """Take over a tensor through DLPack or the array protocol, without importing the library it is of."""
    if isinstance(array, np.ndarray | np.generic):
        return np.asarray(array)
    if not hasattr(array, "__dlpack__") and not hasattr(array, "__array__"):
        raise CodecError(
            "bad-array", f"a {type(array).__name__} is no array; give a numpy array or a CPU tensor"
        )
    try:
        if str(getattr(array, "dtype", "")) == "torch.bfloat16":
            return _from_torch_bfloat16(array)
        return np.from_dlpack(array) if hasattr(array, "__dlpack__") else np.asarray(array)
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError) as error:
        raise CodecError(
            "bad-array",
            f"this {type(array).__name__} cannot be read as an array ({_first_line(error)});"
            f" move it to the CPU, detach it, and convert it to one of {_names()}",
        ) from error


def _from_torch_bfloat16(tensor: Any) -> Array:
    """Take over bfloat16 as the 16-bit whole numbers that DLPack lets numpy read."""
    torch = sys.modules["torch"]  # whoever made the tensor has imported it
    if tensor.requires_grad:
        raise ValueError("it requires grad")
    return np.from_dlpack(tensor.view(torch.int16)).view(ml_dtypes.bfloat16)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _names() -> str:
    return ", ".join(dtype.name for dtype in DTYPES.values())
