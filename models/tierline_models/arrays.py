"""Arrays of numpy where torch may be missing, and tensors of them where it is not."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]


def as_tensors(arrays: Sequence[Array]) -> "tuple[Tensor, ...]":
    """Tensors that share the arrays' memory."""
    from torch import from_numpy  # here: a node without torch reads inputs too

    return tuple(from_numpy(one) for one in arrays)
