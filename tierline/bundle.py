"""`tierline bundle`: make a bundle, show its map of split points, prove that split equals unsplit."""

import json
import runpy
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tierline.bundle_inspect import inspect
from tierline.errors import FAILED, UsageError
from tierline.terminal import waiting

if TYPE_CHECKING:
    from tierline_models import Split

ROUNDING = 1e-4  # what another build of torch may differ by; a wrong graph differs by far more


def main(args: Namespace) -> int:
    """Run the command."""
    actions: dict[str, Callable[[Namespace], int]] = {
        "build": _build,
        "calibrate": _calibrate,
        "inspect": inspect,
        "verify": _verify,
    }
    return actions[args.action](args)


def _build(args: Namespace) -> int:
    from tierline_models import Split, split

    if args.model is None:
        raise UsageError("build needs --model FILE.py:NAME, a function that returns (model, example_inputs)")
    made = _from_code(args.model)
    with waiting("splitting"):
        cut = made if isinstance(made, Split) else split(*made, every=args.every)
        digest = cut.save(args.folder, name=args.name, onnx=args.onnx)
    return _tell_differences(args, cut, digest)


def _from_code(place: str) -> Any:
    """What the function named returns: a model and its example inputs, or a split model."""
    file, _, name = place.rpartition(":")
    if not file or not Path(file).is_file():
        raise UsageError(f"{place!r} names no file and function; write it as path/to/model.py:make")
    found = runpy.run_path(file).get(name)
    if not callable(found):
        raise UsageError(f"{file} has no function {name!r}")
    made = found()
    if type(made).__name__ != "Split" and (not isinstance(made, tuple) or len(made) != 2):
        raise UsageError(
            f"{name} in {file} must return two things, the model and its example inputs, or a split model"
        )
    return made


def _calibrate(args: Namespace) -> int:
    from tierline.bundle_calibrate import run

    return run(args)


def _verify(args: Namespace) -> int:
    cut = _load(args.folder)
    return _tell_differences(args, cut, cut.digest)


def _tell_differences(args: Namespace, cut: "Split", digest: str) -> int:
    with waiting("comparing at every split point"):
        differences, exits = cut.differences(), cut.exit_differences()
        apart = _onnx_differences(args.folder)
    worst = max([*differences, *exits])
    if args.json:
        document = {"name": cut.name, "digest": digest, "blocks": cut.layers, "differences": differences}
        document["exit_differences"] = exits
        print(json.dumps(document | ({"onnx_differences": apart} if apart else {})))
    else:
        print(f"{cut.name} {digest[:12]}: {_verdict(worst, len(differences), len(exits))}")
        if apart:
            print(f"its ONNX differs from torch by up to {max(apart):.2g} of the largest value after a block")
    return 0 if max(worst, *apart, 0.0) <= ROUNDING else FAILED


def _onnx_differences(folder: str) -> list[float]:
    """By block; nothing for a bundle without ONNX."""
    from tierline_models import load, onnx_differences

    files = load(folder).files
    return [] if files is None or "blocks/0001.onnx" not in files else onnx_differences(folder)


def _verdict(worst: float, points: int, exits: int) -> str:
    if worst == 0.0:
        more = f" and {exits} exit{'s' * (exits > 1)}" if exits else ""
        return f"split equals unsplit bit for bit at all {points} split points{more}"
    if worst <= ROUNDING:
        return f"split differs from unsplit by up to {worst:.3g}: rounding, as of another build of torch"
    return f"split differs from unsplit by up to {worst:.3g}, more than rounding; make the bundle again"


def _load(folder: str) -> "Split":
    from tierline_models import load

    return load(folder)
