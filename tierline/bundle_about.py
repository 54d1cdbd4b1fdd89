"""What a bundle says of itself beside its map: exits, labels, what it takes, what it was made with."""

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tierline.terminal import console

if TYPE_CHECKING:
    from tierline_models import Split, TensorSpec

_LABELS = 8  # of which at most so many are printed


def about(cut: "Split") -> dict[str, Any]:
    """For `--json`."""
    return {
        "exits": [asdict(one) for one in cut.exits],
        "labels": list(cut.labels),
        "temperature": cut.temperature,
        "inputs": [asdict(one) for one in cut.inputs],
        "preprocessing": preprocessing(cut),
        "accuracy": None if cut.routes is None else cut.routes.accuracy,
        "versions": dict(cut.versions),
    }


def preprocessing(cut: "Split") -> str:
    """How a raw input becomes what the model takes, in words."""
    from tierline_models import ImageInput, TextInput

    match cut.preprocessing:
        case TextInput(longest=longest, gives=gives):
            return f"text of up to {longest} pieces ({', '.join(gives)})"
        case ImageInput() as image:
            kind = "a colour" if len(image.mean) == 3 else "a grey"
            return f"{kind} image of {image.width} x {image.height} pixels"
        case _:
            return "a safetensors file with a tensor for each input"


def print_about(cut: "Split") -> None:
    """Print it, exits as a table."""
    if cut.exits:
        table = Table("exit after", "classes", "temperature", "MFLOP", "weights kB", box=None, pad_edge=False)
        for one in cut.exits:
            cost = (f"{one.flops / 1e6:.3f}", f"{one.weight_bytes / 1e3:.1f}")
            table.add_row(f"block {one.layer}", str(one.classes), f"{one.temperature:g}", *cost)
        console().print(table)
    for sentence in _sentences(cut):
        print(sentence)


def _sentences(cut: "Split") -> Iterator[str]:
    yield f"takes {' and '.join(map(_taken, cut.inputs))}; nodes take {preprocessing(cut)}"
    if cut.labels:
        more = f" and {len(cut.labels) - _LABELS} more" if len(cut.labels) > _LABELS else ""
        yield f"labels: {', '.join(cut.labels[:_LABELS])}{more}"
    if cut.exits and cut.routes is None:
        yield "what its exits are worth was not measured (`split.calibrate`): a scheduler leaves them alone"
    if cut.versions:
        yield f"made with {', '.join(f'{name} {version}' for name, version in sorted(cut.versions.items()))}"


def _taken(spec: "TensorSpec") -> str:
    sizes = ("any" if dim in spec.varies else str(size) for dim, size in enumerate(spec.shape))
    return f"{spec.name} ({', '.join(sizes)}) of {spec.dtype}"
