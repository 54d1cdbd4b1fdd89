"""Finds the embedded broker, rumqttd in the `iotcore` package, and writes its configuration."""

import importlib.util
import sys
from pathlib import Path

from tierline_broker.mosquitto import MAX_PACKET_BYTES

# Every topic filter keeps a log of up to this much in memory even after delivery; stock settings keep 1 GB.
SEGMENT_BYTES = 8 * 2**20
SEGMENTS = 10

_TEMPLATE = """\
# Written by tierline for one run; change nothing here.
id = 0

[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = {segment_bytes}
max_segment_count = {segments}

[v5.1]
name = "tierline"
listen = "{listen}:{port}"
next_connection_delay_ms = 1

[v5.1.connections]
connection_timeout_ms = 5000
max_payload_size = {max_packet_bytes}
max_inflight_count = 100
dynamic_filters = true
"""

# The package's own command line logs every packet as an error; its class leaves logging to us.
_RUN = """\
import logging, sys, iotcore
logging.disable()
iotcore.IotCoreBroker(config_path=sys.argv[1]).run_forever()
"""


def embedded_installed() -> bool:
    """Whether the embedded broker's package is there."""
    return importlib.util.find_spec("iotcore") is not None


def embedded_configuration(listen: str, port: int) -> str:
    """Return the configuration for one MQTT 5 listener; this broker has no passwords worth the name."""
    host = f"[{listen}]" if ":" in listen else listen
    return _TEMPLATE.format(
        listen=host,
        port=port,
        segment_bytes=SEGMENT_BYTES,
        segments=SEGMENTS,
        max_packet_bytes=MAX_PACKET_BYTES,
    )


def embedded_command(config: Path) -> list[str]:
    """Return the command that runs the embedded broker."""
    # -P: a folder called iotcore where we stand must not shadow the package.
    return [sys.executable, "-P", "-c", _RUN, str(config)]
