import math
import random

import pytest

from tierline_broker.links import SIZEABLE_BYTES, LinkHistory, estimate, observe


def trace(history, *, rtt, rate, sizes, count, seed=1, noise=0.0, hiccups=0.0):
    """Send `count` messages over a link and return what is known then."""
    chance = random.Random(seed)
    for number in range(count):
        size = sizes[number % len(sizes)]
        seconds = (rtt + size / rate) * math.exp(chance.gauss(0, noise))
        if chance.random() < hiccups:
            seconds *= 8
        history = observe(history, size, seconds, now=float(number))
    return history


def test_nothing_is_known_before_the_first_message():
    assert estimate(LinkHistory()) is None


def test_small_messages_alone_tell_the_round_trip_and_leave_the_rate_assumed():
    known = estimate(trace(LinkHistory(), rtt=0.02, rate=1e9, sizes=[200], count=3), assumed_rate=5e6)

    assert known.rtt == pytest.approx(0.02, rel=0.01)
    assert known.bytes_per_second == 5e6


def test_small_and_large_messages_tell_both_terms_exactly():
    known = estimate(trace(LinkHistory(), rtt=0.02, rate=1e6, sizes=[300, 25_000], count=8))

    assert known.rtt == pytest.approx(0.02, rel=0.02)
    assert known.bytes_per_second == pytest.approx(1e6, rel=0.02)


def test_large_messages_of_different_sizes_tell_both_terms():
    known = estimate(trace(LinkHistory(), rtt=0.05, rate=1e6, sizes=[8_000, 25_000, 100_000], count=12))

    assert known.rtt == pytest.approx(0.05, rel=0.02)
    assert known.bytes_per_second == pytest.approx(1e6, rel=0.02)


def test_messages_of_one_size_predict_that_size():
    known = estimate(trace(LinkHistory(), rtt=0.02, rate=1e6, sizes=[25_000], count=5))

    assert known.rtt + 25_000 / known.bytes_per_second == pytest.approx(0.045, rel=0.01)


@pytest.mark.parametrize("factor", [10, 0.1])
def test_a_rate_that_changes_tenfold_is_followed_within_ten_messages(factor):
    before = trace(LinkHistory(), rtt=0.02, rate=2.5e6, sizes=[300, 25_000], count=40, noise=0.2)

    after = trace(before, rtt=0.02, rate=2.5e6 / factor, sizes=[300, 25_000], count=10, seed=2, noise=0.2)

    assert estimate(after).bytes_per_second == pytest.approx(2.5e6 / factor, rel=0.5)


def test_a_round_trip_that_changes_tenfold_is_followed_within_ten_messages():
    before = trace(LinkHistory(), rtt=0.02, rate=2.5e6, sizes=[300, 25_000], count=40, noise=0.2)

    after = trace(before, rtt=0.2, rate=2.5e6, sizes=[300, 25_000], count=10, seed=2, noise=0.2)

    assert estimate(after).rtt == pytest.approx(0.2, rel=0.4)


def test_noise_and_hiccups_rarely_move_a_prediction_by_a_factor_of_two():
    ratios = []
    for seed in range(20):
        history = trace(LinkHistory(), rtt=0.02, rate=1e6, sizes=[300, 25_000, 60_000], count=30, seed=seed)
        for step in range(100):
            history = trace(
                history,
                rtt=0.02,
                rate=1e6,
                sizes=[300, 25_000, 60_000],
                count=3,
                seed=seed * 1000 + step,
                noise=0.3,
                hiccups=0.05,
            )
            known = estimate(history)
            ratios += [
                (known.rtt + size / known.bytes_per_second) / (0.02 + size / 1e6)
                for size in (300, 25_000, 60_000)
            ]

    assert sum(not 0.5 < ratio < 2 for ratio in ratios) < 0.005 * len(ratios)
    assert 0.9 < sorted(ratios)[len(ratios) // 2] < 1.15


def test_a_rate_hidden_by_noise_is_still_positive_and_finite():
    history = observe(observe(LinkHistory(), 100, 0.5, 0.0), 10_000, 0.1, 1.0)

    known = estimate(history)

    assert 0 < known.bytes_per_second < 1e9
    assert known.rtt > 0


def test_a_message_that_took_no_time_is_no_division_by_zero():
    known = estimate(observe(LinkHistory(), 10_000, 0.0, 0.0))

    assert known.rtt > 0
    assert math.isfinite(known.bytes_per_second)


def test_the_age_counts_from_the_last_sizeable_message():
    history = observe(LinkHistory(), 10, 0.1, now=1.0)
    assert history.observed_at == 1.0

    history = observe(history, SIZEABLE_BYTES, 0.1, now=2.0)
    history = observe(history, SIZEABLE_BYTES - 1, 0.1, now=3.0)

    assert (history.observed_at, history.count) == (2.0, 3)


def test_old_observations_are_forgotten():
    history = trace(LinkHistory(), rtt=0.1, rate=1e6, sizes=[10, 50_000], count=500)

    assert len(history.small) == len(history.sizeable) == 16
