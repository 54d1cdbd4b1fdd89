"""The conditions of a run, and what each node is told of them."""

import json

import pytest

from tierline_broker import Tier
from tierline_nodes import Conditions
from tierline_replay import GOOD, parse_mahimahi
from tierline_replay.world import differences, lines, phases, replayed, worse

BAD = worse(0.0)


def test_the_demo_is_good_then_worse_then_good_again() -> None:
    first, middle, again = phases(100.0, BAD)

    assert (first.at, first.world) == (0.0, GOOD)
    assert middle.at < 50 < again.at
    assert middle.world.uplink < GOOD.uplink / 5
    assert middle.world.slowdown[Tier.EDGE] > middle.world.slowdown[Tier.MOBILE] > GOOD.slowdown[Tier.EDGE]
    assert lines(again.world) == lines(GOOD)


def test_the_bad_uplink_still_carries_what_it_must() -> None:
    assert worse(600_000).uplink == GOOD.uplink / 4
    assert worse(600_000).name == "uplink 4 times slower, edge 30 times slower"
    assert worse(0.0).uplink == GOOD.uplink / 20
    assert worse(1e9).uplink == GOOD.uplink / 2


def test_nodes_are_told_what_they_emulate_and_no_more() -> None:
    told = lines(GOOD)

    assert told[Tier.MOBILE] == {
        "slowdown": 10.0,
        "uplink_bytes_per_second": 2.5e6,
        "rtt_seconds": {"edge": 0.01, "cloud": 0.03},
    }
    assert told[Tier.EDGE]["rtt_seconds"] == {"cloud": pytest.approx(0.02)}
    assert told[Tier.CLOUD] == {"slowdown": 1.0}


def test_a_change_is_told_to_those_whom_it_concerns() -> None:
    told = differences(lines(GOOD), lines(BAD))

    assert told == {Tier.MOBILE: {"uplink_bytes_per_second": 0.125e6}, Tier.EDGE: {"slowdown": 90.0}}
    assert differences(lines(GOOD), lines(GOOD)) == {}


def test_nodes_understand_what_they_are_told() -> None:
    for line in lines(BAD).values():
        Conditions().change(json.dumps(line))


def test_a_trace_changes_the_uplink_and_only_when_it_changes() -> None:
    trace = parse_mahimahi("\n".join(["10"] * 40 + ["110"] * 40 + ["210"] * 80 + ["400"]), name="lte.up")

    changes = replayed(trace, 0.8)

    assert [round(change.at, 3) for change in changes] == [0.0, 0.2, 0.3, 0.4, 0.6, 0.7]
    assert changes[0].world.uplink == 600_000
    assert changes[1].world.uplink == 1_200_000
    assert changes[0].world.slowdown == GOOD.slowdown
    assert "lte.up" in changes[0].world.name


def test_an_outage_is_told_as_a_longer_way() -> None:
    trace = parse_mahimahi("\n".join(["10"] * 40 + ["1000"] * 40), name="tunnel.up")

    during = replayed(trace, 1.0)[3].world

    assert during.pause > 0.5
    assert lines(during)[Tier.MOBILE]["rtt_seconds"]["edge"] == GOOD.rtt[Tier.EDGE] + during.pause
    assert lines(during)[Tier.EDGE] == lines(GOOD)[Tier.EDGE]
