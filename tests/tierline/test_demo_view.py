"""What people see of a run, from values."""

from typing import Any

import pytest
from rich.console import Console

from tierline.summary import print_summary
from tierline.view import mix_in_words, picture, showing, size_in_words
from tierline_broker import (
    Answer,
    Birth,
    CodecUse,
    ExitReport,
    ModelCard,
    Plan,
    Pool,
    Profile,
    Result,
    Route,
    Stage,
    Step,
    Telemetry,
    Tier,
)
from tierline_replay import GOOD, Live, Outcome, PlanSeen, Request, Sample, document, summarise


def outcome(index: int, tier: Tier, *, all_cloud: bool = False) -> Outcome:
    """An answer that came from a tier."""
    steps = [Step(node="mobile", tier=Tier.MOBILE, first=0, last=2, compute=0.02)]
    if tier is not Tier.MOBILE:
        steps.append(Step(node=tier, tier=tier, first=2, last=4, compute=0.01, received_bytes=5000))
    return Outcome(
        request=Request(
            index=index, due=float(index), sample=Sample(data=b"x", label="good"), all_cloud=all_cloud
        ),
        sent=float(index),
        seconds=0.05,
        result=Result(
            id=index.to_bytes(16),
            node=tier,
            tier=tier,
            answer=Answer(output=(1.0,), label="good", confidence=0.9, layer=4),
            steps=tuple(steps),
        ),
    )


@pytest.fixture
def live() -> Live:
    """A run half way."""
    route = Route(
        stages=(
            Stage(tier=Tier.MOBILE, node="mobile", layer=2, codec="input"),
            Stage(tier=Tier.EDGE, node="edge", layer=4, codec="int8"),
        ),
        tiers={Pool.EASY: Tier.MOBILE, Pool.MEDIUM: Tier.EDGE, Pool.HARD: Tier.EDGE},
    )
    live = Live(requests=8, deadline=0.12, world=GOOD, started=100.0)
    live.births = {
        name: Birth(node=name, tier=Tier(name), state="ready", incarnation=1)
        for name in ("cloud", "edge", "mobile")
    } | {"scheduler": Birth(node="scheduler", role="scheduler", state="ready", incarnation=1)}
    live.telemetry = {
        "edge": Telemetry(
            node="edge",
            tier=Tier.EDGE,
            incarnation=1,
            queue=3,
            speed=1.0,
            busy=0.25,
            arrival_rate=2.0,
            sent_bytes=123_456,
            codecs={
                "int8": CodecUse(sent=9, sent_bytes=90_000, array_bytes=356_000),
                "raw": CodecUse(received=9),
            },
        )
    }
    live.plans = [
        PlanSeen(at=1.0, plan=Plan(node="mobile", model="m", version=7, route=route, predicted_seconds=0.08))
    ]
    live.outcomes = [outcome(index, tier) for index, tier in enumerate((*Tier, Tier.MOBILE))]
    live.outcomes.append(outcome(0, Tier.CLOUD, all_cloud=True))
    return live


@pytest.fixture
def shown(live: Live) -> str:
    """The picture of that run."""
    console = Console(width=100)
    with console.capture() as captured:
        console.print(picture(live, ["now: something happened"], now=142.0))
    return captured.get()


def test_the_view_says_what_is_emulated(shown: str) -> None:
    assert "phone 10 times, edge 3 times slower than the cloud" in shown
    assert "uplink 20 Mbit/s, round trip to edge 10 ms, to cloud 30 ms (good links, edge free)" in shown


def test_the_view_says_what_the_phone_has_room_for(live: Live) -> None:
    card = ModelCard(
        digest="d", name="text", blocks=6, input_bytes=100, points=(), exits=(2,), accuracy=0.8, routes=()
    )
    live.profiles["mobile"] = Profile(
        node="mobile", tier=Tier.MOBILE, incarnation=1, model=card, block_seconds=(0.01, 0.01),
        exit_seconds=0.001, codec_seconds=0.001, max_layer=2, memory_bytes=10**9, cores=1,
    )  # fmt: skip
    console = Console(width=100)
    with console.capture() as captured:
        console.print(picture(live, [], now=142.0))

    assert "the phone has room for 2 of the 6 blocks" in captured.get()


