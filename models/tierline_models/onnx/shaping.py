"""ONNX for what moves values about: views, cuts and joins, padding, and tensors made from sizes."""

from collections.abc import Sequence
from typing import Any

from tierline_models.onnx.builder import Number, Tensor
from tierline_models.onnx.translation import Site, Value, translates

Size = int | Number
_END = 2**63 - 1


@translates("alias", "clone", "contiguous", "detach", "detach_", "dropout", "lift_fresh_copy")
def _same(at: Site, x: Tensor, **_: Any) -> Tensor:
    return x


@translates("getitem")
def _getitem(at: Site, args: Sequence[Any]) -> Value:
    values, place = args
    return values[place]


@translates("reshape", "view")
def _reshape(at: Site, x: Tensor, **more: Sequence[Size]) -> Tensor:
    (sizes,) = more.values()
    return at.result(at.node("Reshape", x, at.builder.vector(sizes)))


@translates("flatten")
def _flatten(at: Site, x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    first, last = start_dim % x.rank, end_dim % x.rank
    before = [] if first == 0 else [Number(at.node("Shape", x, start=0, end=first))]
    after = [] if last == x.rank - 1 else [Number(at.node("Shape", x, start=last + 1))]
    return at.result(at.node("Reshape", x, at.builder.vector([*before, -1, *after])))


@translates("unflatten")
def _unflatten(at: Site, x: Tensor, dim: int, sizes: Sequence[Size]) -> Tensor:
    dim = dim % x.rank
    before = [] if dim == 0 else [Number(at.node("Shape", x, start=0, end=dim))]
    after = [] if dim == x.rank - 1 else [Number(at.node("Shape", x, start=dim + 1))]
    return at.result(at.node("Reshape", x, at.builder.vector([*before, *sizes, *after])))


@translates("expand", "broadcast_to")
def _expand(at: Site, x: Tensor, size: Sequence[Size], **_: Any) -> Tensor:
    sizes = [1 if isinstance(one, int) and one == -1 else one for one in size]  # 1 leaves a size as it is
    return at.result(at.node("Expand", x, at.builder.vector(sizes)))


@translates("repeat", "tile")
def _repeat(at: Site, x: Tensor, **more: Sequence[Size]) -> Tensor:
    (times,) = more.values()
    missing = len(times) - x.rank
    name = at.node("Unsqueeze", x, at.constant(list(range(missing)))) if missing > 0 else x.name
    return at.result(at.node("Tile", name, at.builder.vector(times)))


@translates("permute")
def _permute(at: Site, x: Tensor, dims: Sequence[int]) -> Tensor:
    return at.result(at.node("Transpose", x, perm=[dim % x.rank for dim in dims]))


@translates("transpose", "swapaxes")
def _transpose(at: Site, x: Tensor, **dims: int) -> Tensor:
    one, other = (dim % x.rank for dim in dims.values())
    order = list(range(x.rank))
    order[one], order[other] = other, one
    return at.result(at.node("Transpose", x, perm=order))


@translates("t", "numpy_T")
def _turned(at: Site, x: Tensor) -> Tensor:
    return at.result(at.node("Transpose", x, perm=list(range(x.rank))[::-1]))


@translates("unsqueeze")
def _unsqueeze(at: Site, x: Tensor, dim: int) -> Tensor:
    return at.result(at.node("Unsqueeze", x, at.constant([dim])))


@translates("squeeze")
def _squeeze(at: Site, x: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """Only where the dimension is 1 for the example: torch leaves others alone."""
    if dim is None:
        raise at.refuse("all dimensions at once")
    dims = [dim] if isinstance(dim, int) else list(dim)
    gone = [one for one in dims if x.shape[one] == 1]
    return at.result(at.node("Squeeze", x, at.constant(gone)) if gone else x.name)


@translates("select")
def _select(at: Site, x: Tensor, dim: int, index: Size) -> Tensor:
    return at.result(at.node("Gather", x, at.builder.scalar(index, "int64"), axis=dim))


@translates("index_select")
def _index_select(at: Site, x: Tensor, dim: int, index: Tensor) -> Tensor:
    return at.result(at.node("Gather", x, index, axis=dim))


@translates("index")
def _index(at: Site, x: Tensor, indices: Sequence[Tensor | None]) -> Tensor:
    given = [(place, one) for place, one in enumerate(indices) if one is not None]
    if len(given) != 1 or given[0][1].dtype == "bool":
        raise at.refuse("several tensors of indices, or one of truth values")
    ((place, index),) = given
    return at.result(at.node("Gather", x, index, axis=place))


@translates("gather")
def _gather(at: Site, x: Tensor, dim: int, index: Tensor, **_: Any) -> Tensor:
    return at.result(at.node("GatherElements", x, index, axis=dim))


@translates("slice", "narrow")
def _slice(at: Site, x: Tensor, dim: int = 0, start: Size | None = None, **more: Any) -> Tensor:
    begin: Size = 0 if start is None else start
    end: Size | None = more.get("end")
    if at.packet == "narrow":
        raise at.refuse("a length")
    ends: Size = _END if end is None else end
    step = more.get("step", 1)
    bounds = [at.builder.vector([one]) for one in (begin, ends)]
    return at.result(at.node("Slice", x, *bounds, at.constant([dim]), at.constant([step])))


@translates("split", "split_with_sizes", "chunk")
def _split(at: Site, x: Tensor, dim: int = 0, **more: Any) -> list[Tensor]:
    """Parts of the sizes that the example gives; an input that would need others is refused as it runs."""
    whole = x.shape[dim]
    ((kind, given),) = more.items()
    if kind == "split_sizes" or isinstance(given, list):
        sizes = list(given)
    else:
        each = -(-whole // given) if kind == "chunks" else given
        sizes = [min(each, whole - start) for start in range(0, whole, each)]
    if not all(isinstance(size, int) for size in sizes):
        raise at.refuse("parts of varying sizes")
    made = at.node("Split", x, at.constant(sizes), axis=dim, outputs=len(sizes))
    names = [made] if len(sizes) == 1 else made
    place = dim % x.rank
    shapes = [(*x.shape[:place], size, *x.shape[place + 1 :]) for size in sizes]
    return [Tensor(name, shape, x.dtype) for name, shape in zip(names, shapes, strict=True)]


@translates("unbind")
def _unbind(at: Site, x: Tensor, dim: int = 0) -> list[Tensor]:
    place = dim % x.rank
    shape = (*x.shape[:place], *x.shape[place + 1 :])
    names = [at.node("Gather", x, at.constant(one), axis=place) for one in range(x.shape[place])]
    return [Tensor(name, shape, x.dtype) for name in names]


@translates("cat", "concat", "concatenate")
def _cat(at: Site, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    return at.result(at.node("Concat", *at.operands(*tensors, dtype=at.dtype), axis=dim))


@translates("stack")
def _stack(at: Site, tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    place = dim % (tensors[0].rank + 1)
    raised = [at.node("Unsqueeze", one, at.constant([place])) for one in tensors]
    return at.result(at.node("Concat", *raised, axis=place))


@translates("pad", "constant_pad_nd", "reflection_pad1d", "reflection_pad2d", "replication_pad2d")
def _pad(at: Site, x: Tensor, pad: Any = None, padding: Any = None, **more: Any) -> Tensor:
    """Torch counts from the last dimension, ONNX from the first, and all beginnings before all ends."""
    by_packet = {
        "reflection_pad1d": "reflect",
        "reflection_pad2d": "reflect",
        "replication_pad2d": "replicate",
    }
    how = by_packet.get(at.packet, more.get("mode", "constant"))
    if how == "circular":
        raise at.refuse("circular padding")
    given = list(padding if pad is None else pad)
    pairs = [*zip(given[::2], given[1::2], strict=True)][::-1]
    axes = at.constant(list(range(x.rank - len(pairs), x.rank)))
    amounts = at.builder.vector([one for one, _ in pairs] + [other for _, other in pairs])
    value = at.builder.scalar(more.get("value") or 0, x.dtype) if how == "constant" else ""
    mode = "edge" if how == "replicate" else how
    return at.result(at.node("Pad", x, amounts, value, axes, mode=mode))


@translates("triu", "tril")
def _triangle(at: Site, x: Tensor, diagonal: int = 0) -> Tensor:
    return at.result(at.node("Trilu", x, at.constant(diagonal), upper=int(at.packet == "triu")))


@translates("full", "ones", "zeros", "new_full", "new_ones", "new_zeros", "scalar_tensor")
def _full(at: Site, size: Sequence[Size] = (), **more: Any) -> Tensor:
    value = more.get("fill_value", more.get("s", int("ones" in at.packet)))
    filling = at.builder.scalar(value, at.dtype)
    return at.result(at.node("Expand", filling, at.builder.vector(list(size))) if size else filling)


@translates("full_like", "ones_like", "zeros_like")
def _like(at: Site, x: Tensor, **more: Any) -> Tensor:
    value = more.get("fill_value", int("ones" in at.packet))
    return at.result(at.node("Expand", at.builder.scalar(value, at.dtype), at.node("Shape", x)))


@translates("arange")
def _arange(at: Site, end: Size, start: Size = 0, step: Size = 1, **_: Any) -> Tensor:
    return at.result(at.node("Range", *(at.builder.scalar(one, at.dtype) for one in (start, end, step))))


@translates("pixel_shuffle")
def _pixel_shuffle(at: Site, x: Tensor, upscale_factor: int) -> Tensor:
    return at.result(at.node("DepthToSpace", x, blocksize=upscale_factor, mode="CRD"))


@translates("upsample_nearest2d", "upsample_bilinear2d")
def _upsample(at: Site, x: Tensor, output_size: Any, **more: Any) -> Tensor:
    """To a size, or by factors; corners are not aligned."""
    if more.get("align_corners"):
        raise at.refuse("aligned corners")
    factors = more.get("scale_factors") or [more.get("scales_h"), more.get("scales_w")]
    bilinear = at.packet == "upsample_bilinear2d"
    how: dict[str, Any] = {
        "mode": "linear" if bilinear else "nearest",
        "coordinate_transformation_mode": "half_pixel" if bilinear else "asymmetric",
    }
    if not bilinear:
        how["nearest_mode"] = "floor"
    if output_size is not None:
        front = Number(at.node("Shape", x, start=0, end=2))
        return at.result(at.node("Resize", x, "", "", at.builder.vector([front, *output_size]), **how))
    scales = at.constant([1.0, 1.0, *factors], "float32")
    return at.result(at.node("Resize", x, "", scales, **how))
