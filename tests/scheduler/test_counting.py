from random import Random
from statistics import fmean, median

import pytest

from tierline_scheduler.counting import SETTLED, Count, count


def follow(values: list[float], level: Count | None = None) -> Count:
    for value in values:
        level = count(level, value)
    assert level is not None
    return level


def requests(rate: float, seconds: int, seed: int) -> list[float]:
    rng = Random(seed)
    return [float(sum(rng.random() < rate / 200 for _ in range(200))) for _ in range(seconds)]


def test_counts_may_be_zero_and_their_doubt_shrinks_with_their_size() -> None:
    few, many = follow(requests(1.5, 100, 2)), follow(requests(60.0, 100, 2))
    none = follow([0.0] * 30)

    assert none.value == 0
    assert none.doubt <= 2 * SETTLED
    assert many.doubt < few.doubt
    assert many.value == pytest.approx(60, rel=0.1)


def test_traffic_that_starts_is_seen_at_its_second_report() -> None:
    assert follow([*[0.0] * 30, 20.0, 20.0]).value == pytest.approx(20)


def test_one_burst_moves_little() -> None:
    before = follow([10.0] * 50)

    assert follow([100.0, 10.0], before).value == pytest.approx(10.0, rel=0.1)


@pytest.mark.parametrize("rate", [0.5, 1.5, 6.0])
def test_the_level_is_the_mean_where_requests_are_few_as_well(rate: float) -> None:
    assert fmean(follow(requests(rate, 200, seed)).value for seed in range(30)) == pytest.approx(
        rate, rel=0.1
    )


@pytest.mark.parametrize(("rate", "seconds"), [(1.5, 15), (3.0, 8), (6.0, 5), (20.0, 3)])
def test_a_crowd_of_twice_as_many_is_seen_within_seconds(rate: float, seconds: int) -> None:
    found = [
        follow([*requests(rate, 100, seed), *requests(2 * rate, seconds, seed + 500)]).value
        for seed in range(30)
    ]

    assert median(found) > 1.5 * rate


def test_a_crowd_that_queues_is_seen_sooner() -> None:
    def seconds(*, crowded: bool) -> float:
        found = []
        for seed in range(30):
            level, taken = follow(requests(1.5, 100, seed)), 0
            for value in requests(3.0, 60, seed + 500):
                level, taken = count(level, value, crowded=crowded), taken + (level.value < 2.25)
            found.append(taken)
        return median(found)

    assert seconds(crowded=True) <= 8
    assert seconds(crowded=True) < 0.8 * seconds(crowded=False)


@pytest.mark.parametrize("rate", [1.5, 6.0])
def test_chance_is_rarely_taken_for_a_crowd(rate: float) -> None:
    jumps = 0
    for seed in range(10):
        level = follow(requests(rate, 30, seed))
        for value in requests(rate, 270, seed + 500):
            before, level = level.value, count(level, value)
            jumps += not 0.75 < level.value / before < 1.33

    assert jumps <= 2 * 10 * 270 / 600
