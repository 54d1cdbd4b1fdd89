import importlib
import sys
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tierline_scheduler import Objective

FOLDER = Path(__file__).parents[2] / "benchmarks"
TABLES = st.tuples(st.integers(1, 5), st.integers(1, 3)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0, 10))
)


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(FOLDER)  # as for a script started there
        yield importlib.import_module("scheduler_traces")
    for name in ("scheduler_traces", "_fleets", "_plan_costs", "_riding", "_rows"):
        sys.modules.pop(name, None)


@given(cost=TABLES, switch=st.floats(0, 5))
def test_nobody_pays_less_than_the_clairvoyant_and_it_no_more_than_the_best_single_plan(bench, cost, switch):
    ways = product(range(cost.shape[1]), repeat=cost.shape[0])
    times = np.arange(cost.shape[0])
    all_paid = [cost[times, way].sum() + switch * sum(a != b for a, b in pairwise(way)) for way in ways]

    assert bench.clairvoyant(cost, switch) == pytest.approx(min(all_paid))
    assert bench.clairvoyant(cost, switch) <= bench.constant(cost) + 1e-9


def test_late_samples_that_the_margin_allows_for_cost_nothing(bench):
    grid = np.array([1e3, 1e5])
    plans = bench.Costs(grid, {"a": 0}, work=np.array([[0.0], [0.1]]), late=np.array([[1.0], [0.04]]))

    cost, late = plans.over(np.array([1e3, 1e5, 1e9]), Objective(late_cost=0.2))

    assert cost[:, 0] == pytest.approx([0.2 * 0.95, 0.1, 0.1], abs=1e-3)
    assert late[:, 0] == pytest.approx([1.0, 0.04, 0.04])


def test_a_best_plan_hangs_on_the_link_if_none_is_best_nearly_throughout(bench):
    in_time = np.zeros((100, 2))
    one = np.tile([0.0, 1.0], (100, 1))
    both = one.copy()
    both[:10] = [1.0, 0.0]

    assert not bench.hangs(one, in_time)
    assert not bench.hangs(np.zeros((100, 2)), in_time)  # as good throughout
    assert bench.hangs(both, in_time)
    assert not bench.hangs(both, np.vstack((np.ones((11, 2)), in_time[11:])))  # nothing could keep up


def test_a_mobile_node_that_does_all_by_itself_in_time_needs_no_table(bench):
    easy = bench.Job("text", 4.0, Objective(deadline=0.6, edge_weight=bench.EDGE_WEIGHT))

    assert bench.table(easy) is None


def test_rides_on_few_seconds_pay_at_least_the_least(bench, monkeypatch):
    monkeypatch.setattr(bench, "GRID", bench.GRID[::19])
    rates = np.where(np.arange(24) == 12, 2e3, 2e5)
    job = bench.Job("image", 16.0, Objective(deadline=0.8, edge_weight=bench.EDGE_WEIGHT))

    found = bench.ride(bench.Device(job, rates, 0), bench.table(job))

    assert found is not None
    assert found.least <= min(found.cost, found.hasty, found.constant) + 1e-9
