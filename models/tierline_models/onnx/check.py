"""Check an ONNX file as if an enemy had written it, before onnxruntime sees it; needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from onnx import AttributeProto, NodeProto, TensorProto

from tierline_models.errors import BundleError

OPSET = 20  # the first with Gelu; onnxruntime 1.17 and later run it
MOST_BYTES = 16 * 2**20  # of one file; weights lie elsewhere
MOST_INLINE = 2**20  # bytes of one constant in the file
TYPES = {
    "float64": TensorProto.DOUBLE,
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "int16": TensorProto.INT16,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "bool": TensorProto.BOOL,
}
WEIGHT = "w/"  # how the names of weights begin

# All that we write: each computes a tensor from tensors; none runs a graph of its own, none is a custom one.
_NAMES = """
    Abs Acos Add And ArgMax ArgMin Asin Atan AveragePool BatchNormalization Cast Ceil Clip Concat Conv
    ConvTranspose Cos CumSum DepthToSpace Div Elu Equal Erf Exp Expand Floor Gather GatherElements Gelu Gemm
    GlobalAveragePool Greater GreaterOrEqual HardSigmoid HardSwish Identity IsInf IsNaN LayerNormalization
    LeakyRelu Less LessOrEqual Log LogSoftmax MatMul Max MaxPool Min Mish Mod Mul Neg Not Or PRelu Pad Pow
    Range Reciprocal ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Resize Round Shape Sigmoid Sign
    Sin Size Slice Softmax Split Sqrt Squeeze Sub Tan Tanh Tile Transpose Trilu Unsqueeze Where Xor
"""
OPERATORS = frozenset(_NAMES.split())
_PLAIN = frozenset({AttributeProto.FLOAT, AttributeProto.INT, AttributeProto.STRING, AttributeProto.INTS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """Where a weight's bytes are, and what it measures."""

    file: str  # in the folder of the ONNX file
    offset: int
    shape: tuple[int, ...]
    dtype: str
    bytes: int


Find = Callable[[str], Stored | None]


def check_model(data: bytes, find: Find, where: str) -> tuple[str, ...]:
    """Refuse a model that is not as we write it.

    Args:
        data: the file.
        find: the bundle's own weight of a name, None where it has none.
        where: the file's name, to be told.

    Returns:
        The names of the weights that it uses.

    Raises:
        BundleError: with what is wrong.
    """
    if len(data) > MOST_BYTES:
        raise BundleError(f"{where} has {len(data)} bytes, more than any block's graph needs")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise BundleError(f"{where} is no ONNX; make the bundle's ONNX again") from error
    opsets = [(one.domain, one.version) for one in model.opset_import]
    if opsets != [("", OPSET)]:
        raise BundleError(f"{where} asks for operators {opsets!r:.80}, this version runs ONNX's own {OPSET}")
    graph = model.graph
    if model.functions or model.training_info or graph.sparse_initializer:
        raise BundleError(f"{where} holds more than a graph and its constants; it was not made by Tierline")
    for node in graph.node:
        _check_node(node, where)
    return tuple(name for one in graph.initializer if (name := _check_initializer(one, find, where)))


def _check_node(node: NodeProto, where: str) -> None:
    if node.domain or node.overload or node.op_type not in OPERATORS:
        name = f"{node.domain}.{node.op_type}".strip(".")
        raise BundleError(
            f"{where} calls {name!r:.80}, which is not among the operators that a bundle may use"
        )
    for attribute in node.attribute:
        if attribute.type not in _PLAIN:
            raise BundleError(f"{where}: {node.op_type} has {attribute.name!r:.40}, which is no plain value")


def _check_initializer(tensor: TensorProto, find: Find, where: str) -> str:
    """The weight that this is; empty for a constant."""
    if tensor.data_location != TensorProto.EXTERNAL:
        if tensor.name.startswith(WEIGHT) or tensor.external_data or tensor.ByteSize() > MOST_INLINE:
            raise BundleError(f"{where}: {tensor.name!r:.60} is no constant as this version writes it")
        return ""
    name = tensor.name.removeprefix(WEIGHT)
    stored = find(name) if tensor.name.startswith(WEIGHT) else None
    if stored is None:
        raise BundleError(
            f"{where} wants {tensor.name!r:.60} from elsewhere, which is no weight of the bundle"
        )
    if describe(tensor) != describe(external(tensor.name, stored)):
        raise BundleError(f"{where}: {name} is not where the bundle has it, or does not measure the same")
    return name


def external(name: str, stored: Stored) -> TensorProto:
    """A weight as a graph mentions it: what it measures and where it is."""
    tensor = TensorProto(name=name, dims=stored.shape, data_type=TYPES[stored.dtype])
    tensor.data_location = TensorProto.EXTERNAL
    place = {"location": stored.file, "offset": stored.offset, "length": stored.bytes}
    for key, value in place.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor


def describe(tensor: TensorProto) -> tuple[Any, ...]:
    """What is said of an external tensor."""
    places = sorted((one.key, one.value) for one in tensor.external_data)
    return tuple(tensor.dims), tensor.data_type, places
