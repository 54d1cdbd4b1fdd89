"""The main benchmark's arithmetic, by values; what it runs is tested where it lives."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from tierline_broker import Answer, Result, Step, Tier
from tierline_replay import Outcome, Request, Sample

SOURCE = Path(__file__).parents[2] / "benchmarks" / "main.py"


@pytest.fixture(scope="module")
def main() -> ModuleType:
    spec = importlib.util.spec_from_file_location("main_benchmark", SOURCE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def outcome(seconds: float, *, index: int = 0, tiers: tuple[Tier, ...] = tuple(Tier)) -> Outcome:
    """A request that spent 10 ms at each tier and on the way there, and 5 ms on its way back."""
    steps = tuple(
        Step(node=tier, tier=tier, first=0, last=2, compute=0.008, queue=0.002, wire=0.01) for tier in tiers
    )
    answer = Answer(output=(1.0,), label="good", confidence=0.9, layer=6)
    return Outcome(
        request=Request(index=index, due=0.0, sample=Sample(data=b"x", label="good")),
        sent=0.0,
        seconds=seconds,
        result=Result(id=bytes(16), node="cloud", tier=Tier.CLOUD, answer=answer, steps=steps),
        returned=0.005,
    )


def test_the_share_that_parts_do_not_explain_is_of_each_request(main: ModuleType) -> None:
    row = main.account_row([outcome(0.065), outcome(0.066), outcome(0.068)])

    assert row["value"] == pytest.approx(0.001 / 0.066)
    assert row["spread"] == [pytest.approx(0.0), pytest.approx(0.003 / 0.068)]
    assert row["seconds"]["edge compute"] == 0.008
    assert row["seconds"]["result wire"] == 0.005
    assert row["seconds"]["total"] == 0.066


def test_requests_that_took_another_way_prove_nothing(main: ModuleType) -> None:
    with pytest.raises(AssertionError, match="hardly any"):
        main.account_row([outcome(0.1, tiers=(Tier.MOBILE,))])


def test_what_is_lost_or_doubled_is_told(main: ModuleType) -> None:
    rows = main.load_rows([outcome(0.5), outcome(1.0)], 3, 2)

    assert [(row["value"], row["reach"]) for row in rows] == [(1, 0), (2, 0), (pytest.approx(2 / 3), 0.99)]
    assert rows[0]["requests_per_second"] == 3.0


def test_savings_are_the_demos_own(main: ModuleType) -> None:
    documents = [
        {"cloud_work_saved": saved, "accuracy": 0.86, "accuracy_all_cloud": 0.87, "lost": 0, "duplicates": 0}
        for saved in (0.6, 0.7, 0.9)
    ]

    rows = main.saved_rows(documents)

    assert (rows[0]["value"], rows[0]["spread"], rows[0]["runs"]) == (0.7, [0.6, 0.9], 3)
    assert rows[1]["value"] == pytest.approx(0.01)
    assert rows[2]["value"] == 0
