"""Write a range of a program as an ONNX model whose weights are those of the bundle's own files."""

from collections.abc import Mapping

from onnx import helper

from tierline_models.graphs.build import Range
from tierline_models.onnx import arithmetic, layers, shaping
from tierline_models.onnx.builder import Tensor, value_info
from tierline_models.onnx.check import OPSET, Stored
from tierline_models.onnx.translation import Facts, Translation

IR_VERSION = 9
_TABLES = (arithmetic, layers, shaping)  # they fill the table of translators


def to_onnx(part: Range, facts: Facts, stored: Mapping[str, Stored], name: str) -> bytes:
    """One ONNX model, a few kB: of each weight it says in which file it is and where.

    Args:
        part: what it shall compute.
        facts: shape and type of each value for the example.
        stored: where weights are.
        name: of the graph.

    Raises:
        SplitError: an operator has no ONNX here.
    """
    translation = Translation(dict(stored), facts)
    inputs = [translation.take(one) for one in part.inputs]
    for call in part.calls:
        translation.add(call)
    builder = translation.builder
    outputs = []
    for place, output in enumerate(part.outputs):
        value: Tensor = translation.resolve(output)
        made = f"out/{place}"  # a name of its own: what came in may go out as it is, and twice
        builder.nodes.append(helper.make_node("Identity", [value.name], [made]))
        outputs.append(Tensor(made, value.shape, value.dtype))
    graph = helper.make_graph(
        builder.nodes,
        name,
        [value_info(one.name, one) for one in inputs],
        [value_info(one.name, one) for one in outputs],
        builder.initializers,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="tierline"
    )
    return bytes(model.SerializeToString(deterministic=True))
