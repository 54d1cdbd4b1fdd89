import importlib.util
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

SOURCE = Path(__file__).parents[2] / "benchmarks" / "codecs.py"
OPTIONS = SimpleNamespace(quick=True, rounds=2, turn=1000, samples=2)


@pytest.fixture(scope="module")
def bench():
    spec = importlib.util.spec_from_file_location("bench_codecs", SOURCE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_size_has_its_rows(bench):
    rows = list(bench.time_rows(OPTIONS))

    assert len(rows) == 2 * 4 + 3
    assert all(0 < row["spread"][0] <= row["value"] <= row["spread"][1] for row in rows)


def test_every_peer_returns_the_values_that_it_was_given(bench):
    array = np.random.default_rng(1).normal(size=(16, 384)).astype("f4")

    for name, (pack, unpack, codec) in bench.peers().items():
        error = bench.relative(array, unpack(pack(array), array))
        assert error == 0 if codec == "raw" else 0 < error < 0.05, name


def test_the_gaussian_bound_of_independent_channels_is_the_textbook_one(bench):
    states = np.random.default_rng(1).normal(size=(20_000, 4))

    assert bench.gaussian_bound(states, 0.1) == pytest.approx(np.log2(10), abs=0.02)
