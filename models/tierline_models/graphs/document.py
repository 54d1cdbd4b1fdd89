"""A program as JSON and back; what comes back is checked as if an enemy had written it."""

import keyword
import re
from collections.abc import Sequence
from typing import Any

import torch

from tierline_models.errors import BundleError
from tierline_models.graphs.operators import find
from tierline_models.graphs.program import Argument, Call, Device, Program, Ref, Structure, Weight, leaves_of
from tierline_models.graphs.source import Cut

_VALUE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}", re.ASCII)
_WEIGHT = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+){0,63}", re.ASCII)
_DEEPEST = 8
_KINDS: dict[str, type] = {"dtype": torch.dtype, "layout": torch.layout, "memory": torch.memory_format}


def program_to_json(program: Program, cuts: Sequence[Cut] = ()) -> dict[str, Any]:
    """One JSON object with everything but the weights."""
    return {
        "inputs": list(program.inputs),
        "calls": [_call_to_json(call) for call in program.calls],
        "outputs": _to_json(program.outputs),
        "structure": program.structure,
        "cuts": [
            {
                "place": cut.place,
                "carried": list(cut.carried),
                "recompute": [_call_to_json(call) for call in cut.recompute],
            }
            for cut in cuts
        ],
    }


def program_from_json(document: Any, file: str = "graph.json") -> tuple[Program, tuple[Cut, ...]]:
    """Read it back; raises BundleError for all but a line of calls that each read what was made before.

    Args:
        document: as read from JSON.
        file: where from, to be named.
    """
    try:
        program = Program(
            inputs=tuple(_name(one) for one in document["inputs"]),
            calls=tuple(_call(one) for one in document["calls"]),
            outputs=tuple(_argument(one) for one in document["outputs"]),
            structure=_structure(document["structure"], len(document["outputs"])),
        )
        cuts = tuple(
            Cut(
                place=_place(one["place"], len(program.calls)),
                carried=tuple(_name(name) for name in one["carried"]),
                recompute=tuple(_call(call) for call in one["recompute"]),
            )
            for one in document["cuts"]
        )
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise BundleError(f"{file} is not a graph as this version writes it: {error!r:.120}") from error
    _check_order(program.inputs, program.calls, program.outputs)
    _check_cuts(program, cuts)
    return program, cuts


def _call_to_json(call: Call) -> list[Any]:
    kwargs = {key: _to_json(value) for key, value in call.kwargs.items()}
    return [call.name, call.op, _to_json(call.args), kwargs]


def _to_json(argument: Argument) -> Any:
    match argument:
        case Ref(name):
            return {"value": name}
        case Weight(name):
            return {"weight": name}
        case Device():
            return {"device": "here"}
        case tuple():
            return [_to_json(inner) for inner in argument]
        case bool() | int() | str() | None:
            return argument
        case float():
            return {"float": argument.hex()}
        case torch.dtype():
            return {"dtype": str(argument).removeprefix("torch.")}
        case torch.layout():
            return {"layout": str(argument).removeprefix("torch.")}
        case torch.memory_format():
            return {"memory": str(argument).removeprefix("torch.")}


def _call(document: Any) -> Call:
    name, op, args, kwargs = document
    if not isinstance(kwargs, dict):
        raise TypeError("keyword arguments are no object")
    call = Call(
        _name(name),
        str(op),
        tuple(_argument(one) for one in args),
        {_name(key): _argument(one) for key, one in kwargs.items()},
    )
    find(call.op)
    numbers = all(isinstance(one, Ref | int | float) for one in call.args)
    if call.op.startswith("sym.") and not numbers:
        raise BundleError(f"the graph does arithmetic on sizes with something else, in {call.name}")
    return call


def _argument(document: Any, depth: int = 0) -> Argument:
    if depth > _DEEPEST:
        raise ValueError("arguments are nested too deep")
    if isinstance(document, list):
        return tuple(_argument(one, depth + 1) for one in document)
    if not isinstance(document, dict):
        return _plain(document)
    ((kind, content),) = document.items()
    match kind:
        case "value":
            return Ref(_name(content))
        case "weight":
            return Weight(_weight(content))
        case "device":
            return Device()
        case "float":
            return float.fromhex(content)
        case "dtype" | "layout" | "memory":
            return _constant(kind, _name(content))
        case _:
            raise ValueError(f"there is no argument of kind {kind!r}")


def _plain(document: Any) -> Argument:
    if document is None or isinstance(document, bool):
        return document
    if isinstance(document, int) and abs(document) < 2**63:
        return document
    if isinstance(document, str) and len(document) <= 100:
        return document
    raise ValueError(f"{document!r:.60} is no argument")


def _constant(kind: str, name: str) -> Argument:
    found: Argument = getattr(torch, name, None)
    if not isinstance(found, _KINDS[kind]):
        raise BundleError(f"torch {torch.__version__} has no {kind} {name}; update torch here")
    return found


def _name(document: Any) -> str:
    if not isinstance(document, str) or not _VALUE.fullmatch(document) or keyword.iskeyword(document):
        raise ValueError(f"{document!r:.60} is no name")
    return document


def _weight(document: Any) -> str:
    if not isinstance(document, str) or not _WEIGHT.fullmatch(document):
        raise ValueError(f"{document!r:.60} is no name of a weight")
    return document


def _place(document: Any, calls: int) -> int:
    if not isinstance(document, int) or not 0 < document < calls:
        raise ValueError(f"{document!r:.60} is no place to cut")
    return document


def _structure(document: Any, outputs: int, depth: int = 0) -> Structure:
    if isinstance(document, int) and not isinstance(document, bool) and 0 <= document < outputs:
        return document
    if isinstance(document, dict) and len(document) == 1 and depth <= _DEEPEST:
        ((kind, parts),) = document.items()
        if kind in ("tuple", "list") and isinstance(parts, list):
            return {kind: [_structure(part, outputs, depth + 1) for part in parts]}
        if kind == "dict" and isinstance(parts, dict):
            return {kind: {key: _structure(part, outputs, depth + 1) for key, part in parts.items()}}
    raise ValueError("the outputs' structure makes no sense")


def _check_order(inputs: Sequence[str], calls: Sequence[Call], outputs: Sequence[Argument]) -> None:
    made = set(inputs)
    for call in calls:
        for name in call.uses():
            if name not in made:
                raise BundleError(f"the graph reads {name!r} in {call.name!r} before anything has made it")
        if call.name in made:
            raise BundleError(f"the graph makes {call.name!r} twice")
        made.add(call.name)
    for leaf in leaves_of(tuple(outputs)):
        if isinstance(leaf, Ref) and leaf.name not in made:
            raise BundleError(f"the graph returns {leaf.name!r}, which nothing has made")


def _check_cuts(program: Program, cuts: Sequence[Cut]) -> None:
    """Every block must find what it reads in what is carried to it."""
    ends: list[Cut | None] = [*cuts[1:], None]
    for cut, end in zip(cuts, ends[: len(cuts)], strict=True):
        last = len(program.calls) if end is None else end.place
        if last <= cut.place:
            raise BundleError("the graph's cuts are not in order")
        outputs = program.outputs if end is None else tuple(Ref(name) for name in end.carried)
        _check_order(cut.carried, (*cut.recompute, *program.calls[cut.place : last]), outputs)
