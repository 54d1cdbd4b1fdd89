"""Run blocks, decide the route of a sample, report telemetry, follow plans."""

from tierline_nodes.config import NodeConfig
from tierline_nodes.emulation import Conditions
from tierline_nodes.errors import EmulationError, NodeError, SampleError
from tierline_nodes.node import run_node

__all__ = ["Conditions", "EmulationError", "NodeConfig", "NodeError", "SampleError", "run_node"]
