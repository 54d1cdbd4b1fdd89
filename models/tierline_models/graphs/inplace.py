"""In-place operators of a traced graph, and the functional ones that compute the same."""

import torch

from tierline_models.graphs.operators import ALLOWED, PYTHON, SIZES, packet_of

# What makes a tensor of its own: never its input, nor a view of it.
_FRESH_PACKETS = """
    add addmm avg_pool2d batch_norm bmm cat clone conv1d conv2d conv3d conv_transpose1d conv_transpose2d
    convolution div elu gelu group_norm hardsigmoid hardswish hardtanh instance_norm layer_norm leaky_relu
    linear masked_fill matmul max_pool2d mul relu relu6 sigmoid silu softmax sub tanh
"""
_FRESH = frozenset(_FRESH_PACKETS.split())


def may_share(op: str) -> bool:
    """May the result of this functional operator be a view of what it was given?"""
    number = op in SIZES or (op in PYTHON and op != "getitem")
    return not number and packet_of(op) not in _FRESH


def functional(op: str) -> str | None:
    """`aten.relu.default` for `aten.relu_.default`; None for what is not in place, or has no such sibling."""
    packet, overload = packet_of(op), op.rpartition(".")[2]
    if not packet.endswith("_") or packet.startswith("_") or packet[:-1] not in ALLOWED:
        return None
    ours = getattr(getattr(torch.ops.aten, packet[:-1], None), overload, None)
    theirs = getattr(getattr(torch.ops.aten, packet), overload)
    if ours is None or [one.name for one in ours._schema.arguments] != [
        one.name for one in theirs._schema.arguments
    ]:
        return None
    return f"aten.{packet[:-1]}.{overload}"
