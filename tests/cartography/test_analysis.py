"""Pools, routers, costs and verdicts, against values worked out by hand or by other code."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss

from tierline_cartography import (
    ConfidenceRouter,
    PoolError,
    Prices,
    Said,
    Thresholds,
    calibration_error,
    cautious,
    conformal_risk_control,
    data_map,
    find_pools,
    fit_centroids,
    fit_gain,
    fit_temperature,
    holm,
    judge,
    learn_then_test,
    saved,
)
from tierline_cartography.analysis.guarantee import p_value
from tierline_cartography.analysis.judge import resampled
from tierline_cartography.analysis.pools import EASY, HARD, MEDIUM
from tierline_cartography.analysis.said import softmax


def test_a_data_map_is_mean_deviation_and_share_over_epochs():
    true = np.array([[0.2, 0.9], [0.4, 0.9], [0.6, 0.9], [0.8, 0.9], [1.0, 0.9]])

    found = data_map(true, true > 0.5)

    np.testing.assert_allclose(found.confidence, [0.6, 0.9])
    np.testing.assert_allclose(found.variability, [np.sqrt(0.08), 0], atol=1e-12)  # of the population
    np.testing.assert_allclose(found.correctness, [0.6, 1])
    with pytest.raises(PoolError, match="needs 5 epochs, these are 4"):
        data_map(true, true > 0.5, epochs=4)


def test_the_two_readings_of_hard_differ_in_what_varies():
    found = data_map(np.array([[0.9, 0.1, 0.0, 0.6]] * 4 + [[0.9, 0.1, 1.0, 0.6]]), np.ones((5, 4)))
    ends = {"easy_from": 0.8, "hard_below": 0.5, "variability": 0.2}

    assert Thresholds(reading="ambiguous", **ends).pools(found).tolist() == [EASY, MEDIUM, HARD, MEDIUM]
    assert Thresholds(reading="hard-to-learn", **ends).pools(found).tolist() == [EASY, HARD, MEDIUM, MEDIUM]


def scattered(count: int = 600) -> tuple[np.ndarray, np.ndarray]:
    source = np.random.default_rng(0)
    ease = source.random(count)
    true = np.clip(ease + 0.3 * (1 - ease) * source.normal(size=(5, count)), 0, 1)
    return true, np.clip(true[-1] + np.array([[0.0], [0.1], [0.2]]), 0, 1)


def test_the_pools_found_earn_more_than_any_that_were_refused():
    true, certainty = scattered()
    found = data_map(true, true > 0.5)
    right = (certainty > 0.5).astype(float)

    best = find_pools(found, certainty, right, (2, 4, 6), prices=Prices(offload=0.1), budget=100)

    paid = Prices(offload=0.1).of((2, 4, 6), "direct")
    assert min(best.shares) >= 0.02
    assert best.reward == pytest.approx((certainty[best.pools, np.arange(600)] - paid[best.pools]).mean())
    assert best.told()["prices"] == {"layer": 0.1, "offload": 0.1, "free_cloud": False}
    tighter = find_pools(found, certainty, right, (2, 4, 6), prices=Prices(offload=0.1), budget=best.drop / 2)
    assert tighter.drop <= best.drop / 2
    assert tighter.reward <= best.reward


def test_pools_that_are_degenerate_or_lose_too_much_are_refused():
    true, certainty = scattered()
    same = data_map(np.full_like(true, 0.9), true > 0.5)

    for found, budget in ((same, 100.0), (data_map(true, true > 0.5), -50.0)):
        with pytest.raises(PoolError, match="no thresholds give three pools"):
            find_pools(found, certainty, certainty > 0.5, (2, 4, 6), prices=Prices(), budget=budget)


def test_the_nearest_centroid_decides_and_a_tie_has_no_margin():
    features = np.array([[0.0, 0], [0, 0.2], [4, 0], [4, 0.2], [8, 0], [8, 0.2]])
    router = fit_centroids(features, np.array([EASY, EASY, MEDIUM, MEDIUM, HARD, HARD]))

    pools, margins = router.route(np.array([[0.1, 0.1], [7.0, 0.1], [2.0, 0.1]]))

    assert pools[:2].tolist() == [EASY, HARD]
    assert margins[2] == pytest.approx(0, abs=1e-9)
    assert margins[0] > margins[1] > 0.3
    assert cautious((pools, margins), 0.1).tolist()[:2] == [EASY, HARD]
    assert cautious((pools, margins), 0.1)[2] == pools[2] + 1
    with pytest.raises(PoolError, match="a pool is empty"):
        fit_centroids(features, np.zeros(6, dtype=int))


def test_bands_of_confidence_are_pools():
    pools, margins = ConfidenceRouter(0.9, 0.6).route(np.array([[0.95], [0.7], [0.5]]))

    assert pools.tolist() == [EASY, MEDIUM, HARD]
    np.testing.assert_allclose(margins, [0.05, 0.1, 0.1])


def test_what_depth_does_not_mend_is_not_sent_up_however_unsure_it_is():
    source = np.random.default_rng(0)
    kind = source.integers(0, 3, 3000)  # easy; mended by the cloud; wrong everywhere
    features = np.eye(3)[kind] + 0.05 * source.normal(size=(3000, 3))
    right = np.array([[1, 0, 0], [1, 0, 0], [1, 1, 0]], dtype=float)[:, kind]

    router = fit_gain(features, right, prices=(0.05, 0.1))

    assert router.route(np.eye(3))[0].tolist() == [EASY, HARD, EASY]
    dear = fit_gain(features, right, prices=(2.0, 2.0))
    assert dear.route(np.eye(3))[0].tolist() == [EASY] * 3


def test_prices_are_those_of_the_literature():
    exits, prices = (2, 4, 6), Prices(offload=0.3)

    np.testing.assert_allclose(prices.of(exits, "resume"), [0.2, 0.7, 0.9])
    np.testing.assert_allclose(prices.of(exits, "direct"), [0.2, 0.7, 0.9])
    np.testing.assert_allclose(prices.of(exits, "restart"), [0.2, 0.9, 1.5])  # 2, then 2 + 4, then 2 + 4 + 6
    assert prices.all_cloud(exits) == pytest.approx(0.9)
    free = Prices(offload=0.3, free_cloud=True)
    np.testing.assert_allclose(free.of(exits, "resume"), [0.2, 0.7, 0.7])
    np.testing.assert_allclose(free.of(exits, "direct"), [0.2, 0.7, 0.3])
    np.testing.assert_allclose(free.of(exits, "restart"), [0.2, 0.9, 0.9])
    assert free.all_cloud(exits) == pytest.approx(0.3)
    np.testing.assert_allclose(saved(np.array([[0, 1, 2]]), exits, Prices()), [[2 / 3, 1 / 3, 0]])


def test_the_temperature_undoes_what_scaled_the_logits():
    source = np.random.default_rng(0)
    logits = source.normal(size=(4000, 3)) * 2
    labels = np.array([source.choice(3, p=one) for one in softmax(logits)])

    found = fit_temperature(3 * logits, labels)

    assert found == pytest.approx(3, rel=0.1)
    losses = [log_loss(labels, softmax(3 * logits / one)) for one in (found, 0.9 * found, 1.1 * found)]
    assert losses[0] == min(losses)
    calibrated, raw = (Said((6,), labels, softmax(3 * logits / one)[None, None]) for one in (found, 1.0))
    assert calibration_error(calibrated)[0, 0] < 0.03 < calibration_error(raw)[0, 0]


def test_a_drop_is_shown_only_if_its_bound_keeps_the_budget():
    full, ours = np.ones((5, 2000)), np.ones((5, 2000))
    ours[:, :6] = 0

    verdict = judge(full, ours)

    assert verdict.point == pytest.approx(0.3)
    assert 0.4 < verdict.upper < 0.6
    assert judge(full, ours, budget=0.29).word == "point only"
    assert judge(full, ours, budget=0.6).shown


def test_the_bootstrap_spreads_as_items_and_seeds_do():
    source = np.random.default_rng(0)
    items, seeds = source.normal(size=400), source.normal(size=5)

    by_item = resampled(np.tile(items, (5, 1)), draws=4000)
    by_seed = resampled(np.tile(seeds[:, None], (1, 400)), draws=4000)

    assert by_item.std() == pytest.approx(items.std() / np.sqrt(400), rel=0.1)
    assert by_seed.std() == pytest.approx(seeds.std() / np.sqrt(5), rel=0.1)
    assert by_item.mean() == pytest.approx(items.mean(), abs=0.01)


def test_holm_multiplies_the_smallest_most_and_never_lowers():
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


@given(st.integers(0, 2**32))
def test_the_bet_against_a_drop_is_rarely_won_where_there_is_one(seed):
    source = np.random.default_rng(seed)
    loss = source.choice([-1.0, 0.0, 1.0], size=(20, 400), p=[0.02, 0.95, 0.03])  # the mean is 0.01

    won = sum(p_value(one, 0.01) <= 0.05 for one in loss)

    assert won <= 6  # of 20; as many would be won by chance once in some ten thousand times


def test_more_samples_and_a_larger_budget_win_the_bet():
    loss = np.tile([0.0] * 49 + [-1.0], 60)

    assert p_value(loss, 0.01) < 0.05
    assert p_value(loss, 0.05) < p_value(loss, 0.01)
    assert p_value(loss[:100], 0.01) > 0.05


def test_settings_are_certified_in_their_order_until_one_fails():
    source = np.random.default_rng(0)
    safe, worse, bad = (source.choice([0.0, 1.0], size=3000, p=[1 - p, p]) for p in (0.0, 0.005, 0.2))

    assert learn_then_test([safe, worse, bad, safe], 0.02) == 1
    assert learn_then_test([bad, safe], 0.02) is None
    assert conformal_risk_control([safe, worse, bad, safe], 0.02) == 1
    assert conformal_risk_control([bad], 0.02) is None
