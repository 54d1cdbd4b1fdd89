"""Run one PyTorch model across phone, edge and cloud: split a model, connect to a deployment and ask it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tierline.client import Answered, Client, InferenceError, connect
    from tierline_models import load, split

__all__ = ["Answered", "Client", "InferenceError", "connect", "load", "split"]

_ELSEWHERE = {"load": "tierline_models", "split": "tierline_models"}


def __getattr__(name: str) -> Any:
    """Load a public name at its first use, so that help stays quick and clients need no torch."""
    if name in __all__:
        return getattr(import_module(_ELSEWHERE.get(name, "tierline.client")), name)
    raise AttributeError(f"module 'tierline' has no attribute {name!r}")
