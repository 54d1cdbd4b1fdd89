"""What every codec makes of the tensors that travel at a split point: bytes, error, seconds."""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, TypeVar

import numpy as np

from tierline_codecs import CODECS, CodecError, decode_tensors, encode_tensors
from tierline_models import CodecFigure

_ROUNDS = 3
_LARGE_BYTES = 2**18  # from here on a call takes long enough to be timed once
_T = TypeVar("_T")


def codec_figures(tensors: Sequence[Any]) -> dict[str, CodecFigure]:
    """The figures by codec; where a codec refuses these tensors, those of `raw`, as which they would travel.

    Args:
        tensors: on the CPU, contiguous.
    """
    arrays = {f"part_{place}": one for place, one in enumerate(tensors)}
    sent = decode_tensors(encode_tensors(arrays, "raw"))
    raw = _figure(arrays, "raw", sent)
    return {codec: _figure_or(arrays, codec, sent, raw) for codec in CODECS}


def _figure_or(
    arrays: Mapping[str, Any], codec: str, sent: Mapping[str, Any], raw: CodecFigure
) -> CodecFigure:
    try:
        return _figure(arrays, codec, sent)
    except CodecError:
        return raw


def _figure(arrays: Mapping[str, Any], codec: str, sent: Mapping[str, Any]) -> CodecFigure:
    rounds = 1 if sum(one.nbytes for one in sent.values()) >= _LARGE_BYTES else _ROUNDS
    encode_seconds, frame = _timed(lambda: encode_tensors(arrays, codec), rounds)
    decode_seconds, returned = _timed(lambda: decode_tensors(frame), rounds)
    return CodecFigure(
        bytes=len(frame),
        error=_error(list(sent.values()), list(returned.values())),
        encode_seconds=encode_seconds,
        decode_seconds=decode_seconds,
    )


def _timed(work: Callable[[], _T], rounds: int) -> tuple[float, _T]:
    """Median seconds of a few calls, on a core, and what the last returned."""
    seconds = []
    for _ in range(rounds):
        started = time.thread_time()
        returned = work()
        seconds.append(time.thread_time() - started)
    return float(f"{median(seconds):.4g}"), returned


def _error(sent: Sequence[Any], returned: Sequence[Any]) -> float:
    """Relative error (L2) over all tensors together; 0.0 where nothing but zeros was sent."""
    lost, whole = 0.0, 0.0
    for one, other in zip(sent, returned, strict=True):
        a, b = np.asarray(one, np.float64), np.asarray(other, np.float64)
        lost += float(np.square(np.where(a == b, 0.0, a - b)).sum())  # equal infinities differ by nothing
        whole += float(np.square(a[np.isfinite(a)]).sum())
    return float(f"{np.sqrt(lost / whole):.4g}") if whole and np.isfinite(lost) else 0.0
