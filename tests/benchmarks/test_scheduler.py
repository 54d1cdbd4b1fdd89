import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

from tierline_scheduler import Objective, fleet

FOLDER = Path(__file__).parents[2] / "benchmarks"
OBJECTIVE = Objective()


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(FOLDER)  # as for a script started there
        yield importlib.import_module("scheduler")
    for name in ("scheduler", "_fleets", "_milp", "_policies", "_rows", "_waiting"):
        sys.modules.pop(name, None)


def test_fleets_are_made_of_measured_profiles_and_the_seed_alone(bench):
    fleets = bench._fleets
    one, other = fleets.make(200, 3, 2.0, seed=5)[0], fleets.make(200, 3, 2.0, seed=5)[0]

    assert np.array_equal(one.features, other.features)
    assert len(fleets.profile("text").block_seconds) == 6
    assert all(fleets.servable(one))


def test_no_plan_of_ours_costs_less_than_the_optimum_of_another_solver(bench):
    made, _ = bench._fleets.make(20, 2, 2.0, seed=1)

    best = bench.optimum(made, OBJECTIVE)
    found = fleet.settle(made, OBJECTIVE, exact=True)

    assert found.upper == pytest.approx(best, rel=1e-5)
    assert found.upper >= best * (1 - 1e-6)


def test_every_way_to_choose_is_judged_at_the_loads_that_it_makes(bench):
    made, _ = bench._fleets.make(600, 3, 6.0, seed=2)

    ours = bench._policies.prices(made, OBJECTIVE)[0]
    found = {name: way(made, OBJECTIVE)[-1] for name, way in bench._policies.POLICIES.items()}

    assert found["all-device"].cloud == 0
    assert found["all-cloud"].cloud == max(one.cloud for one in found.values())
    assert found["all-cloud"].depth.max() == 0
    assert all(ours.attained.mean() > one.attained.mean() for one in found.values())
    assert found["static split"].attained.mean() < 0.5  # all of it on edges that have no room for it


def test_an_ablation_really_takes_a_part_away(bench):
    tables = bench._fleets.tables
    assert all(table.edge_visit.max() == 0 for table in tables("edge"))
    assert all(leg.codec == "input" for t in tables("activations") for c in t.candidates for leg in c.legs)
    assert all(len(candidate.card.exits) == 1 for table in tables("exits") for candidate in table.candidates)
    assert {leg.codec for t in tables("codecs") for c in t.candidates for leg in c.legs} <= {"input", "raw"}


def test_a_setting_is_dominated_only_by_what_is_no_worse_in_anything(bench):
    waiting = sys.modules["_waiting"]
    one = {"mean wait s": 1.0, "cloud s/s": 1.0, "attained %": 90.0}

    assert waiting.dominated(one, [one, one | {"cloud s/s": 0.5}])
    assert not waiting.dominated(one, [one, one | {"cloud s/s": 0.5, "mean wait s": 1.1}])


def test_a_row_has_its_mean_within_its_spread(bench):
    made = bench.row("claim", [1.0, 2.0, 6.0], reach=2.0, better="lower")

    assert (made["value"], made["spread"], made["runs"]) == (3.0, [1.0, 6.0], 3)
