"""When requests come and how the world changes, from the scenario; what a run leaves beside its summary."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tierline_broker import Birth, Plan, Route, Stage, Tier
from tierline_replay import (
    GOOD,
    Live,
    Outcome,
    PlanSeen,
    Scenario,
    draw,
    outcome_lines,
    parse_mahimahi,
    route_in_words,
)
from tierline_replay.report import describe
from tierline_replay.run import arrival_times, usual_worst, world_changes
from tierline_replay.world import phases, worse

BAD = worse(0.0)
M, E, C = Tier.MOBILE, Tier.EDGE, Tier.CLOUD


def test_a_run_that_is_told_nothing_sends_a_minutes_worth_and_400_if_it_can() -> None:
    fast, slow, tired = (arrival_times(Scenario(), rate) for rate in (12.0, 5.0, 3.0))

    assert (len(fast), fast[-1]) == (12 * 66, pytest.approx(66))
    assert (len(slow), slow[-1]) == (400, pytest.approx(80))
    assert (len(tired), tired[-1]) == (3 * 90, pytest.approx(90))


def test_few_requests_are_spread_so_that_the_plan_has_time_to_move() -> None:
    assert arrival_times(Scenario(requests=120), 12.0)[-1] == pytest.approx(66)
    assert arrival_times(Scenario(requests=5), 12.0)[-1] == pytest.approx(10)
    assert arrival_times(Scenario(requests=1), 12.0) == (0.0,)


def test_given_times_are_kept_and_drawn_ones_are_the_seeds() -> None:
    assert arrival_times(Scenario(times=(0.0, 9.0)), 12.0) == (0.0, 9.0)
    assert arrival_times(Scenario(seed=1), 6.0) == arrival_times(Scenario(seed=1), 6.0)
    assert arrival_times(Scenario(seed=1), 6.0) != arrival_times(Scenario(seed=2), 6.0)


def test_a_trace_takes_the_place_of_the_phases() -> None:
    trace = parse_mahimahi("\n".join(["10"] * 40 + ["100"]), name="lte.up")

    assert world_changes(Scenario(), 60.0, BAD) == phases(60.0, BAD)
    assert "lte.up" in world_changes(Scenario(network=trace), 60.0, BAD)[0].world.name
    assert usual_worst(Scenario(), phases(60.0, BAD)) == BAD
    assert usual_worst(Scenario(network=trace), phases(60.0, BAD)).uplink == 41 * 1500 / 0.1


def plan(*stages: tuple[Tier, int, str], version: int = 1) -> Plan:
    """A plan with these stages."""
    made = tuple(Stage(tier=tier, node=tier, layer=layer, codec=codec) for tier, layer, codec in stages)
    return Plan(node="mobile", model="m", version=version, route=Route(stages=made), reason="because")


def test_a_route_is_said_in_words() -> None:
    split = plan((M, 2, "input"), (E, 4, "int8"), (C, 6, "fp16"))

    assert route_in_words(split) == "mobile blocks 1-2, int8 to edge blocks 3-4, fp16 to cloud blocks 5-6"
    assert (
        route_in_words(plan((M, 0, "input"), (C, 6, "input")))
        == "mobile passes on, input to cloud blocks 1-6"
    )
    assert (
        route_in_words(plan((M, 2, "input"), (C, 6, "input")))
        == "mobile blocks 1-2, input to cloud blocks 1-6"
    )


@pytest.fixture
def live(ended: Callable[..., Outcome], step: Callable[..., Any]) -> Live:
    """A run of 100 seconds, one request in each third, and one that failed."""
    near = (step(M, 0, 2), step(E, 2, 4, received=9000))
    live = Live(requests=4, deadline=0.25, started=1.0)
    live.births = {"mobile": Birth(node="mobile", tier=M, state="ready", incarnation=1)}
    live.plans = [
        PlanSeen(at=-1.0, plan=plan((M, 2, "input"), (E, 4, "int8"))),
        PlanSeen(at=37.0, plan=plan((M, 2, "input"), (C, 6, "input"), version=2)),
    ]
    live.outcomes = [
        ended(0, *near, tier=E, due=10.0, seconds=0.1),
        ended(1, step(M, 0, 2), tier=M, due=50.0, seconds=0.3),
        ended(2, *near, tier=E, due=90.0, seconds=0.1),
        ended(3, tier=E, error="deadline", due=95.0, seconds=3.0),
        ended(0, step(C, 0, 6, received=100), all_cloud=True, due=11.0, seconds=0.2),
    ]
    return live


def test_each_phase_has_its_own_row(live: Live) -> None:
    found = describe(live, phases(100.0, BAD), bundle="text")

    assert json.loads(json.dumps(found)) == found
    assert [row["name"] for row in found["phases"]] == [GOOD.name, BAD.name, f"{GOOD.name} again"]
    assert [row["requests"] for row in found["phases"]] == [1, 1, 2]
    assert [row["tier_share"]["edge"] for row in found["phases"]] == [1.0, 0.0, 1.0]
    assert [row["plan"]["version"] for row in found["phases"]] == [1, 2, 2]
    assert [row["at"] for row in found["plan_history"]] == [-1.0, 37.0]
    assert found["seconds"] == 98.0


def test_every_outcome_is_one_line_in_order_of_time(live: Live) -> None:
    rows = [json.loads(line) for line in outcome_lines(live.outcomes)]

    assert [row["due"] for row in rows] == [10.0, 11.0, 50.0, 90.0, 95.0]
    assert [row["tier"] for row in rows] == ["edge", "cloud", "mobile", "edge", None]
    assert rows[0]["uplink_bytes"] == 9000
    assert rows[1]["all_cloud"]
    assert rows[-1]["error"] == "deadline"


def test_the_plot_is_a_picture(live: Live, tmp_path: Path) -> None:
    path = tmp_path / "latency.svg"

    draw(path, live.outcomes, phases(100.0, BAD), plans=[-1.0, 37.0], deadline=0.25)

    assert "</svg>" in path.read_text()


def test_a_plot_of_nothing_is_a_picture_too(tmp_path: Path) -> None:
    draw(tmp_path / "empty.png", [], phases(10.0, BAD), plans=[], deadline=0.25)

    assert (tmp_path / "empty.png").read_bytes().startswith(b"\x89PNG")
