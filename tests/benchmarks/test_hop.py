import asyncio
import importlib
import sys
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def hop():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(FOLDER)  # as for a script started there
        yield importlib.import_module("hop")
    for name in ("hop", "_hop_ways"):
        sys.modules.pop(name, None)


def test_a_hop_is_measured_in_every_way_and_its_echoes_end(hop):
    medians = asyncio.run(hop.measure(1))

    assert {way: len(values) for way, values in medians.items()} == {"tierline": 1, "bare": 1, "default": 1}
    assert all(0 < seconds < 1 for values in medians.values() for seconds in values)


def test_a_ratio_is_taken_within_each_round(hop):
    rows = hop.rows({"tierline": [2.0, 3.0, 10.0], "bare": [2.0, 2.0, 5.0], "default": [8.0, 2.0, 5.0]})

    assert [(row["value"], row["spread"], row["runs"]) for row in rows] == [(1.5, [1, 2], 3), (1, [1, 4], 3)]
    assert rows[0]["reach"] == 1.3
    assert rows[0]["seconds"] == {"tierline": 3, "bare": 2}


def test_the_activation_is_the_25_kb_that_the_figure_names(hop):
    assert 24_500 < len(sys.modules["_hop_ways"].activation()) < 25_500
