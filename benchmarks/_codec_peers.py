"""Other ways to make bytes of an array and back, beside our codec of no larger error."""

import io
import pickle
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import lz4.block
import msgpack
import numpy as np
import torch
import xxhash
from _codec_arrays import real_arrays, relative
from _codec_timing import Call, Effort, Row, medians, row, take_turns
from safetensors.torch import load as load_safetensors
from safetensors.torch import save as save_safetensors
from torch import nn

from tierline_codecs import decode, encode

BLOCKWISE = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """Another way.

    Attributes:
        name: of it.
        pack: makes a message of an array.
        unpack: makes an array of a message, given the array that it is to be like.
        ours: our codec.
        checks: what its reader checks before it uses the bytes.
    """

    name: str
    pack: Callable[[np.ndarray], Any]
    unpack: Callable[[Any, np.ndarray], np.ndarray]
    ours: str
    checks: str


def torch_save(array: np.ndarray) -> bytes:
    """Return an array as torch saves it."""
    buffer = io.BytesIO()
    torch.save(torch.from_numpy(array), buffer)
    return buffer.getvalue()


def naive_encode(array: np.ndarray) -> bytes:
    """Return what one writes first: one scale, torch, LZ4, msgpack."""
    x = torch.from_numpy(array)
    scale = x.abs().max() / 127
    codes = torch.clamp(torch.round(x / scale), -128, 127).to(torch.int8)
    packed: bytes = msgpack.packb((lz4.block.compress(codes.numpy().tobytes()), float(scale), list(x.shape)))
    return packed


def naive_decode(message: bytes) -> np.ndarray:
    """Undo `naive_encode`."""
    block, scale, shape = msgpack.unpackb(message)
    codes = np.frombuffer(lz4.block.decompress(block), np.int8)
    return (torch.from_numpy(codes.copy()).float() * scale).reshape(shape).numpy()


def blockwise_encode(array: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return codes and scales of blocks as hivemind's, but without its codebook, and without a message."""
    x = torch.from_numpy(array).reshape(-1)
    x = nn.functional.pad(x, (0, -x.numel() % BLOCKWISE)).reshape(-1, BLOCKWISE)
    scales = x.abs().amax(dim=1, keepdim=True) / 127
    return (x / scales).round().to(torch.int8), scales


def blockwise_decode(coded: tuple[torch.Tensor, torch.Tensor], shape: tuple[int, ...]) -> np.ndarray:
    """Undo `blockwise_encode`."""
    values = (coded[0].float() * coded[1]).reshape(-1)
    return values[: int(np.prod(shape))].reshape(shape).numpy()


ALWAYS = (
    Peer(
        name="pickle",
        pack=lambda a: pickle.dumps(a, 5),
        unpack=lambda m, _: pickle.loads(m),  # noqa: S301
        ours="raw",
        checks="nothing: it runs what the sender says",
    ),
    Peer(
        name="torch.save",
        pack=torch_save,
        unpack=lambda m, _: torch.load(io.BytesIO(m), weights_only=True).numpy(),
        ours="raw",
        checks="structure, CRC-32",
    ),
    Peer(
        name="safetensors",
        pack=lambda a: save_safetensors({"x": torch.from_numpy(a)}),
        unpack=lambda m, _: load_safetensors(m)["x"].numpy(),
        ours="raw",
        checks="structure",
    ),
    Peer(
        name="naive int8, LZ4 and msgpack",
        pack=naive_encode,
        unpack=lambda m, _: naive_decode(m),
        ours="int8",
        checks="structure",
    ),
    Peer(
        name="hivemind-style blockwise int8",
        pack=blockwise_encode,
        unpack=lambda m, a: blockwise_decode(m, a.shape),
        ours="int8",
        checks="nothing: it is no message yet",
    ),
)


def peers() -> list[Peer]:
    """Return the peers that are installed."""
    found = list(ALWAYS)
    for name, make in (("blosc2", _blosc2), ("zfpy", _zfpy)):
        try:
            found.append(make())
        except ImportError:
            print(f"{name} is not installed and not compared", file=sys.stderr)
    return found


def _blosc2() -> Peer:
    import blosc2

    def pack(array: np.ndarray) -> Any:
        lz4_codec, shuffle = blosc2.Codec.LZ4, [blosc2.Filter.BITSHUFFLE]
        return blosc2.compress2(array, codec=lz4_codec, clevel=5, filters=shuffle, typesize=4, nthreads=1)

    return Peer(
        name="blosc2 (bit shuffle, LZ4, lossless)",
        pack=pack,
        unpack=lambda m, a: np.frombuffer(blosc2.decompress2(m), a.dtype).reshape(a.shape),
        ours="raw",
        checks="structure",
    )


def _zfpy() -> Peer:
    import zfpy

    return Peer(
        name="zfpy (8 bits a value)",
        pack=lambda a: zfpy.compress_numpy(a, rate=8),
        unpack=lambda m, _: zfpy.decompress_numpy(m),
        ours="int8",
        checks="nothing: a bent header crashes the process",
    )


def peer_rows(effort: Effort) -> Iterator[Row]:
    """Yield how many times longer each peer takes than ours, at the size where it does best."""
    arrays = real_arrays(quick=effort.quick)
    for peer in peers():
        sizes = {size: compare(peer, array, effort.lighter) for size, array in arrays.items()}
        times = [found["times"] for found in sizes.values()]
        how = "raw, read as a view," if peer.ours == "raw" else peer.ours
        claim = f"{peer.name}: time over that of {how} encode and decode, at the size where it does best"
        more = {"peer": peer.name, "checks": peer.checks, "ours": peer.ours, "sizes": sizes}
        yield row(claim, times, 1.0, better="higher", unit="times", **more) | {"value": min(times)}


def compare(peer: Peer, array: np.ndarray, effort: Effort) -> dict[str, float]:
    """Return a peer's time over ours, with and without what our checksum takes, and both errors.

    pickle and safetensors hand out memory of the message or of their own, so `raw` is read as a view of its
    frame, and `times_copied` says what it is where the values are copied into an array of the caller.
    """
    message, frame, out = peer.pack(array), encode(array, peer.ours), np.empty_like(array)
    exact = peer.ours == "raw"
    calls: dict[str, Call] = {
        "theirs": lambda: peer.unpack(peer.pack(array), array),
        "copied": lambda: decode(encode(array, peer.ours), out=out),
        "ours": lambda: decode(encode(array, peer.ours), **({"copy": False} if exact else {"out": out})),
        "checksums": lambda: (xxhash.xxh3_64_intdigest(frame), xxhash.xxh3_64_intdigest(frame)),
    }
    seconds = medians(take_turns(calls, array.size, effort))
    return {
        "times": seconds["theirs"] / seconds["ours"],
        "times_copied": seconds["theirs"] / seconds["copied"],
        "times_without_checksum": seconds["theirs"] / (seconds["ours"] - seconds["checksums"]),
        "their_error": relative(array, peer.unpack(message, array)),
        "our_error": relative(array, decode(frame)),
    }
