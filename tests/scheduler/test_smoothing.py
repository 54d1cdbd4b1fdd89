import math
from random import Random

import pytest

from tierline_scheduler.smoothing import Level, average, observe


def follow(values: list[float]) -> Level:
    level = None
    for value in values:
        level = observe(level, value)
    assert level is not None
    return level


def noisy(value: float, seed: int, count: int, noise: float = 0.25) -> list[float]:
    rng = Random(seed)
    return [value * rng.lognormvariate(0, noise) for _ in range(count)]


def test_the_first_observation_is_the_level() -> None:
    level = observe(None, 5.0)

    assert level.value == pytest.approx(5.0)
    assert level.sd == 0.25


def test_twenty_five_percent_of_noise_moves_a_settled_level_by_a_few_percent() -> None:
    worst = [abs(follow(noisy(1e6, seed, 200)).value / 1e6 - 1) for seed in range(40)]

    assert sorted(worst)[20] < 0.05
    assert max(worst) < 0.2


def test_the_noise_itself_is_learnt() -> None:
    assert follow(noisy(10, 1, 300, noise=0.5)).sd > 0.35
    assert follow(noisy(10, 1, 300, noise=0.1)).sd < 0.15


def test_noise_does_not_move_a_level_and_each_real_change_is_a_move() -> None:
    still = follow(noisy(1e6, 1, 300))
    there = [value for turn in range(10) for value in noisy(1e6 / 20 ** (turn % 2), turn, 20)]
    moving = follow(there)

    assert math.sqrt(5 * still.movement) < 0.1  # five reports on it is where it was
    # A factor of 20 every 20 reports is a variance of log(20)² / 20 a report.
    assert moving.movement == pytest.approx(math.log(20) ** 2 / 20, rel=0.3)


@pytest.mark.parametrize("factor", [0.1, 0.25, 4.0, 10.0])
def test_a_real_change_is_followed_after_two_observations_or_three_at_worst(factor: float) -> None:
    after = {2: 0, 3: 0}
    for seed in range(40):
        for count in after:
            level = follow(noisy(1e6, seed, 100) + noisy(1e6 * factor, seed + 1000, count))
            after[count] += 0.5 < level.value / (1e6 * factor) < 2

    assert after[2] >= 36
    assert after[3] >= 38


def test_one_outlier_moves_nothing() -> None:
    before = follow(noisy(100, 3, 100))

    after = observe(observe(before, 100_000), 100)

    assert after.value == pytest.approx(before.value, rel=0.05)


def test_a_slow_decline_is_followed_within_fifteen_observations() -> None:
    level = follow([1000 * 0.97**k for k in range(100)])

    assert level.value < 1000 * 0.97**84


def test_a_repeated_reading_makes_nothing_more_certain() -> None:
    once = follow(noisy(10, 5, 50))

    repeated = follow([*noisy(10, 5, 50), *[noisy(10, 5, 50)[-1]] * 20])

    assert repeated.sd >= once.sd


def test_a_plain_average_begins_with_the_first_value() -> None:
    assert average(None, 3.0, 0.2) == 3.0
    assert average(3.0, 8.0, 0.2) == pytest.approx(4.0)
