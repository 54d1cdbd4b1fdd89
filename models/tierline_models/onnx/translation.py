"""Which ONNX a call of a program becomes: a table by operator, and what its translators share."""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from tierline_models.errors import SplitError
from tierline_models.graphs.operators import PYTHON, find, packet_of
from tierline_models.graphs.program import Argument, Call, Ref, Weight
from tierline_models.onnx.builder import FLOATING, Builder, Number, Tensor
from tierline_models.onnx.check import Stored

Value = Any  # a Tensor, a Number, several of them, or a plain value
Facts = dict[str, tuple[tuple[int, ...], str]]  # by value: its shape for the example, its type


class Translation:
    """One range of a program on its way to ONNX."""

    def __init__(self, stored: dict[str, Stored], facts: Facts) -> None:
        self.builder = Builder(stored)
        self.values: dict[str, Value] = {}
        self._facts = facts

    def take(self, name: str) -> Tensor:
        """An input of the range."""
        shape, dtype = self._facts[name]
        self.values[name] = tensor = Tensor(name, shape, dtype)
        return tensor

    def add(self, call: Call) -> None:
        """Translate one call; raises SplitError for what ONNX is not written for here."""
        translator = TRANSLATORS.get(packet_of(call.op) or call.op)
        if translator is None:
            raise SplitError(
                f"{call.op} (the graph's {call.name}) cannot be written as ONNX by this version; "
                "save the bundle without ONNX, and run it with torch"
            )
        made = translator(Site(self.builder, self._facts.get(call.name), call), **self._arguments(call))
        self.values[call.name] = made

    def resolve(self, argument: Argument) -> Value:
        """What an argument of a call stands for."""
        match argument:
            case Ref(name):
                return self.values[name]
            case Weight(name):
                return self.builder.weight(name)
            case tuple():
                return [self.resolve(inner) for inner in argument]
            case _:
                return argument

    def _arguments(self, call: Call) -> dict[str, Value]:
        """By the names that torch's own schema has, defaults filled in."""
        given = [self.resolve(one) for one in call.args]
        if call.op in PYTHON:
            return {"args": given}
        schema = find(call.op)._schema.arguments  # type: ignore[attr-defined]
        names = ["x" if one.name in ("self", "input") else one.name for one in schema]
        found = {name: one.default_value for name, one in zip(names, schema, strict=True)}
        found |= dict(zip(names, given, strict=False))
        found |= {key: self.resolve(one) for key, one in call.kwargs.items()}
        return {name: value for name, value in found.items() if name not in _IRRELEVANT}


_IRRELEVANT = frozenset(
    {
        "device",
        "layout",
        "pin_memory",
        "memory_format",
        "non_blocking",
        "copy",
        "cudnn_enable",
        "cudnn_enabled",
    }
)


class Site:
    """The call that a translator stands at."""

    def __init__(self, builder: Builder, fact: tuple[tuple[int, ...], str] | None, call: Call) -> None:
        self.builder = builder
        self.node = builder.node
        self.constant = builder.constant
        self.packet = packet_of(call.op) or call.op
        self._fact = fact
        self._call = call

    @property
    def dtype(self) -> str:
        """Of the result."""
        return self._known[1]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result, for the example."""
        return self._known[0]

    @property
    def _known(self) -> tuple[tuple[int, ...], str]:
        if self._fact is None:
            raise self.refuse("several results of unknown types")
        return self._fact

    def result(self, name: str) -> Tensor:
        """The call's one tensor."""
        return Tensor(name, *self._known)

    def refuse(self, what: str) -> SplitError:
        """For a use of an operator that has no ONNX here."""
        return SplitError(
            f"{self._call.op} (the graph's {self._call.name}) cannot be written as ONNX with {what}; "
            "save the bundle without ONNX, and run it with torch"
        )

    def operands(self, *values: Value, dtype: str | None = None) -> list[str]:
        """Tensors and numbers in one type, the one that torch would compute in if none is given."""
        kind = dtype or _common(values)
        return [
            self.builder.cast(one, kind) if isinstance(one, Tensor) else self.builder.scalar(one, kind)
            for one in values
        ]


Translator = Callable[..., Value]
TRANSLATORS: dict[str, Translator] = {}


def translates(*operators: str) -> Callable[[Translator], Translator]:
    """Put a function into the table, for these operators (whatever their overload)."""

    def register(function: Translator) -> Translator:
        TRANSLATORS.update(dict.fromkeys(operators, function))
        return function

    return register


def name_of(dtype: Any) -> str:
    """`float32` of `torch.float32`."""
    return str(dtype).removeprefix("torch.")


def _common(values: Sequence[Value]) -> str:
    """The type that torch promotes these to: a plain number counts only if its kind is higher."""
    tensors = [one.dtype for one in values if isinstance(one, Tensor)]
    kind = tensors[0]
    for other in tensors[1:]:
        kind = name_of(torch.promote_types(getattr(torch, kind), getattr(torch, other)))
    if any(isinstance(one, float) for one in values) and kind not in FLOATING:
        return "float32"
    if kind == "bool" and any(isinstance(one, int | Number) and not isinstance(one, bool) for one in values):
        return "int64"
    return kind
