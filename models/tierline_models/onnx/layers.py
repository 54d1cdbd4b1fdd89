"""ONNX for layers: convolutions, pooling, normalisation, products of matrices, attention."""

import math
from collections.abc import Sequence
from typing import Any

from tierline_models.onnx.builder import Tensor
from tierline_models.onnx.translation import Site, translates


@translates("conv1d", "conv2d", "conv3d", "convolution")
def _convolution(at: Site, x: Tensor, weight: Tensor, bias: Tensor | None, **how: Any) -> Any:
    if how.get("transposed"):
        return _transposed(at, x, weight, bias, **how)
    spatial = weight.rank - 2
    padding = how["padding"]
    attributes: dict[str, Any] = {"auto_pad": "SAME_UPPER"} if padding == "same" else {}
    if not isinstance(padding, str):
        attributes["pads"] = _each(padding, spatial) * 2
    return at.result(
        at.node(
            "Conv",
            x,
            weight,
            *([bias] if bias is not None else []),
            strides=_each(how["stride"], spatial),
            dilations=_each(how["dilation"], spatial),
            group=how["groups"],
            **attributes,
        )
    )


@translates("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _transposed(at: Site, x: Tensor, weight: Tensor, bias: Tensor | None, **how: Any) -> Tensor:
    spatial = weight.rank - 2
    return at.result(
        at.node(
            "ConvTranspose",
            x,
            weight,
            *([bias] if bias is not None else []),
            strides=_each(how["stride"], spatial),
            pads=_each(how["padding"], spatial) * 2,
            output_padding=_each(how["output_padding"], spatial),
            dilations=_each(how["dilation"], spatial),
            group=how["groups"],
        )
    )


@translates("max_pool1d", "max_pool2d", "max_pool3d")
def _max_pool(at: Site, x: Tensor, kernel_size: Any, stride: Any, **how: Any) -> Tensor:
    spatial = x.rank - 2
    return at.result(
        at.node(
            "MaxPool",
            x,
            kernel_shape=_each(kernel_size, spatial),
            strides=_each(stride or kernel_size, spatial),
            pads=_each(how["padding"], spatial) * 2,
            dilations=_each(how["dilation"], spatial),
            ceil_mode=int(how["ceil_mode"]),
        )
    )


@translates("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avg_pool(at: Site, x: Tensor, kernel_size: Any, stride: Any, **how: Any) -> Tensor:
    if how.get("divisor_override") is not None or how["ceil_mode"]:
        raise at.refuse("a divisor of its own, or windows that hang over the edge")
    spatial = x.rank - 2
    return at.result(
        at.node(
            "AveragePool",
            x,
            kernel_shape=_each(kernel_size, spatial),
            strides=_each(stride or kernel_size, spatial),
            pads=_each(how["padding"], spatial) * 2,
            count_include_pad=int(how["count_include_pad"]),
        )
    )


@translates("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "_adaptive_avg_pool2d")
def _adaptive_pool(at: Site, x: Tensor, output_size: Sequence[Any]) -> Tensor:
    if list(output_size) != [1] * (x.rank - 2):
        raise at.refuse("more than one place; pool to 1, or with windows of a fixed size")
    return at.result(at.node("GlobalAveragePool", x))


@translates("_native_batch_norm_legit_no_training", "batch_norm")
def _batch_norm(
    at: Site, x: Tensor, weight: Tensor | None, bias: Tensor | None,
    running_mean: Tensor, running_var: Tensor, eps: float, **how: Any,
) -> Any:  # fmt: skip
    if how.get("training"):
        raise at.refuse("statistics of the batch")
    channels = running_mean.shape
    scale = weight or at.constant([1.0] * channels[0], x.dtype)
    shift = bias or at.constant([0.0] * channels[0], x.dtype)
    made = at.node("BatchNormalization", x, scale, shift, running_mean, running_var, epsilon=eps)
    normed = Tensor(made, x.shape, x.dtype)
    return normed if at.packet == "batch_norm" else [normed]


@translates("layer_norm", "native_layer_norm")
def _layer_norm(
    at: Site, x: Tensor, normalized_shape: Sequence[int], weight: Tensor | None, bias: Tensor | None,
    eps: float,
) -> Any:  # fmt: skip
    over = math.prod(normalized_shape)
    scale = weight or at.node(
        "Reshape", at.constant([1.0] * over, x.dtype), at.constant(list(normalized_shape))
    )
    shift = [bias] if bias is not None else []
    made = at.node("LayerNormalization", x, scale, *shift, axis=-len(normalized_shape), epsilon=eps)
    normed = Tensor(made, x.shape, x.dtype)
    return normed if at.packet == "layer_norm" else [normed]


@translates("linear")
def _linear(at: Site, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    shift = [bias] if bias is not None else []
    if x.rank == 2:
        return at.result(at.node("Gemm", x, weight, *shift, transB=1))
    product = at.node("MatMul", x, at.node("Transpose", weight, perm=[1, 0]))
    return at.result(at.node("Add", product, *shift) if shift else product)


@translates("matmul", "mm", "bmm")
def _matmul(at: Site, x: Tensor, **more: Tensor) -> Tensor:
    (other,) = more.values()
    return at.result(at.node("MatMul", x, other))


@translates("addmm")
def _addmm(at: Site, x: Tensor, mat1: Tensor, mat2: Tensor, beta: float = 1, alpha: float = 1) -> Tensor:
    return at.result(at.node("Gemm", mat1, mat2, x, alpha=float(alpha), beta=float(beta)))


@translates("embedding")
def _embedding(at: Site, weight: Tensor, indices: Tensor, **_: Any) -> Tensor:
    return at.result(at.node("Gather", weight, indices, axis=0))


@translates("scaled_dot_product_attention")
def _attention(
    at: Site, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None, *,
    dropout_p: float, is_causal: bool, scale: float | None, enable_gqa: bool,
) -> Tensor:  # fmt: skip
    """softmax(q kᵀ · scale + mask) v; Vaswani et al., "Attention Is All You Need", 2017."""
    if enable_gqa or dropout_p or is_causal:
        raise at.refuse("grouped heads, dropout or its own causal mask; give a mask")
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    turned = [*range(key.rank - 2), key.rank - 1, key.rank - 2]
    scaled = at.node("Mul", query, at.constant(factor, query.dtype))
    scores = at.node("MatMul", scaled, at.node("Transpose", key, perm=turned))
    if attn_mask is not None:
        added = attn_mask.name
        if attn_mask.dtype == "bool":
            here, away = at.constant(0.0, query.dtype), at.constant(-math.inf, query.dtype)
            added = at.node("Where", attn_mask, here, away)
        scores = at.node("Add", scores, added)
    return at.result(at.node("MatMul", at.node("Softmax", scores, axis=-1), value))


@translates("lstm_cell")
def _lstm_cell(
    at: Site, x: Tensor, hx: Sequence[Tensor], w_ih: Tensor, w_hh: Tensor,
    b_ih: Tensor | None = None, b_hh: Tensor | None = None,
) -> list[Tensor]:  # fmt: skip
    """One step; gates lie in the order input, forget, cell, output (Hochreiter and Schmidhuber, 1997)."""
    hidden, cell = hx
    products = [
        at.node("Gemm", one, weight, *([bias] if bias is not None else []), transB=1)
        for one, weight, bias in ((x, w_ih, b_ih), (hidden, w_hh, b_hh))
    ]
    gates = at.node("Split", at.node("Add", *products), axis=1, num_outputs=4, outputs=4)
    take, keep, give = (at.node("Sigmoid", gates[place]) for place in (0, 1, 3))
    new = at.node("Tanh", gates[2])
    after = at.node("Add", at.node("Mul", keep, cell), at.node("Mul", take, new))
    shown = at.node("Mul", give, at.node("Tanh", after))
    return [Tensor(name, cell.shape, cell.dtype) for name in (shown, after)]


def _each(value: Any, dimensions: int) -> list[int]:
    """One whole number a dimension; torch takes one for all."""
    given = list(value) if isinstance(value, (list, tuple)) else [value]
    return given * dimensions if len(given) == 1 else given