def test_the_view_shows_nodes_plan_shares_and_progress(shown: str) -> None:
    assert "25%" in shown
    assert "123 kB  int8 4.0x" in shown
    assert "plan 7: mobile blocks 1-2, int8 to edge blocks 3-4; up to 80 ms predicted" in shown
    assert "mobile 50%  edge 25%  cloud 25%" in shown
    assert "120 ms" in shown
    assert "10 kB" in shown
    assert "4/8 requests 42 s" in shown
    assert "now: something happened" in shown


def test_the_view_can_be_drawn_before_anything_is_known() -> None:
    console = Console(width=100)
    with console.capture() as captured:
        console.print(picture(Live(), [], now=0.0))

    assert "no plan yet" in captured.get()


async def test_without_a_terminal_events_are_lines(live: Live) -> None:
    console = Console(width=100, force_terminal=False)
    with console.capture() as captured:
        async with showing(live, console, view=True):
            live.tell("edge is [bold]ready")

    assert captured.get().endswith("s  edge is [bold]ready\n")
    assert captured.get().count("\n") == 1


async def test_on_a_terminal_the_view_is_drawn_and_stays_at_the_end(live: Live) -> None:
    console = Console(width=100, height=60, force_terminal=True)
    with console.capture() as captured:
        async with showing(live, console, view=True):
            live.tell("edge is ready")

    assert "tierline demo" in captured.get()
    assert "edge is ready" in captured.get()


def test_sizes_are_said_as_people_do() -> None:
    assert [size_in_words(size) for size in (0, 999, 1500, 2_270_000, 5e9)] == [
        "0 B",
        "999 B",
        "1.5 kB",
        "2.27 MB",
        "5 GB",
    ]


def test_the_summary_is_a_table_with_its_constants_and_a_sentence(live: Live) -> None:
    summary = summarise(live.outcomes, requests=4, deadline=0.12, duplicates=0, plans=1, seed=0)
    phase: dict[str, Any] = {
        "name": "good links", "requests": 4, "tier_share": summary.tier_share,
        "latency_seconds": summary.latency_seconds, "plan": {"route": "mobile blocks 1-2"},
    }  # fmt: skip
    found = document(summary, live.outcomes, deadline_seconds=0.12, phases=[phase, phase | {"plan": None}])
    console = Console(width=140)
    with console.capture() as captured:
        print_summary(console, found)

    told = " ".join(captured.get().split())
    assert "requests 4 1" in told
    assert "lost, duplicates 0, 0" in told
    assert "within 120 ms 100.0%" in told
    assert "payload sent by the phone 10 kB 5 kB" in told
    assert "Abstract cost: 0.1 a block, and for a message to the edge 0.3, cloud 0.6." in told
    assert "Against the same inputs all sent to the cloud, this run saved" in told


def test_how_hard_samples_look_is_told_beside_the_mix_that_is_planned_for(live: Live) -> None:
    assert mix_in_words(live) == ""
    counts = ExitReport(layer=2, pools={Pool.EASY: 6, Pool.MEDIUM: 1, Pool.HARD: 3})
    report = next(iter(live.telemetry.values()))
    live.telemetry[report.node] = report.model_copy(update={"exits": (counts,)})
    assert live.plan is not None
    mix = {Pool.EASY: 0.5, Pool.MEDIUM: 0.0, Pool.HARD: 0.5}
    live.plans.append(PlanSeen(at=2.0, plan=live.plan.model_copy(update={"mix": mix})))

    assert mix_in_words(live) == (
        "\nlooked 60% easy, 10% medium, 30% hard; planned for 50% easy, 0% medium, 50% hard"
    )
