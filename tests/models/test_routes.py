import pytest
import torch

from tierline_models.card import RouteData, frame_bytes
from tierline_models.routes import route_table, undominated

CONFIDENCE = {
    2: torch.tensor([0.99, 0.8, 0.6, 0.5], dtype=torch.double),
    4: torch.tensor([0.5, 0.9, 0.7, 0.5], dtype=torch.double),
    6: torch.ones(4, dtype=torch.double),
}
CORRECT = {
    2: torch.tensor([True, False, False, False]),
    4: torch.tensor([True, True, False, False]),
    6: torch.tensor([True, True, True, True]),
}


def route(shares: tuple[float, ...], accuracy: float) -> RouteData:
    return RouteData(exits=(2, 6), thresholds=(0.5,), shares=shares, accuracy=accuracy)


def test_samples_leave_at_the_first_exit_that_is_sure_enough():
    rows = {(row.exits, row.thresholds): row for row in route_table(CONFIDENCE, CORRECT)}

    # One leaves at exit 2 (right), one at exit 4 (right), the others at exit 6 (right).
    assert rows[(2, 4, 6), (0.99, 0.9)].shares == (0.25, 0.25, 0.5)
    assert rows[(2, 4, 6), (0.99, 0.9)].accuracy == 1.0
    # Two leave at exit 2 (one right), the others at exit 6 (right).
    assert rows[(2, 6), (0.8,)].shares == (0.5, 0.5)
    assert rows[(2, 6), (0.8,)].accuracy == 0.75


def test_thresholds_never_rise_along_a_chain():
    for row in route_table(CONFIDENCE, CORRECT):
        assert list(row.thresholds) == sorted(row.thresholds, reverse=True)


def test_a_chain_of_one_exit_answers_everything_there():
    rows = {row.exits: row for row in route_table(CONFIDENCE, CORRECT) if len(row.exits) == 1}

    assert {exits: (row.shares, row.accuracy) for exits, row in rows.items()} == {
        (2,): ((1.0,), 0.25),
        (4,): ((1.0,), 0.5),
        (6,): ((1.0,), 1.0),
    }


def test_every_ascending_chain_is_in_the_table():
    chains = {row.exits for row in route_table(CONFIDENCE, CORRECT)}

    assert chains == {(2,), (4,), (6,), (2, 4), (2, 6), (4, 6), (2, 4, 6)}


def test_a_route_that_another_beats_is_left_out():
    late_and_worse, best, early_but_worse = (
        route((0.2, 0.8), 0.8),
        route((0.4, 0.6), 0.9),
        route((0.6, 0.4), 0.7),
    )

    assert undominated([late_and_worse, best, early_but_worse]) == [best, early_but_worse]


def test_of_equal_routes_one_is_kept():
    assert len(undominated([route((0.2, 0.8), 0.8)] * 2)) == 1


def test_frame_sizes_follow_from_the_shape():
    sizes = frame_bytes((1, 27, 384))

    assert sizes["raw"] == pytest.approx(1 * 27 * 384 * 4, rel=0.01)
    assert sizes["fp16"] == pytest.approx(1 * 27 * 384 * 2, rel=0.01)
    assert sizes["int8"] == 64 + 27 * 384 + 27 * 4
    assert sizes["int8-lz4"] == sizes["int8"]
