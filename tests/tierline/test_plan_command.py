"""`tierline plan` on files and on a running deployment."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tierline.plan import measured
from tierline_broker import Pool
from tierline_scheduler import ClusterState, NodeState, SlowPrices
from tierline_scheduler.mix import Mix

Tierline = Callable[..., Any]
PROFILE = Path(__file__).parents[2] / "benchmarks" / "profiles" / "image.json"
LINKS = [{"sender": "mobile", "peer": "cloud", "bytes_per_second": 1e6, "rtt": 0.03}]


def test_a_profile_and_a_link_give_a_plan_all_alternatives_and_what_was_assumed(
    tierline: Tierline, tmp_path: Path
) -> None:
    (tmp_path / "links.json").write_text(json.dumps(LINKS))
    flags = ("--profile", str(PROFILE), "--links", "links.json", "--deadline", "1.5")

    found = tierline("plan", *flags, "--json").document()
    told = tierline("plan", *flags)

    assert found["chosen"]["rejected"] == ""
    assert len(found["alternatives"]) > 100
    assert all(one["rejected"] for one in found["alternatives"])
    assert {"seconds", "late", "cloud_seconds", "accuracy"} <= found["alternatives"][0].keys()
    assert any("from mobile to edge is not given" in one for one in found["assumed"])
    assert told.code == 0
    assert f"best for mobile: {found['chosen']['text']}" in told.out
    assert found["advice"] in told.out
    assert "--all shows them" in told.out
    assert sum(found["chosen"]["shares"].values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ("[1]", "node: Field required"),
        ('{"node": 7}', "node:"),
    ],
)
def test_a_file_that_is_no_profile_is_refused_with_what_is_wrong(
    content: str, said: str, tierline: Tierline, tmp_path: Path
) -> None:
    (tmp_path / "bad.json").write_text(content)

    ran = tierline("plan", "--profile", "bad.json")

    assert ran.code == 2
    assert "bad.json" in ran.err
    assert said in ran.err or "valid" in ran.err
    assert "Traceback" not in ran.err


def test_flags_that_contradict_each_other_are_refused(tierline: Tierline) -> None:
    assert "give one of them" in tierline("plan", "--profile", "a", "--state", "b").err
    assert "--links goes with --profile" in tierline("plan", "--links", "a").err
    assert tierline("plan", "--state", "nowhere.json").code == 2


@pytest.mark.timeout(180)
def test_a_running_deployment_is_explained_saved_and_explained_again(
    deployment: Any, tierline: Tierline, tmp_path: Path
) -> None:
    live = tierline("plan", "--json", "--save", "state.json", *deployment.flags).document()
    saved = tierline("plan", "--json", "--state", "state.json").document()

    assert live["in_force"]["version"] >= 1
    assert live["deadline"] == live["in_force"]["deadline"]
    assert saved == live


def test_what_a_deployment_measures_of_itself_is_said() -> None:
    mix = Mix(pools=((Pool.EASY, 0.5), (Pool.HARD, 0.5)), drift=((2, 0.04),))
    state = ClusterState(nodes={"phone": NodeState(name="phone", mix=mix)})
    slow = SlowPrices(after=0.184, by_class={"4 times slower": 0.0, "32 times slower": 0.03})

    told = measured(state, "phone", slow)

    assert told[0] == "samples at phone are now 50% easy, 50% hard, exit 2 claims 4% too much"
    assert told[1].endswith("fare alike: 0.0 ms (4 times slower), 30.0 ms (32 times slower)")
    assert measured(ClusterState(), "phone", SlowPrices()) == []
