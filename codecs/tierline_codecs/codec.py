"""What a codec is: it makes a payload of an array, and an array of a payload."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tierline_codecs.arrays import Array, Spec
from tierline_codecs.errors import CodecError

Params = tuple[int, ...]
Bytes = NDArray[np.uint8]
Make = Callable[[], Array]
"""Returns an array of the spec that is read, with no values in it yet."""


class Packed(NamedTuple):
    """A payload that is about to be written.

    Attributes:
        codec: that was used in the end, as the frame names it.
        params: whole numbers that its reader needs.
        size: of the payload, in bytes.
        parts: what it consists of, in order, where that is at hand.
        write: else writes it into memory from a byte on, 8-aligned, where it has as many bytes.
    """

    codec: str
    params: Params
    size: int
    parts: Sequence[Bytes]
    write: Callable[[bytearray, int], None] | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Codec:
    """One way to turn an array into a payload and back; equal to itself alone.

    Attributes:
        name: as plans and the command line spell it.
        exact: whether what comes back is what went in, bit for bit.
        floats_only: whether whole numbers and booleans are refused.
        pack: returns the payload of a contiguous little-endian array.
        unpack: returns the array of a payload, given its params and spec; only the spec has been checked
            before. It takes the memory for the values from its last argument once all else is checked.
        view: returns the array of a payload without a copy, for codecs that leave values as they are.
        payload_bytes: returns how long the payload of such an array is, at most.
        longest_params: returns params that take as many bytes as any for such an array.
    """

    name: str
    exact: bool = False
    floats_only: bool = True
    pack: Callable[[Array], Packed]
    unpack: Callable[[memoryview, Params, Spec, Make], Array]
    payload_bytes: Callable[[Spec], int]
    longest_params: Callable[[Spec], Params] = lambda _: ()
    view: Callable[[memoryview, Params, Spec], Array] | None = None

    def check(self, spec: Spec) -> None:
        """Refuse an array that this codec is not for.

        Raises:
            CodecError: its elements are not floats, and they must be.
        """
        if self.floats_only and not spec.is_float:
            raise CodecError(
                "bad-dtype", f"codec {self.name} is for floats, not {spec.dtype.name}; use codec raw"
            )


def bytes_in(array: NDArray[Any]) -> Bytes:
    """Return the bytes of a contiguous array, not copied."""
    return array.reshape(-1).view(np.uint8)


def payload_of(codec: str, params: Params, *parts: NDArray[Any] | bytes) -> Packed:
    """Return a payload that consists of these parts in order."""
    raw = [np.frombuffer(part, np.uint8) if isinstance(part, bytes) else bytes_in(part) for part in parts]
    return Packed(codec, params, sum([part.size for part in raw]), raw)


def expect_bytes(payload: memoryview, size: int) -> None:
    """Refuse a payload of another length.

    Raises:
        CodecError: it is not `size` bytes.
    """
    if len(payload) != size:
        raise CodecError(
            "bad-payload", f"frame has {len(payload)} bytes of payload where its shape asks for {size}"
        )


def expect_params(params: Params, *most: int) -> Params:
    """Return params, one for each of `most`, having checked that each is from 0 to that.

    Raises:
        CodecError: they are others.
    """
    if len(params) == len(most):
        for one, top in zip(params, most, strict=True):
            if not 0 <= one <= top:
                break
        else:
            return params
    raise CodecError("bad-header", "frame's header has parameters that its codec does not have")
