"""What a node without torch must know of a bundle besides its graph: worked out with torch, kept as JSON."""

import base64
import binascii
import json
from dataclasses import asdict, dataclass
from typing import Any

from tierline_models.card import ModelCardData, PointData, RouteData
from tierline_models.errors import BundleError
from tierline_models.graphs.points import TensorSpec
from tierline_models.served import Sizes, Travelling

ABOUT = "onnx.json"
_FORMAT = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What `load_saved` makes of a bundle."""

    card: ModelCardData
    labels: tuple[str, ...]
    temperatures: dict[int, float]  # by layer; of the last, the model's own output
    output: int  # which of the tensors that the model returns is logits
    travelling: tuple[tuple[Travelling, ...], ...]  # by split point
    inputs: tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]  # at their smallest and at their largest
    example: bytes


def about_to_json(about: About) -> bytes:
    """For the file."""
    document = asdict(about) | {
        "format": _FORMAT,
        "temperatures": [[layer, value] for layer, value in about.temperatures.items()],
        "travelling": [[_part_to_json(part) for part in parts] for parts in about.travelling],
        "example": base64.b64encode(about.example).decode(),
    }
    return json.dumps(document, indent=1).encode()


def about_from_json(document: Any) -> About:
    """From the file; raises BundleError for what is not as this version writes it."""
    try:
        if document["format"] != _FORMAT:
            raise ValueError(f"it is of format {document['format']!r:.20}")
        low, high = document["inputs"]
        return About(
            card=_card(document["card"]),
            labels=tuple(map(str, document["labels"])),
            temperatures={int(layer): float(value) for layer, value in document["temperatures"]},
            output=int(document["output"]),
            travelling=tuple(tuple(map(_part, parts)) for parts in document["travelling"]),
            inputs=(tuple(map(_spec, low)), tuple(map(_spec, high))),
            example=base64.b64decode(document["example"], validate=True),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError, binascii.Error) as error:
        raise BundleError(f"{ABOUT} is not as this version writes it: {error!r:.120}") from error


def _part_to_json(part: Travelling) -> dict[str, Any]:
    spans = [[one.start, one.stop - 1] if isinstance(one, range) else [one, one] for one in part.sizes]
    return {"name": part.name, "dtype": part.dtype, "sizes": spans}


def _part(document: dict[str, Any]) -> Travelling:
    sizes: Sizes = tuple(
        int(low) if low == high else range(int(low), int(high) + 1) for low, high in document["sizes"]
    )
    return Travelling(name=str(document["name"]), dtype=str(document["dtype"]), sizes=sizes)


def _spec(document: dict[str, Any]) -> TensorSpec:
    shape, varies = (tuple(map(int, document[key])) for key in ("shape", "varies"))
    name, dtype = str(document["name"]), str(document["dtype"])
    return TensorSpec(name=name, shape=shape, dtype=dtype, bytes=int(document["bytes"]), varies=varies)


def _card(document: dict[str, Any]) -> ModelCardData:
    fields = document | {
        "points": tuple(PointData(**one) for one in document["points"]),
        "exits": tuple(document["exits"]),
        "exit_cards": (),  # the bundle's cartography has them
        "routes": tuple(
            RouteData(
                exits=tuple(one["exits"]),
                thresholds=tuple(one["thresholds"]),
                shares=tuple(one["shares"]),
                accuracy=one["accuracy"],
            )
            for one in document["routes"]
        ),
    }
    return ModelCardData(**fields)
