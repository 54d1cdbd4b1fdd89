"""What a frame from the network may claim."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Upper bounds that are checked before anything is allocated.

    Attributes:
        frame_bytes: of the frame as it arrives.
        array_bytes: of the arrays that it becomes, together.
        dimensions: of each one's shape.
        tensors: in one frame.
    """

    frame_bytes: int = 64 * 2**20
    array_bytes: int = 256 * 2**20
    dimensions: int = 8
    tensors: int = 64


DEFAULT = Limits()
