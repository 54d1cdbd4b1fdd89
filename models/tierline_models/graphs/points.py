"""What a user is told of a split point."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One tensor that travels, as the example made it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitPoint:
    """A place where the model can be cut, and what that costs for the example."""

    layer: int  # blocks computed before it
    tensors: tuple[TensorSpec, ...]
    flops_before: int
    flops_after: int
    weight_bytes_before: int  # of the weights that the head holds
    weight_bytes_after: int
    seconds: float | None = None  # of the blocks before it, once measured

    @property
    def bytes(self) -> int:
        """What travels, uncoded."""
        return sum(one.bytes for one in self.tensors)
