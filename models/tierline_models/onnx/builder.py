"""Put one ONNX graph together: nodes, small constants, weights that lie in files beside it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

from tierline_models.onnx.check import OPERATORS, TYPES, WEIGHT, Stored, external

FLOATING = frozenset({"float64", "float32", "float16", "bfloat16"})


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value of the graph."""

    name: str
    shape: tuple[int, ...]  # for the example; other sizes come at other times, the rank does not change
    dtype: str

    @property
    def rank(self) -> int:
        """How many dimensions."""
        return len(self.shape)


@dataclass(frozen=True, slots=True)
class Number:
    """A size that is known only while the graph runs: a value of shape (1,)."""

    name: str
    dtype: str = "int64"


class Builder:
    """Collects what a graph consists of; names of ours hold a slash, those of a program never do."""

    def __init__(self, stored: Mapping[str, Stored]) -> None:
        self.nodes: list[NodeProto] = []
        self.initializers: list[TensorProto] = []
        self._stored = stored
        self._weights: dict[str, Tensor] = {}
        self._constants: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def node(self, kind: str, *inputs: "Tensor | Number | str", outputs: int = 1, **attributes: Any) -> Any:
        """Add an operator; returns the name of its output, or a list of names."""
        if kind not in OPERATORS:
            raise ValueError(f"{kind} would not be let in; add it to the operators in check.py")
        names = [one if isinstance(one, str) else one.name for one in inputs]
        made = [f"t/{len(self.nodes)}/{place}" for place in range(outputs)]
        self.nodes.append(helper.make_node(kind, names, made, **attributes))
        return made[0] if outputs == 1 else made

    def constant(self, value: Any, dtype: str = "int64") -> str:
        """A small constant, there once however often it is asked for."""
        kind = helper.tensor_dtype_to_np_dtype(TYPES[dtype])
        array = np.asarray(value, dtype=kind)
        key = (dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = self._constants[key] = f"c/{len(self._constants)}"
            self.initializers.append(numpy_helper.from_array(array, name))
        return self._constants[key]

    def weight(self, name: str) -> Tensor:
        """A weight, of which the graph only says where it is."""
        if name not in self._weights:
            stored = self._stored[name]
            self._weights[name] = Tensor(f"{WEIGHT}{name}", stored.shape, stored.dtype)
            self.initializers.append(external(f"{WEIGHT}{name}", stored))
        return self._weights[name]

    def vector(self, sizes: "Sequence[int | Number]") -> str:
        """Sizes as one whole-number vector."""
        if all(isinstance(size, int) for size in sizes):
            return self.constant(np.array(sizes, dtype=np.int64))
        parts = [self.constant([size]) if isinstance(size, int) else size.name for size in sizes]
        return str(self.node("Concat", *parts, axis=0))

    def scalar(self, value: "float | Number", dtype: str) -> str:
        """A number without dimensions, of the type that it shall have."""
        if not isinstance(value, Number):
            return self.constant(value, dtype)
        name = value.name if value.dtype == dtype else self.node("Cast", value, to=TYPES[dtype])
        return str(self.node("Squeeze", name, self.constant([0])))

    def cast(self, value: Tensor, dtype: str) -> str:
        """The value in another type, if it is not in that already."""
        return value.name if value.dtype == dtype else str(self.node("Cast", value, to=TYPES[dtype]))


def value_info(name: str, value: Tensor) -> onnx.ValueInfoProto:
    """An input or output: its type and rank are fixed, its sizes are not."""
    return helper.make_tensor_value_info(name, TYPES[value.dtype], [None] * value.rank)
