import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from tierline_codecs import native

FOLDER = Path(__file__).parents[2] / "benchmarks"


ROWS = 4 * (2 + 2) + 3 + 1  # a size's coding step and whole call, both ways; shares of the wire; step-zstd


@pytest.fixture(scope="module")
def bench():
    """The module of a name, as a script started among the benchmarks would import it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(FOLDER)
        yield importlib.import_module
    for name in [name for name in sys.modules if name.startswith("_codec")]:
        del sys.modules[name]


@pytest.fixture
def effort(bench):
    timing = bench("_codec_timing")
    return timing.Effort(quick=True, rounds=2, turn_elements=1000)


@pytest.fixture
def quick_step(bench, monkeypatch):
    """Random hidden states, for which no model need be fetched."""
    speed = bench("_codec_speed")
    states = np.random.default_rng(1).normal(size=(8, 384)).astype("f4")
    monkeypatch.setattr(speed, "hidden_states", lambda _: {1: states, 3: states})
    return speed


def test_every_size_has_its_rows(quick_step, effort):
    rows = list(quick_step.numpy_rows(effort))

    assert len(rows) == ROWS
    assert all(0 < row["spread"][0] <= row["value"] <= row["spread"][1] for row in rows)
    assert native.kernels() is None


def test_without_numba_nothing_is_said_of_the_extra(quick_step, effort, monkeypatch):
    monkeypatch.setattr(quick_step, "warm_up", lambda: None)

    assert list(quick_step.native_rows(effort)) == []


def test_with_the_extra_every_row_comes_again(quick_step, effort, monkeypatch):
    monkeypatch.setattr(quick_step, "warm_up", lambda: 0.1)

    rows = list(quick_step.native_rows(effort))

    assert len(rows) == ROWS
    assert all(row["claim"].startswith("with the extra, ") for row in rows)


def test_every_peer_returns_the_values_that_it_was_given(bench):
    array = np.random.default_rng(1).normal(size=(16, 384)).astype("f4")
    relative = bench("_codec_arrays").relative

    for peer in bench("_codec_peers").peers():
        error = relative(array, peer.unpack(peer.pack(array), array))
        assert error == 0 if peer.ours == "raw" else 0 < error < 0.05, peer.name


def test_a_peer_is_compared_with_and_without_what_it_leaves_out(bench, effort):
    peers = bench("_codec_peers")
    array = np.random.default_rng(1).normal(size=(64, 384)).astype("f4")

    found = peers.compare(peers.ALWAYS[0], array, effort)

    assert found["times_without_checksum"] > found["times"] > 0
    assert (found["their_error"], found["our_error"]) == (0, 0)


def test_the_gaussian_bound_of_independent_channels_is_the_textbook_one(bench):
    states = np.random.default_rng(1).normal(size=(20_000, 4))

    assert bench("_codec_rate").gaussian_bound(states, 0.1) == pytest.approx(np.log2(10), abs=0.02)
