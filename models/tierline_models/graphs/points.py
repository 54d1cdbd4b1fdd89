"""What a user is told of a split point and of an exit."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class TensorSpec:
    """One tensor that goes in or travels, as the example made it."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    varies: tuple[int, ...] = ()  # dimensions whose size is the input's choice


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


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitExit:
    """An early exit: where it is, what it costs for the example, and how its logits are calibrated."""

    layer: int  # blocks computed before it
    classes: int
    temperature: float  # logits are divided by it before they become probabilities
    flops: int
    weight_bytes: int
