"""The operators that a graph may call: an explicit list of those that only compute."""

import math
import operator
import re
from collections.abc import Callable, Collection
from functools import cache
from typing import Any

import torch

from tierline_models.errors import BundleError

# Arithmetic on sizes, and picking one of several results.
PYTHON: dict[str, Callable[..., Any]] = {
    "getitem": operator.getitem,
    "sym.add": operator.add,
    "sym.sub": operator.sub,
    "sym.mul": operator.mul,
    "sym.floordiv": operator.floordiv,
    "sym.truediv": operator.truediv,
    "sym.mod": operator.mod,
    "sym.neg": operator.neg,
    "sym.max": torch.sym_max,
    "sym.min": torch.sym_min,
    "sym.int": torch.sym_int,
    "sym.float": torch.sym_float,
    "sym.ceil": math.ceil,
    "sym.trunc": math.trunc,
}
PYTHON_NAMES = {function: name for name, function in PYTHON.items()}

# Entry points of the same operators, in the same order of arguments, that take a microsecond less.
_NATIVE: dict[str, Callable[..., Any]] = {
    "aten.add.Tensor": torch.add,
    "aten.batch_norm.default": torch.batch_norm,
    "aten.cat.default": torch.cat,
    "aten.conv2d.default": torch.conv2d,
    "aten.embedding.default": torch.embedding,
    "aten.full.default": torch.full,
    "aten.gelu.default": torch._C._nn.gelu,
    "aten.layer_norm.default": torch.layer_norm,
    "aten.linear.default": torch._C._nn.linear,
    "aten.matmul.default": torch.matmul,
    "aten.max_pool2d.default": torch.max_pool2d,
    "aten.mul.Tensor": torch.mul,
    "aten.permute.default": torch.permute,
    "aten.relu.default": torch.relu,
    "aten.reshape.default": torch.reshape,
    "aten.scaled_dot_product_attention.default": torch._C._nn.scaled_dot_product_attention,
    "aten.sym_size.int": torch.Tensor.size,
    "aten.transpose.int": torch.transpose,
    "aten.triu.default": torch.triu,
}

# What a graph may say of sizes: also aten operators, but they give numbers, not tensors.
SIZES = frozenset({"aten.sym_size.int", "aten.sym_numel.default"})

