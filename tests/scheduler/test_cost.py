import math
from typing import Any

import numpy as np
import pytest

from tierline_broker import Tier
from tierline_scheduler.candidates import enumerate_candidates
from tierline_scheduler.cost import KNEE, predict, stretch
from tierline_scheduler.model import read_card
from tierline_scheduler.servers import Arrivals, Device, Hop, Load
from tierline_scheduler.table import make_table

STEADY = Arrivals(rate=0.0, doubt=0.0)


def device(blocks: int, seconds: float, **fields: Any) -> Device:
    given = {"name": "x", "exit_seconds": 0.001, "codec_seconds": 0.002, "sd": 0.1, "doubt": 0.05}
    given |= {
        "ready_at": seconds * np.arange(blocks + 1),
        "max_layer": blocks,
        "backlog": 0.0,
        "others": Load(),
    }
    return Device(**{**given, **fields})


def hop(**fields: Any) -> Hop:
    given = {"rate": 1e6, "rate_sd": 0.2, "doubt": 0.1, "rtt": 0.03, "rtt_sd": 0.1, "others": Load()}
    return Hop(**{**given, **fields})


@pytest.fixture
def split(kit: Any) -> Any:
    """Blocks 1..3 on the mobile node (exit 2 in use), int8 to the edge, which ends at 6."""
    model = read_card(kit.text.card)
    return next(
        candidate
        for candidate in enumerate_candidates(model, (Tier.MOBILE, Tier.EDGE))
        if [leg.layer for leg in candidate.legs] == [3, 6]
        and candidate.legs[1].codec == "int8"
        and candidate.used == (True,)
    )


def test_latency_is_the_sum_of_everything_on_the_way(split: Any) -> None:
    table = make_table((Tier.MOBILE, Tier.EDGE), (split,))
    figures = predict(table, (device(6, 0.02), device(6, 0.005)), (hop(),), STEADY, 1.0)

    here = 2 * 0.02 + 0.001  # to exit 2, and the exit
    onward = 0.02 + 0.002  # block 3, encode
    there = 19_000 / 1e6 + 0.03 + 0.002 + 3 * 0.005 + 0.001  # wire, round trip, decode, blocks 4-6, exit
    stays = split.card.shares[0]
    assert figures.seconds[0] == pytest.approx(here + onward + there)
    assert figures.mean_seconds[0] == pytest.approx(here + (1 - stays) * (onward + there))
    assert figures.sent_bytes[0] == pytest.approx((1 - stays) * 19_000)
    assert figures.work[0] == pytest.approx([2 * 0.02 + 0.001 + (1 - stays) * 0.02, (1 - stays) * 0.016])


def test_uncertainty_adds_up_in_squares(split: Any) -> None:
    table = make_table((Tier.MOBILE, Tier.EDGE), (split,))
    figures = predict(table, (device(6, 0.02), device(6, 0.005)), (hop(),), STEADY, 2.0)

    mobile, edge, wire = 0.063, 0.018, 0.019
    spread = math.sqrt((0.1 * mobile) ** 2 + (0.1 * edge) ** 2 + (0.2 * wire) ** 2 + (0.1 * 0.03) ** 2)
    favour = 2 * math.sqrt((0.05 * mobile) ** 2 + (0.05 * edge) ** 2 + (0.1 * wire) ** 2)
    assert figures.sd[0] == pytest.approx(spread)
    assert figures.seconds[0] - figures.least_seconds[0] == pytest.approx(favour)


def test_waits_grow_with_the_load_of_everybody(split: Any) -> None:
    table = make_table((Tier.MOBILE, Tier.EDGE), (split,))
    crowded = device(6, 0.005, others=Load(utilisation=0.5, pressure=0.5 * 0.02))
    devices, hops = (device(6, 0.02), crowded), (hop(others=Load(utilisation=0.25, pressure=0.005)),)
    figures = predict(table, devices, hops, Arrivals(rate=10.0, doubt=0.0), 1.0)

    passing = 1 - split.card.shares[0]
    visit = 0.041 + passing * 0.022
    mobile = 10 * visit
    edge = 10 * passing * 0.018
    wire = 10 * passing * 0.019
    assert figures.nodes.total[0] == pytest.approx([mobile, edge + 0.5])
    assert figures.links.total[0] == pytest.approx([0, wire + 0.25])
    assert figures.nodes.wait[0] == pytest.approx(
        [mobile * visit / (1 - mobile), (edge * 0.018 + 0.01) / (1 - edge - 0.5)]
    )
    assert figures.links.wait[0, 1] == pytest.approx((wire * 0.019 + 0.005) / (1 - wire - 0.25))
    quiet = predict(table, devices, hops, STEADY, 1.0)
    assert figures.seconds[0] > quiet.seconds[0]


def test_an_unexplained_queue_is_waited_for(split: Any) -> None:
    table = make_table((Tier.MOBILE, Tier.EDGE), (split,))
    free = predict(table, (device(6, 0.02), device(6, 0.005)), (hop(),), STEADY, 1.0)
    queued = predict(table, (device(6, 0.02), device(6, 0.005, backlog=4.0)), (hop(),), STEADY, 1.0)

    assert queued.seconds[0] - free.seconds[0] == pytest.approx(4 * 0.018)


def test_waits_stay_finite_and_ordered_when_a_node_is_overloaded() -> None:
    load = np.linspace(0, 5, 501)

    longer = stretch(load)

    assert np.all(np.diff(longer) > 0)
    assert longer[0] == 1
    assert stretch(np.array([KNEE]))[0] == pytest.approx(20)


def test_loads_add_and_subtract_and_are_never_negative() -> None:
    one, two = Load(utilisation=0.1, pressure=0.01), Load(utilisation=0.3, pressure=0.02)

    assert one.plus(two) == Load(utilisation=0.4, pressure=0.03)
    assert one.minus(two) == Load()
