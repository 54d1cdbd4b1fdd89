"""How many bytes of activations are alive at most while blocks run."""

import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the storages of tensors that operators make, until nobody holds them.

    What a kernel takes for itself and gives back before it returns is not seen.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.now = 0
        self.most = 0
        self._seen: set[int] = set()

    def hold(self, tensors: Any) -> None:
        """Count these tensors from now on."""
        for one in tree_leaves(tensors):
            if isinstance(one, Tensor):
                self._hold(one.untyped_storage())

    def overlook(self, tensors: Iterable[Tensor]) -> None:
        """Never count these, nor what is a view of them: the weights."""
        self._seen.update(one.untyped_storage()._cdata for one in tensors)

    def begin(self) -> None:
        """Forget the largest so far."""
        self.most = self.now

    def _hold(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._drop, key, size)

    def _drop(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run the operator and count what it made."""
        made = func(*args, **(kwargs or {}))
        self.hold(made)
        return made
