"""Which bundles there are, and how each is loaded."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal

from tierline_models.bundle import Bundle, Served
from tierline_models.errors import BundleError

BUILT_IN = ("text", "image")

Loader = Callable[[], Bundle]


def load_bundle(name: str | Path, *, max_layer: int | None = None) -> Bundle:
    """Load a bundle, fetching its weights into the cache at the first call.

    Sets torch to one thread: a node computes one sample at a time, and a split run equals the unsplit one bit
    for bit only where all nodes sum in the same order.

    Args:
        name: `text`, `image`, or a directory that `Split.save` wrote.
        max_layer: keep only blocks 1..max_layer in memory.
    """
    import torch  # here: a node of another runtime does without it

    torch.set_num_threads(1)
    if str(name) not in BUILT_IN and (Path(name) / "bundle.json").is_file():
        from tierline_models.saved import load_saved

        return load_saved(Path(name), max_layer=max_layer)
    loader = _loader(name)
    bundle = loader()
    if max_layer is None:
        return bundle
    return replace(bundle, model=bundle.model.load_range(max_layer))


def load_served(
    name: str | Path, *, runtime: Literal["torch", "onnx"] = "torch", max_layer: int | None = None
) -> Served:
    """Load a bundle for a node.

    Args:
        name: as `load_bundle` has it; with `onnx` a directory.
        runtime: what is to compute the blocks; `onnx` needs no torch.
        max_layer: keep only blocks 1..max_layer in memory.

    Raises:
        BundleError: there is no such bundle, or none for this runtime.
    """
    if runtime == "torch":
        return load_bundle(name, max_layer=max_layer)
    if str(name) in BUILT_IN:
        raise BundleError(
            f"{name} runs with torch only; for onnxruntime make a bundle of your own with "
            "`tierline bundle build --onnx`"
        )
    from tierline_models.onnx.load import load_onnx

    return load_onnx(Path(name), max_layer=max_layer)


def _loader(name: str | Path) -> Loader:
    """How to load a built-in bundle; imported here so that nobody loads what they do not run."""
    match str(name):
        case "text":
            from tierline_models.text import load_text

            return load_text
        case "image":
            from tierline_models.image import load_image

            return load_image
        case _:
            raise _unknown(Path(name))


def _unknown(path: Path) -> BundleError:
    if path.is_dir():
        return BundleError(f"{path} holds no bundle.json, so it is no bundle; try `text` or `image`")
    return BundleError(f"there is no bundle called {str(path)!r}; try `text` or `image`")