# No arithmetic on activations, no matter how large: views, casts, masks and what creates them.
_CHEAP = """
    _to_copy alias arange bitwise_and bitwise_not bitwise_or broadcast_to detach eq expand expand_as eye
    flatten full full_like ge gt le lift_fresh_copy logical_and logical_not logical_or lt masked_fill
    movedim ne new_full new_ones new_zeros ones ones_like permute reshape rsub scalar_tensor select slice
    squeeze sub t to transpose tril triu type_as unflatten unsqueeze view view_as where zeros zeros_like
"""
_COMPUTING = """
    _adaptive_avg_pool2d _adaptive_avg_pool3d _fused_rms_norm _log_softmax
    _native_batch_norm_legit_no_training _safe_softmax _softmax _unsafe_index _unsafe_view
    _upsample_bicubic2d_aa _upsample_bilinear2d_aa _upsample_nearest_exact1d _upsample_nearest_exact2d abs
    acos acosh adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool1d adaptive_max_pool2d add addbmm
    addcdiv addcmul addmm addmv affine_grid_generator all alpha_dropout amax amin aminmax any argmax
    argmin argsort as_strided_copy asin asinh atan atan2 atanh avg_pool1d avg_pool2d avg_pool3d baddbmm
    batch_norm bilinear bitwise_left_shift bitwise_right_shift bitwise_xor bmm bucketize cat ceil celu
    channel_shuffle chunk clamp clamp_max clamp_min clone col2im concat concatenate constant_pad_nd
    contiguous conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d convolution copy
    cos cosh count_nonzero cummax cummin cumprod cumsum diag diag_embed diagonal diagonal_scatter diff div
    dot dropout einsum elu embedding embedding_bag erf erfc erfinv exp exp2 expm1 fft_fft fft_fft2
    fft_ifft fft_ifft2 fft_irfft fft_irfft2 fft_rfft fft_rfft2 fill flip floor floor_divide fmax fmin fmod
    frac gather gelu glu grid_sampler grid_sampler_2d grid_sampler_3d group_norm gru gru_cell hardshrink
    hardsigmoid hardswish hardtanh heaviside hstack hypot im2col index index_add index_copy index_fill
    index_put index_select instance_norm isfinite isin isinf isnan isneginf isposinf kron layer_norm
    leaky_relu lerp linalg_norm linalg_vector_norm linear linspace log log10 log1p log2 log_sigmoid
    log_softmax logaddexp logcumsumexp logical_xor logit logspace logsumexp lstm lstm_cell masked_scatter
    matmul max
    max_pool1d max_pool2d max_pool2d_with_indices max_pool3d maximum mean median meshgrid min minimum mish
    mm mode mse_loss mul mv nan_to_num narrow native_batch_norm native_group_norm native_layer_norm neg
    nonzero_static norm normal_functional numpy_T one_hot outer pad pairwise_distance pdist pixel_shuffle
    pixel_unshuffle polar pow prelu prod reciprocal reflection_pad1d reflection_pad2d reflection_pad3d
    relu relu6 remainder renorm repeat repeat_interleave replication_pad1d replication_pad2d
    replication_pad3d rms_norm rnn_relu rnn_tanh roll rot90 round rrelu rsqrt scaled_dot_product_attention
    scatter scatter_add scatter_reduce searchsorted select_scatter selu sgn sigmoid sign silu sin sinc
    sinh slice_scatter softmax softplus softshrink sort split split_with_sizes sqrt square squeeze_copy
    stack std std_mean sum swapaxes take take_along_dim tan tanh tensor_split threshold tile topk trace
    true_divide trunc unbind unfold upsample_bicubic2d upsample_bilinear2d upsample_linear1d
    upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_trilinear3d var var_mean vdot
    view_as_complex view_as_real vstack xlogy zeta
"""
CHEAP = frozenset(_CHEAP.split())
ALLOWED = CHEAP | frozenset(_COMPUTING.split())
_NAME = re.compile(r"aten\.([A-Za-z_][A-Za-z0-9_]*)\.([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)


def is_cheap(op: str) -> bool:
    """Is this a view, a cast or a mask's arithmetic, which costs less to repeat than to send?"""
    return op in PYTHON or op in SIZES or packet_of(op) in CHEAP


def packet_of(op: str) -> str:
    """`conv2d` of `aten.conv2d.default`; empty for what is no aten operator."""
    found = _NAME.fullmatch(op)
    return found[1] if found else ""


@cache
def find(op: str) -> Callable[..., Any]:
    """The function that `op` names; raises BundleError for one that a graph may not call."""
    if op in PYTHON:
        return PYTHON[op]
    packet = packet_of(op)
    if op not in SIZES and packet not in ALLOWED:
        raise BundleError(
            f"the graph calls {op[:100]!r}, which is not among the operators that a bundle may use"
        )
    overload = op.rpartition(".")[2]
    found = getattr(getattr(torch.ops.aten, packet, None), overload, None)
    if not isinstance(found, torch._ops.OpOverload):
        raise BundleError(
            f"torch {torch.__version__} has no operator {op}; make the bundle again with this version "
            "of torch, or update torch here"
        )
    if found._schema.is_mutable:
        raise BundleError(f"the graph calls {op}, which changes its input; a bundle's graph may only compute")
    return found


def quickest(op: str, keywords: Collection[str] = ()) -> Callable[..., Any]:
    """A function that does what `find` returns, called with less ado where torch has one.

    Args:
        op: its name.
        keywords: that it is called with; one that the operator lacks (`out`) never reaches another function.
    """
    found: Any = find(op)
    if op not in _NATIVE or not set(keywords) <= {one.name for one in found._schema.arguments}:
        return found  # type: ignore[no-any-return]
    return _NATIVE[op]
