"""A node's settings, checked when they are made."""

import importlib.metadata
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tierline_broker import Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeConfig:
    """What one node is and where it belongs."""

    name: str
    tier: Tier
    broker: str  # URL
    site: str = "default"
    username: str | None = None
    password: str | None = None
    bundle: str | Path = "text"
    runtime: Literal["torch", "onnx"] = "torch"  # what computes the blocks
    slowdown: float = 1.0  # emulates a device this many times slower
    emulate: bool = False  # read changing conditions as JSON lines from standard input
    bench_clock: bool = False  # stamp messages with the shared monotonic clock of one host
    max_layer: int | None = None  # hold only blocks 1..max_layer; None: all
    window: int = 16  # samples that each sender may have under way to this node
    mirror_headers: bool = False  # repeat routing headers as MQTT user properties, to look at them

    def __post_init__(self) -> None:
        """Refuse settings that make no sense.

        Raises:
            ValueError: with one sentence that names the setting.
        """
        if not 1 <= self.slowdown <= 1000:
            raise ValueError(f"slowdown {self.slowdown} is outside 1..1000; 1 is this machine as it is")
        if self.max_layer is not None and self.max_layer < 1:
            raise ValueError(f"max layer {self.max_layer} is below 1; leave it out to hold all blocks")
        if not 1 <= self.window <= 1000:
            raise ValueError(f"window {self.window} is outside 1..1000")

    @property
    def version(self) -> str:
        """The installed release of Tierline."""
        return importlib.metadata.version("tierline")

    @property
    def broker_shown(self) -> str:
        """The broker's URL without its credentials, for the log."""
        scheme, _, rest = self.broker.rpartition("://")
        return f"{scheme}://{rest.rpartition('@')[2]}"
