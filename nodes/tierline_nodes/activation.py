"""What travels between blocks as one frame: a tensor, or several by name."""

import torch
from torch import Tensor

from tierline_codecs import CODECS, Limits, decode_tensors, encode, encode_tensors
from tierline_models import Carried, SegmentedModel, ShapeError
from tierline_nodes.coding import DEFAULT, Coded, Coder


def pack(
    model: SegmentedModel, coder: Coder, layer: int, carried: Carried, codec: str, rate: float | None
) -> Coded:
    """Return what travels after block `layer` as a frame.

    Args:
        model: that made it.
        coder: chooses the codec of one tensor; several go in the codec that is asked for.
        layer: blocks computed.
        carried: what the block returned.
        codec: that the plan names.
        rate: bytes a second of the link, where that is known.

    Raises:
        CodecError: it cannot be encoded, as it holds values that are not finite.
    """
    if isinstance(carried, Tensor):
        array = carried.contiguous().numpy()
        if carried.is_floating_point():
            return coder.encode(array, layer, codec, rate)
        payload = bytes(encode(array, codec="raw"))  # whole numbers
        return Coded(payload=payload, codec="raw", array_bytes=array.nbytes, noted=())
    known = codec if codec in CODECS else DEFAULT
    parts = zip(model.travelling(layer), carried, strict=True)
    payload = bytes(encode_tensors({part.name: one.contiguous() for part, one in parts}, codec=known))
    noted = () if known == codec else ("codec-unknown",)
    return Coded(payload=payload, codec=known, array_bytes=sum(one.nbytes for one in carried), noted=noted)


def unpack(model: SegmentedModel, coder: Coder, layer: int, frame: bytes, codec: str) -> Carried:
    """Return what block `layer` + 1 takes, checked before anything runs on it.

    Raises:
        CodecError: these bytes are no frame, or one that claims too much.
        ShapeError: what they hold does not travel there.
    """
    parts = model.travelling(layer)
    limits = Limits(array_bytes=model.activation_bytes(layer), tensors=max(1, len(parts)))
    if len(parts) < 2:
        array = coder.decode(frame, layer, codec, limits)
        model.check_activation(layer, array.shape, str(array.dtype))
        return torch.from_numpy(array)
    arrays = decode_tensors(frame, limits)
    for name, array in arrays.items():
        model.check_activation(layer, array.shape, str(array.dtype), name)
    if len(arrays) < len(parts):
        raise ShapeError(layer, f"{len(parts)} tensors", f"{len(arrays)} of them")
    return tuple(torch.from_numpy(arrays[part.name]) for part in parts)


def widest(carried: Carried) -> Tensor:
    """Return the largest tensor of floating-point numbers that travels, else of any."""
    if isinstance(carried, Tensor):
        return carried
    return max(carried, key=lambda one: (one.is_floating_point(), one.numel()))
