"""Run blocks, decide the route of a sample, report telemetry, follow plans."""

from tierline_nodes.config import NodeConfig
from tierline_nodes.emulation import Conditions
from tierline_nodes.errors import EmulationError, NodeError, SampleError
from tierline_nodes.node import run_node
from tierline_nodes.selftest import codec_costs

__all__ = [
    "Conditions",
    "EmulationError",
    "NodeConfig",
    "NodeError",
    "SampleError",
    "codec_costs",
    "run_node",
]
