"""A bundle's cartography, fitted on made samples of which the truth is known."""

import numpy as np
import pytest

from tierline_cartography import PoolError, chart
from tierline_cartography.analysis.said import UNLABELLED
from tierline_models import Cartography, Spoken, cartography_from_json, cartography_to_json, judge

EXITS = (2, 4, 6)
NOISE = np.sqrt([2.0**2 - 1.2**2, 1.2**2 - 1, 1.0])[:, None]  # that each exit adds to the next one's


def made(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits (X, N, 2) and labels (N,): a later exit knows all that an earlier one does."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, samples)
    evidence = (2 * labels - 1) * rng.gamma(1.5, 1.5, samples)
    seen = evidence + (NOISE * rng.normal(size=(3, samples)))[::-1].cumsum(0)[::-1]
    return np.stack([-seen, seen], -1), labels


@pytest.fixture(scope="module")
def found() -> Cartography:
    return chart(*made(3000, 1), EXITS, made={"command": "test"})


def test_it_is_what_a_bundle_can_be_given(found):
    assert cartography_from_json(cartography_to_json(found), EXITS).settings == found.settings


def test_pools_are_ordered_and_whole(found):
    assert sum(found.pools.values()) == pytest.approx(1)
    assert all(one.medium <= one.easy for one in found.exits)
    last = next(one for one in found.settings if one.exits == (6,))
    easy, medium, hard = (last.pools[pool].accuracy for pool in ("easy", "medium", "hard"))
    assert easy > medium > hard


def test_expected_gain_is_the_gain(found):
    logits, labels = made(4000, 2)
    said = [judge(found, Spoken(layer=2, logits=tuple(one)), None, 6) for one in logits[0]]
    gain = np.array([one.gain for one in said])
    gained = (logits[2].argmax(-1) == labels) * 1.0 - (logits[0].argmax(-1) == labels)

    for part in np.array_split(np.argsort(gain), 4):
        assert gained[part].mean() == pytest.approx(gain[part].mean(), abs=0.04)


def test_without_labels_the_last_exit_s_word_says_the_same_where_it_is_calibrated(found):
    logits, labels = made(3000, 4)
    by_labels = chart(logits, labels, EXITS, made={})
    scale = [one.temperature for one in found.exits]
    nobody = np.full_like(labels, UNLABELLED)
    without = chart(logits, nobody, EXITS, made={}, temperatures=scale)

    assert without.accuracy == pytest.approx(by_labels.accuracy, abs=0.02)
    for one, other in zip(without.exits, by_labels.exits, strict=True):
        assert one.accuracy == pytest.approx(other.accuracy, abs=0.02)
    cheap, dear = (
        max(chain.shares[0] for chain in which.settings if chain.accuracy > which.accuracy - 0.01)
        for which in (without, by_labels)
    )
    assert cheap == pytest.approx(dear, abs=0.1)


@pytest.mark.no_cover
def test_settings_do_on_fresh_samples_what_they_say(found):
    logits, labels = made(3000, 3)
    full = (logits[2].argmax(-1) == labels).mean()
    for setting in found.settings:
        if len(setting.exits) < 2:
            continue
        shares, accuracy = followed(found, setting, logits, labels)
        assert shares == pytest.approx(np.array(setting.shares), abs=0.04)
        assert full - accuracy == pytest.approx(found.accuracy - setting.accuracy, abs=0.02)


def followed(found, setting, logits, labels):
    """Shares by exit, and accuracy, of samples that nodes route by a setting."""
    left, right = np.zeros(len(setting.exits)), 0
    for sample in range(len(labels)):
        before = None
        for place, layer in enumerate(setting.exits):
            said = Spoken(layer=layer, logits=tuple(logits[EXITS.index(layer), sample]))
            gain = judge(found, said, before, setting.exits[-1]).gain
            if layer == setting.exits[-1] or gain <= setting.gains[place] - found.caution:
                break
            before = said
        left[place] += 1
        right += logits[EXITS.index(layer), sample].argmax() == labels[sample]
    return left / len(labels), right / len(labels)


def test_pools_and_the_whole_agree(found):
    for setting in found.settings:
        shares = sum(found.pools[pool] * np.array(setting.pools[pool].shares) for pool in found.pools)
        assert shares == pytest.approx(np.array(setting.shares))
        accuracy = sum(found.pools[pool] * setting.pools[pool].accuracy for pool in found.pools)
        assert accuracy == pytest.approx(setting.accuracy, abs=1e-3)  # but for clipping


def test_too_little_is_refused():
    with pytest.raises(PoolError, match="too few"):
        chart(*made(50, 1), EXITS, made={})
    with pytest.raises(PoolError, match="too many"):
        chart(np.zeros((9, 200, 2)), np.arange(200) % 2, range(1, 10), made={})
