"""What travels between blocks as one frame: a tensor, or several by name."""

from typing import Any

from tierline_codecs import CODECS, Limits, decode_tensors, encode, encode_tensors
from tierline_models import Array, ServedModel, ShapeError
from tierline_nodes.coding import DEFAULT, Coded, Coder


def pack(model: ServedModel, coder: Coder, layer: int, carried: Any, codec: str, rate: float | None) -> Coded:
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
    arrays = model.to_arrays(carried)
    size = sum(one.nbytes for one in arrays)
    if len(arrays) == 1:
        if _is_real(arrays[0]):
            return coder.encode(arrays[0], layer, codec, rate)
        payload = bytes(encode(arrays[0], codec="raw"))  # whole numbers
        return Coded(payload=payload, codec="raw", array_bytes=size, noted=())
    known = codec if codec in CODECS else DEFAULT
    parts = zip(model.travelling(layer), arrays, strict=True)
    payload = bytes(encode_tensors({part.name: one for part, one in parts}, codec=known))
    noted = () if known == codec else ("codec-unknown",)
    return Coded(payload=payload, codec=known, array_bytes=size, noted=noted)


def unpack(model: ServedModel, coder: Coder, layer: int, frame: bytes, codec: str) -> Any:
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
        return model.from_arrays([array])
    arrays = decode_tensors(frame, limits)
    for name, array in arrays.items():
        model.check_activation(layer, array.shape, str(array.dtype), name)
    if len(arrays) < len(parts):
        raise ShapeError(layer, f"{len(parts)} tensors", f"{len(arrays)} of them")
    return model.from_arrays([arrays[part.name] for part in parts])


def widest(model: ServedModel, carried: Any) -> Array:
    """Return the largest array of floating-point numbers that travels, else of any."""
    return max(model.to_arrays(carried), key=lambda one: (_is_real(one), one.size))


def _is_real(array: Array) -> bool:
    return array.dtype.kind not in "biu"
