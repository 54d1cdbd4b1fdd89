"""The load and the deadline that suit a machine, from values."""

import math
from dataclasses import replace

import pytest

from tierline_broker import ModelCard, RouteCard
from tierline_replay.calibrate import Pace, deadline_for, least_uplink, rate_for, sufficient_exit
from tierline_replay.world import GOOD, worse

BAD = worse(0.0)


def pace(block: float) -> Pace:
    """A text model of six such blocks in the cloud, on a phone ten times slower."""
    return Pace(first=20 * block, phone=40 * block, cloud=6 * block, input_bytes=110)


@pytest.mark.parametrize("block", [0.0008, 0.0014, 0.002, 0.004])
def test_the_phone_cannot_do_it_all_in_time_but_the_cloud_can(block: float) -> None:
    rate = rate_for(pace(block), 4.4)
    busy = rate * 40 * block
    waiting = busy / (1 - busy) * 40 * block if busy < 1 else float("inf")

    deadline = deadline_for(pace(block), GOOD, BAD, rate)

    assert deadline < 40 * block + 2.5 * waiting
    assert deadline > 1.2 * (0.03 + 6 * block)


def test_a_hard_sample_has_time_for_the_phones_first_exit_and_the_cloud() -> None:
    rate = rate_for(pace(0.0015), 4.4)

    assert deadline_for(pace(0.0015), GOOD, BAD, rate) > 0.03 + 26 * 0.0015


def test_the_rate_keeps_the_phone_busy_within_what_this_machine_bears() -> None:
    assert rate_for(pace(0.0014), 4.4) == pytest.approx(0.65 / 0.056)
    assert rate_for(pace(0.0001), 4.4) == 18.0
    assert rate_for(pace(0.004), 4.4) == 6.0
    assert rate_for(pace(0.0075), 4.4) == 4.4
    assert rate_for(pace(0.02), 4.4) == pytest.approx(0.4 / 0.24)


def test_a_phone_without_room_for_a_sufficient_exit_sets_neither_rate_nor_deadline() -> None:
    small = replace(pace(0.0014), phone=math.inf)

    assert rate_for(small, 4.4) == 6.0
    assert deadline_for(small, GOOD, BAD, 6.0) >= deadline_for(pace(0.0014), GOOD, BAD, 6.0)
    assert deadline_for(small, GOOD, BAD, 6.0) < 0.3


def test_a_model_with_one_exit_has_no_early_part() -> None:
    image = Pace(first=0.0, phone=0.25, cloud=0.025, input_bytes=23_000)

    found = deadline_for(image, GOOD, BAD, 6.0)

    assert found > 1.15 * (0.03 + 0.184 + 0.025)
    assert found > 0.01 + 0.009 + 0.075 / (1 - 6 * 0.075)


def test_the_uplink_must_carry_all_raw_inputs_and_spare_half() -> None:
    image = Pace(first=0.0, phone=0.25, cloud=0.025, input_bytes=23_000)

    assert least_uplink(image, 6.0) == 4 * 6 * 23_000


def test_the_sufficient_exit_is_the_first_that_keeps_the_accuracy() -> None:
    rows = [((2,), 0.80), ((4,), 0.83), ((6,), 0.835), ((2, 4), 0.84)]
    routes = tuple(
        RouteCard(
            exits=exits,
            thresholds=(0.7,) * (len(exits) - 1),
            shares=(1 / len(exits),) * len(exits),
            accuracy=accuracy,
        )
        for exits, accuracy in rows
    )
    card = ModelCard(
        digest="d",
        name="n",
        blocks=6,
        input_bytes=100,
        points=(),
        exits=(2, 4, 6),
        accuracy=0.835,
        routes=routes,
    )

    assert sufficient_exit(card) == 4
    assert sufficient_exit(card.model_copy(update={"routes": ()})) == 6
