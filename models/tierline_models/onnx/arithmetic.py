"""ONNX for arithmetic: what works on each element, comparisons, reductions, and sizes."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from tierline_models.onnx.builder import Number, Tensor
from tierline_models.onnx.check import TYPES
from tierline_models.onnx.translation import TRANSLATORS, Site, Translator, Value, translates

_PLAIN = {
    "abs": "Abs", "acos": "Acos", "asin": "Asin", "atan": "Atan", "ceil": "Ceil", "cos": "Cos", "erf": "Erf",
    "exp": "Exp", "floor": "Floor", "isinf": "IsInf", "isnan": "IsNaN", "log": "Log", "logical_not": "Not",
    "bitwise_not": "Not", "mish": "Mish", "neg": "Neg", "reciprocal": "Reciprocal", "relu": "Relu",
    "round": "Round", "sigmoid": "Sigmoid", "sign": "Sign", "sin": "Sin", "sqrt": "Sqrt", "tan": "Tan",
    "tanh": "Tanh", "hardswish": "HardSwish",
}  # fmt: skip
_PAIRS = {
    "mul": "Mul", "div": "Div", "true_divide": "Div", "maximum": "Max", "minimum": "Min", "pow": "Pow",
}  # fmt: skip
_COMPARISONS = {"eq": "Equal", "ge": "GreaterOrEqual", "gt": "Greater", "le": "LessOrEqual", "lt": "Less"}
_LOGIC = {"and": "And", "or": "Or", "xor": "Xor"}
_REDUCTIONS = {"amax": "ReduceMax", "amin": "ReduceMin", "mean": "ReduceMean", "sum": "ReduceSum"}
_SIZES = {"sym.add": "Add", "sym.sub": "Sub", "sym.mul": "Mul", "sym.floordiv": "Div", "sym.mod": "Mod"}
_SIZES |= {"sym.max": "Max", "sym.min": "Min", "sym.neg": "Neg"}


def _plain(kind: str, at: Site, x: Tensor, **_: Any) -> Tensor:
    return at.result(at.node(kind, at.builder.cast(x, at.dtype if x.dtype != "bool" else x.dtype)))


def _pair(kind: str, at: Site, x: Value, other: Value = None, **more: Any) -> Tensor:
    other = more.pop("exponent", other)
    if more.get("rounding_mode") is not None:
        raise at.refuse("rounding")
    return at.result(at.node(kind, *at.operands(x, other, dtype=at.dtype)))


def _comparison(kind: str, at: Site, x: Tensor, other: Value) -> Tensor:
    return at.result(at.node(kind, *at.operands(x, other)))


def _logic(kind: str, at: Site, x: Tensor, other: Value) -> Tensor:
    if at.dtype != "bool":
        raise at.refuse("whole numbers")
    return at.result(at.node(kind, *at.operands(x, other, dtype="bool")))


def _reduction(kind: str, at: Site, x: Tensor, dim: Sequence[int] | int = (), **more: Any) -> Tensor:
    dims = [dim] if isinstance(dim, int) else list(dim or ())
    axes = [at.constant(dims)] if dims else []
    keep = int(bool(more.get("keepdim")))
    return at.result(at.node(kind, at.builder.cast(x, at.dtype), *axes, keepdims=keep))


def _size(kind: str, at: Site, args: Sequence[int | Number]) -> Number:
    names = [at.constant([one]) if isinstance(one, int) else one.name for one in args]
    return Number(at.node(kind, *names))


def _fill(table: dict[str, str], make: Callable[..., Value], pattern: str = "{}") -> None:
    translators: dict[str, Translator] = {
        pattern.format(name): partial(make, kind) for name, kind in table.items()
    }
    TRANSLATORS.update(translators)


_fill(_PLAIN, _plain)
_fill(_PAIRS, _pair)
_fill(_COMPARISONS, _comparison)
_fill(_LOGIC, _logic, "logical_{}")
_fill(_LOGIC, _logic, "bitwise_{}")
_fill(_REDUCTIONS, _reduction)
_fill(_SIZES, _size)


@translates("add", "sub", "rsub")
def _sum(at: Site, x: Value, other: Value, alpha: float = 1) -> Tensor:
    """One and `alpha` times the other, added or taken away; `rsub` takes from the other."""
    if at.packet == "rsub":
        x, other = other, x
    left, right = at.operands(x, other, dtype=at.dtype)
    if alpha != 1:
        right = at.node("Mul", right, at.constant(alpha, at.dtype))
    return at.result(at.node("Add" if at.packet == "add" else "Sub", left, right))


@translates("ne")
def _differs(at: Site, x: Tensor, other: Value) -> Tensor:
    return at.result(at.node("Not", at.node("Equal", *at.operands(x, other))))


@translates("rsqrt")
def _rsqrt(at: Site, x: Tensor) -> Tensor:
    return at.result(at.node("Reciprocal", at.node("Sqrt", x)))


@translates("square")
def _square(at: Site, x: Tensor) -> Tensor:
    return at.result(at.node("Mul", x, x))


@translates("silu")
def _silu(at: Site, x: Tensor) -> Tensor:
    return at.result(at.node("Mul", x, at.node("Sigmoid", x)))


@translates("gelu")
def _gelu(at: Site, x: Tensor, approximate: str = "none") -> Tensor:
    return at.result(at.node("Gelu", x, approximate=approximate))


@translates("hardsigmoid")
def _hardsigmoid(at: Site, x: Tensor) -> Tensor:
    return at.result(at.node("HardSigmoid", x, alpha=1 / 6, beta=0.5))


@translates("elu")
def _elu(at: Site, x: Tensor, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Tensor:
    if scale != 1 or input_scale != 1:
        raise at.refuse("a scale")
    return at.result(at.node("Elu", x, alpha=float(alpha)))


@translates("leaky_relu")
def _leaky_relu(at: Site, x: Tensor, negative_slope: float = 0.01) -> Tensor:
    return at.result(at.node("LeakyRelu", x, alpha=float(negative_slope)))


@translates("prelu")
def _prelu(at: Site, x: Tensor, weight: Tensor) -> Tensor:
    """A slope for each channel, the second dimension."""
    slope = weight.name
    if x.rank > 2 and math.prod(weight.shape) > 1:
        slope = at.node("Reshape", slope, at.constant([-1] + [1] * (x.rank - 2)))
    return at.result(at.node("PRelu", x, slope))


@translates("hardtanh", "relu6", "clamp", "clamp_min", "clamp_max")
def _clip(at: Site, x: Tensor, **bounds: Any) -> Tensor:
    defaults = {"hardtanh": (-1, 1), "relu6": (0, 6)}.get(at.packet, (None, None))
    low = bounds.get("min_val", bounds.get("min", defaults[0]))
    high = bounds.get("max_val", bounds.get("max", defaults[1]))
    if any(isinstance(one, Tensor) for one in (low, high)):
        raise at.refuse("bounds that are tensors")
    limits = ["" if one is None else at.builder.scalar(one, x.dtype) for one in (low, high)]
    return at.result(at.node("Clip", x, *limits))


@translates("softmax", "_softmax", "_safe_softmax", "log_softmax", "_log_softmax")
def _softmax(at: Site, x: Tensor, dim: int, **_: Any) -> Tensor:
    kind = "LogSoftmax" if "log" in at.packet else "Softmax"
    return at.result(at.node(kind, at.builder.cast(x, at.dtype), axis=dim))


@translates("argmax", "argmin")
def _arg(at: Site, x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    if dim is None:
        raise at.refuse("all dimensions at once")
    kind = "ArgMax" if at.packet == "argmax" else "ArgMin"
    return at.result(at.node(kind, x, axis=dim, keepdims=int(keepdim)))


@translates("cumsum")
def _cumsum(at: Site, x: Tensor, dim: int, **_: Any) -> Tensor:
    return at.result(at.node("CumSum", at.builder.cast(x, at.dtype), at.constant(dim)))


@translates("where")
def _where(at: Site, condition: Tensor, x: Value, other: Value) -> Tensor:
    return at.result(at.node("Where", condition, *at.operands(x, other, dtype=at.dtype)))


@translates("masked_fill")
def _masked_fill(at: Site, x: Tensor, mask: Tensor, value: Value) -> Tensor:
    filling = value.name if isinstance(value, Tensor) else at.builder.scalar(value, x.dtype)
    return at.result(at.node("Where", mask, filling, x))


@translates("_to_copy", "to", "type_as")
def _to(at: Site, x: Tensor, **_: Any) -> Tensor:
    return at.result(at.builder.cast(x, at.dtype))


@translates("sym_size")
def _sym_size(at: Site, x: Tensor, dim: int) -> Number:
    dim = dim % x.rank
    return Number(at.node("Shape", x, start=dim, end=dim + 1))


@translates("sym_numel")
def _sym_numel(at: Site, x: Tensor) -> Number:
    return Number(at.node("Reshape", at.node("Size", x), at.constant([1])))


@translates("sym.truediv")
def _sym_truediv(at: Site, args: Sequence[int | Number]) -> Number:
    names = [at.constant([one]) if isinstance(one, int) else one.name for one in args]
    wide = [at.node("Cast", name, to=TYPES["float64"]) for name in names]
    return Number(at.node("Div", *wide), "float64")


@translates("sym.ceil", "sym.trunc", "sym.int", "sym.float")
def _sym_round(at: Site, args: Sequence[Number]) -> Number:
    """Rounds to a whole number; a cast cuts off what is behind the point."""
    (value,) = args
    name = at.node("Ceil", value) if at.packet == "sym.ceil" and value.dtype == "float64" else value.name
    dtype = "float64" if at.packet == "sym.float" else "int64"
    return Number(at.node("Cast", name, to=TYPES[dtype]), dtype)
