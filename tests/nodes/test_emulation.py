"""Emulated conditions: the link's arithmetic and the lines that change it."""

import asyncio

import pytest

from tierline_broker import Tier
from tierline_nodes.emulation import Conditions
from tierline_nodes.errors import EmulationError


def test_a_send_waits_for_its_bytes_and_then_for_the_round_trip() -> None:
    link = Conditions(bytes_per_second=1000.0, rtt={Tier.EDGE: 0.05})

    assert link.departure(10.0, 500, Tier.EDGE) == pytest.approx(10.55)


def test_two_sends_share_one_serialiser_but_not_the_propagation() -> None:
    link = Conditions(bytes_per_second=1000.0, rtt={Tier.EDGE: 0.05, Tier.CLOUD: 0.2})

    assert link.departure(0.0, 100, Tier.CLOUD) == pytest.approx(0.3)
    assert link.departure(0.0, 100, Tier.EDGE) == pytest.approx(0.25)


def test_an_idle_link_owes_nothing_for_the_past() -> None:
    link = Conditions(bytes_per_second=1000.0)
    link.departure(0.0, 100, None)

    assert link.departure(50.0, 100, None) == pytest.approx(50.1)


def test_without_conditions_nothing_waits() -> None:
    assert Conditions().departure(3.0, 10**9, Tier.CLOUD) == 3.0


def test_a_line_changes_what_it_names_and_nothing_else() -> None:
    link = Conditions(slowdown=2.0, rtt={Tier.EDGE: 0.1})
    link.change('{"uplink_bytes_per_second": 250000, "rtt_seconds": {"cloud": 0.06}}')

    assert link.slowdown == 2.0
    assert link.bytes_per_second == 250_000.0
    assert link.rtt == {Tier.EDGE: 0.1, Tier.CLOUD: 0.06}


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        '{"slowdown": 0.5}',
        '{"slowdown": true}',
        '{"slowdown": NaN}',
        '{"speed": 2}',
        '{"rtt_seconds": {"moon": 1}}',
        '{"rtt_seconds": 3}',
        '{"uplink_bytes_per_second": -1}',
    ],
)
def test_a_line_that_makes_no_sense_is_refused_whole(line: str) -> None:
    link = Conditions(slowdown=2.0)
    with pytest.raises(EmulationError, match="expected a JSON line"):
        link.change(line)

    assert link == Conditions(slowdown=2.0)


async def test_crossing_takes_the_time_the_link_takes() -> None:
    link = Conditions(bytes_per_second=10_000.0, rtt={Tier.EDGE: 0.01})
    loop = asyncio.get_running_loop()
    start = loop.time()
    await link.cross(500, Tier.EDGE)

    assert loop.time() - start >= 0.0599


async def test_who_waits_for_its_turn_may_be_called_back_and_meets_the_link_as_it_then_is() -> None:
    link = Conditions(bytes_per_second=10_000.0)
    loop = asyncio.get_running_loop()
    start = loop.time()
    first, given_up, last = (asyncio.create_task(link.cross(500, None)) for _ in range(3))
    await asyncio.sleep(0.01)
    given_up.cancel()
    link.change('{"uplink_bytes_per_second": 5000}')
    await first
    assert loop.time() - start == pytest.approx(0.05, abs=0.03)
    await last
    assert loop.time() - start == pytest.approx(0.15, abs=0.04)
