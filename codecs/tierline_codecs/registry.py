"""The codecs by name."""

from collections.abc import Mapping
from types import MappingProxyType

from tierline_codecs.codec import Codec
from tierline_codecs.errors import CodecError
from tierline_codecs.int4 import INT4
from tierline_codecs.int8 import INT8, INT8_LZ4, INT8_MASK
from tierline_codecs.plain import FP16, RAW
from tierline_codecs.step import step_codec

_ALL = (
    RAW,
    FP16,
    INT8,
    INT8_LZ4,
    INT8_MASK,
    step_codec("step-zstd", 0.05),
    step_codec("step-zstd-2", 0.02),
    step_codec("step-zstd-10", 0.1),
    INT4,
)

CODECS: Mapping[str, Codec] = MappingProxyType({codec.name: codec for codec in _ALL})
"""Every codec by its name; the step codecs share the plain name in frames."""


def codec_named(name: object) -> Codec:
    """Return a codec.

    Raises:
        CodecError: there is none of that name.
    """
    codec = CODECS.get(name) if isinstance(name, str) else None
    if codec is None:
        raise CodecError(
            "unknown-codec", f"codec {str(name)[:40]!r} is not known here; known are {', '.join(CODECS)}"
        )
    return codec
