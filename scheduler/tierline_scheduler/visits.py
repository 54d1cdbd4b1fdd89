"""What each crossing of a link and each visit to a node takes by itself, nobody else being there."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tierline_scheduler.servers import Device, Hop
from tierline_scheduler.table import Floats, Ints, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Crossing:
    """How samples get from leg to leg; (N, K) each, column k being the hop into leg k."""

    codec: Ints  # place in `KNOWN`; -1 for the raw input
    received_bytes: Floats
    encode: Floats  # seconds, at the leg before
    decode: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """Seconds of one visit, (N, K) each."""

    compute: Floats  # blocks and exits only, averaged over all samples, those that never come here too
    here: Floats  # until the sample may leave
    onward: Floats  # what is added for a sample that travels on


def cross(table: Table, devices: Sequence[Device], hops: Sequence[Hop]) -> Crossing:
    """Return how each candidate's samples get over these links."""
    codec, received, encode, decode = (
        table.codec.copy(), table.received_bytes.copy(), *(np.zeros(table.reach.shape) for _ in range(2))
    )  # fmt: skip
    for k, hop in enumerate(hops, start=1):
        coded, layer = table.coded[:, k], table.start[:, k]
        if hop.coding is None:
            encode[:, k] = devices[k - 1].codec_seconds * coded
            decode[:, k] = devices[k].codec_seconds * coded
            continue
        found = np.where(table.codec[:, k] < 0, hop.coding.chosen[layer], table.codec[:, k])
        codec[:, k] = np.where(coded, found, -1)
        received[:, k] = np.where(coded, hop.coding.frame_bytes[found, layer], received[:, k])
        encode[:, k] = coded * hop.coding.encode[found, layer]
        decode[:, k] = coded * hop.coding.decode[found, layer]
    return Crossing(codec=codec, received_bytes=received, encode=encode, decode=decode)


def serve(table: Table, across: Crossing, devices: Sequence[Device]) -> Service:
    """Return the seconds that each candidate's legs take on these nodes."""
    compute, here, onward = (np.zeros(table.reach.shape) for _ in range(3))
    for k, device in enumerate(devices):
        until = device.ready_at[table.pause[:, k]] - device.ready_at[table.start[:, k]]
        until = until + device.exit_seconds * table.exits[:, k]
        here[:, k] = until + across.decode[:, k]
        compute[:, k] = table.reach[:, k] * until
        if k + 1 < len(devices):
            beyond = device.ready_at[table.stop[:, k]] - device.ready_at[table.pause[:, k]]
            onward[:, k] = beyond + across.encode[:, k + 1]
            compute[:, k] += table.reach[:, k + 1] * beyond
    return Service(compute=compute, here=here, onward=onward)
