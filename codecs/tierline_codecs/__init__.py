"""Arrays to bytes and back: quantize, compress, frame; nothing here knows torch or the network."""

from tierline_codecs.calibrated import CALIBRATED, Calibration, calibrate
from tierline_codecs.choice import (
    Choice,
    CodecSeconds,
    Device,
    TensorStatistics,
    break_even,
    choose,
    statistics_from,
    statistics_of,
)
from tierline_codecs.codec import Codec
from tierline_codecs.errors import CodecError
from tierline_codecs.frame import bytes_of, decode, decode_tensors, encode, encode_tensors
from tierline_codecs.limits import Limits
from tierline_codecs.native import lend, warm_up
from tierline_codecs.registry import CODECS

__all__ = [
    "CALIBRATED",
    "CODECS",
    "Calibration",
    "Choice",
    "Codec",
    "CodecError",
    "CodecSeconds",
    "Device",
    "Limits",
    "TensorStatistics",
    "break_even",
    "bytes_of",
    "calibrate",
    "choose",
    "decode",
    "decode_tensors",
    "encode",
    "encode_tensors",
    "lend",
    "statistics_from",
    "statistics_of",
    "warm_up",
]
