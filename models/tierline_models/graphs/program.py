"""A model as plain data: a straight line of named operator calls that any process can rebuild."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True, slots=True)
class Ref:
    """A value computed earlier in the line, or an input."""

    name: str


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter, buffer or constant, by its dotted name."""

    name: str


@dataclass(frozen=True, slots=True)
class Device:
    """Wherever the segment runs: models are traced on one machine and run on another."""


Argument = (
    None
    | bool
    | int
    | float
    | str
    | Ref
    | Weight
    | Device
    | torch.dtype
    | torch.layout
    | torch.memory_format
    | tuple["Argument", ...]
)


@dataclass(frozen=True, slots=True)
class Call:
    """One operator call: `name = op(*args, **kwargs)`."""

    name: str
    op: str  # `aten.conv2d.default`, or a name of operators.PYTHON
    args: tuple[Argument, ...]
    kwargs: dict[str, Argument] = field(default_factory=dict)

    def uses(self) -> Iterator[str]:
        """Names of the values it reads, weights not counted, in order and with repeats."""
        return (leaf.name for leaf in self.leaves() if isinstance(leaf, Ref))

    def weights(self) -> Iterator[str]:
        """Names of the weights it reads."""
        return (leaf.name for leaf in self.leaves() if isinstance(leaf, Weight))

    def leaves(self) -> Iterator[Argument]:
        """Every argument that is not a tuple, however deep."""
        return leaves_of((self.args, tuple(self.kwargs.values())))

    def replacing(self, change: Callable[[Argument], Argument]) -> "Call":
        """The same call with every leaf put through `change`."""
        args = tuple(convert(arg, change) for arg in self.args)
        return Call(self.name, self.op, args, {key: convert(arg, change) for key, arg in self.kwargs.items()})


Structure = int | dict[str, Any]
"""How outputs nest: a number is that output; {"tuple": [...]}, {"list": [...]}, {"dict": {...}} hold more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A whole model."""

    inputs: tuple[str, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Argument, ...]
    structure: Structure


def leaves_of(argument: Argument) -> Iterator[Argument]:
    """Every argument inside, however deep, that is not a tuple."""
    if isinstance(argument, tuple):
        for inner in argument:
            yield from leaves_of(inner)
    else:
        yield argument


def convert(argument: Argument, change: Callable[[Argument], Argument]) -> Argument:
    """The argument with every leaf put through `change`."""
    if isinstance(argument, tuple):
        return tuple(convert(inner, change) for inner in argument)
    return change(argument)


def nest(structure: Structure, outputs: tuple[Any, ...]) -> Any:
    """Outputs as the model's own code returns them."""
    if isinstance(structure, int):
        return outputs[structure]
    match structure:
        case {"tuple": list(parts)}:
            return tuple(nest(part, outputs) for part in parts)
        case {"list": list(parts)}:
            return [nest(part, outputs) for part in parts]
        case {"dict": dict(parts)}:
            return {key: nest(part, outputs) for key, part in parts.items()}
        case _:
            raise ValueError(f"no structure of outputs: {structure!r}")
