"""What is at hand that is faster than numpy: compiled kernels (the extra `native`), or a lent library's."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tierline_codecs.errors import CodecError

ScaleRows = Callable[[NDArray[np.int8 | np.uint8], NDArray[np.float32], NDArray[np.float32]], None]
"""Writes codes (R, N) times scales (R,) into float32 values (R, N), all contiguous and aligned."""


@dataclass(frozen=True, slots=True)
class Kernels:
    """The loops that are compiled; arrays are C-ordered, aligned, and have elements.

    Attributes:
        peak: values (N,) to their largest magnitude, below 0 where one is not finite.
        code_and_peak: values (N,), factor, codes (N,) to what `peak` returns.
        quantize: values (R, N), scales (R,), codes (R, N), levels to whether all values were finite.
        scale: values (R, N), factors (R,), codes (R, N) to nothing.
        dequantize: codes (R, N), scales (R,), values (R, N) to nothing.
    """

    peak: Callable[..., np.float32]
    code_and_peak: Callable[..., np.float32]
    quantize: Callable[..., bool]
    scale: Callable[..., None]
    dequantize: ScaleRows


class _Loaded:
    kernels: Kernels | None = None
    scale_rows: ScaleRows | None = None


_LOADED = _Loaded()
_LOADING = threading.Lock()


def kernels() -> Kernels | None:
    """Return the kernels, or None where numpy does the work."""
    return _LOADED.kernels


def lend(scale_rows: ScaleRows | None) -> None:
    """Let large arrays be decoded by another library's product, such as torch's, where nothing is compiled.

    It must return what float32 multiplication does, bit for bit. None takes it back.
    """
    _LOADED.scale_rows = scale_rows


def lent() -> ScaleRows | None:
    """Return what was lent."""
    return _LOADED.scale_rows


def warm_up() -> float | None:
    """Compile the kernels and use them from now on: frames stay the same, bit for bit, but take less time.

    Compiling takes some seconds the first time; later programs find the result in numba's cache and take
    about one, most of it numba's own start. So call it where a program starts, in a thread if others wait.

    Returns:
        The seconds that it took, or None where numba is not installed and numpy goes on doing the work.

    Raises:
        CodecError: numba is there, but does not work.
    """
    start = time.perf_counter()
    with _LOADING:
        if _LOADED.kernels is None:
            try:
                from tierline_codecs import kernels as compiled
            except ModuleNotFoundError as error:
                if error.name != "numba":
                    raise
                return None
            except Exception as error:
                raise CodecError(
                    "no-kernels",
                    f"numba cannot compile the codecs' kernels ({type(error).__name__}: {error});"
                    " update or remove it: numpy does the same without",
                ) from error
            _LOADED.kernels = Kernels(*(getattr(compiled, one) for one in Kernels.__slots__))
    return time.perf_counter() - start
