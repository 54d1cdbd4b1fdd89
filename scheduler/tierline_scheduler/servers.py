"""Nodes and links as a prediction needs them, and the load that others put on them."""

from dataclasses import dataclass

from tierline_scheduler.coding import Coding
from tierline_scheduler.table import Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What others ask of a node or link.

    Attributes:
        utilisation: share of its time.
        pressure: sum over these flows of utilisation times seconds a piece of work, which is what one waits
            for on average where there is time to spare.
    """

    utilisation: float = 0.0
    pressure: float = 0.0

    def plus(self, other: "Load") -> "Load":
        """Both together."""
        return Load(utilisation=self.utilisation + other.utilisation, pressure=self.pressure + other.pressure)

    def minus(self, other: "Load") -> "Load":
        """This without the other, never below nothing."""
        return Load(
            utilisation=max(0.0, self.utilisation - other.utilisation),
            pressure=max(0.0, self.pressure - other.pressure),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """A node as the prediction needs it; all seconds as fast as the node is now.

    Attributes:
        ready_at: seconds to compute blocks 1..layer, for each layer from 0.
        exit_seconds: of one exit.
        codec_seconds: of one encode or one decode.
        sd: relative spread of these seconds.
        doubt: relative uncertainty of their mean.
        max_layer: memory admits no block beyond.
        backlog: samples that wait there beyond what the plans explain.
        others: load from elsewhere.
    """

    name: str
    ready_at: Floats
    exit_seconds: float
    codec_seconds: float
    sd: float
    doubt: float
    max_layer: int
    backlog: float
    others: Load


@dataclass(frozen=True, slots=True, kw_only=True)
class Hop:
    """A link as the prediction needs it; sds and doubt are relative, as a device's."""

    rate: float
    rate_sd: float
    doubt: float  # of the rate's mean
    rtt: float
    rtt_sd: float
    others: Load
    ahead_sd: float | None = None  # `rate_sd` half a horizon from now; None: the same
    coding: Coding | None = None  # None: frames as the table has them, coded in `codec_seconds`


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrivals:
    """Samples per second that a mobile node starts, and the relative uncertainty of that mean."""

    rate: float
    doubt: float
