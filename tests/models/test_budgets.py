"""Error budgets, measured on a model whose answers change at errors that can be worked out by hand."""

import dataclasses
import json
from functools import partial

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tierline_models import (
    Array,
    BundleError,
    CodecReport,
    Codings,
    InputError,
    Limit,
    PointBudget,
    Sample,
    SegmentedModel,
    activations,
    codings_from_files,
    codings_to_files,
    load_bundle,
    measure_budgets,
)
from tierline_models.budgets import at_most
from tierline_models.card import ModelCardData, PointData, RouteData
from tierline_models.codings import BUDGETS, CALIBRATIONS, with_codings
from tierline_models.segmented import Exit
from tierline_models.served import alone

COUNT = 1000
NORM = 1000.0  # of an activation: all in a third value, which no exit looks at
LIMIT = Limit(changed=0.01, lost=None)


class First(nn.Module):
    """Logits are the first two values: the label is the greater."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2]


def prepare(data: bytes) -> Tensor:
    """Sample k's answer stands until its first value falls by k + 1/2 thousandths of the norm."""
    return torch.tensor([[int(data) + 0.5, 0.0, NORM]])


@pytest.fixture
def model() -> SegmentedModel:
    return SegmentedModel(
        blocks=[nn.Identity(), nn.Identity(), nn.Identity()],
        exits={2: Exit(head=First()), 3: Exit(head=First())},
        labels=("left", "right"),
        travelling=[alone((1, 3))] * 3,
        preprocess=prepare,
    )


SAMPLES = [Sample(data=str(k).encode(), label="left") for k in range(COUNT)]


def falls(thousandths: float, size: int, array: Array) -> tuple[Array, int]:
    changed = array.copy()
    changed[0, 0] -= thousandths
    return changed, size


def coders(*thousandths: float) -> dict[str, object]:
    return {f"c{one:g}": partial(falls, one, 100 + int(one)) for one in thousandths}


def test_the_budget_is_the_largest_error_whose_changes_are_within_the_bound(model: SegmentedModel) -> None:
    first, second = measure_budgets(model, SAMPLES, {1: coders(0, 1, 4, 5, 30), 2: coders(5)}, LIMIT)

    # Of 1000 answers 4 that change show, with 95 % confidence, that under 1 % do; 5 do not.
    assert first.codecs["c4"].changed == pytest.approx(0.004)
    assert first.error_budget == pytest.approx(0.004, rel=1e-3)
    assert first.codecs["c4"].frame_bytes == 104
    assert first.codecs["c4"].error <= first.error_budget < first.codecs["c5"].error
    assert first.codecs["c0"].cosine == 1.0
    assert second.error_budget == 0.0


def test_no_codec_within_its_budget_exceeds_it_on_any_calibration_sample(model: SegmentedModel) -> None:
    (budget,) = measure_budgets(model, SAMPLES, {1: coders(1, 2, 3, 9)}, LIMIT)

    for name, coder in coders(1, 2, 3, 9).items():
        allowed = budget.codecs[name].error <= budget.error_budget
        assert allowed == (name != "c9")
        for sample in SAMPLES[::50]:
            array = model.run(prepare(sample.data), 0, 1).numpy()
            error = np.linalg.norm(coder(array)[0] - array) / np.linalg.norm(array)  # type: ignore[operator]
            assert not allowed or error <= budget.error_budget + 1e-6


def test_a_codec_that_has_failed_is_not_tried_on_further_samples(model: SegmentedModel) -> None:
    (budget,) = measure_budgets(model, SAMPLES, {1: coders(30)}, LIMIT)

    assert budget.codecs["c30"].samples == 5
    assert budget.error_budget == 0.0


def test_what_errs_more_than_a_codec_that_has_failed_is_not_tried_on_either(model: SegmentedModel) -> None:
    coding = coders(2, 30) | {"harmless": partial(falls, -60, 100)}  # which errs more, and changes nothing

    (budget,) = measure_budgets(model, SAMPLES, {1: coding}, LIMIT)

    assert {name: one.samples for name, one in budget.codecs.items()} == {
        "c2": COUNT,
        "c30": 5,
        "harmless": 5,
    }
    assert budget.error_budget == budget.codecs["c2"].error


def test_accuracy_that_is_lost_counts_where_there_are_true_labels(model: SegmentedModel) -> None:
    strict = dataclasses.replace(LIMIT, lost=0.002)
    unlucky = [dataclasses.replace(one, label="right") for one in SAMPLES]

    (lost,) = measure_budgets(model, SAMPLES, {1: coders(2, 3)}, strict)
    (won,) = measure_budgets(model, unlucky, {1: coders(2, 3)}, strict)

    assert lost.error_budget == pytest.approx(0.002, rel=1e-3)
    assert won.error_budget == pytest.approx(0.003, rel=1e-3)
    assert won.codecs["c3"].lost == pytest.approx(-0.003)


def test_too_few_samples_are_refused_with_the_number_that_it_takes(model: SegmentedModel) -> None:
    with pytest.raises(InputError, match="give at least 299"):
        measure_budgets(model, SAMPLES[:298], {1: coders(1)}, LIMIT)
    with pytest.raises(InputError, match="makes no sense"):
        Limit(changed=0.0)


@pytest.mark.parametrize(("k", "n", "p"), [(0, 299, 0.01), (4, 979, 0.01), (3, 10, 0.5), (10, 10, 0.3)])
def test_the_binomial_is_that_of_the_textbook(k: int, n: int, p: float) -> None:
    chances = torch.distributions.Binomial(n, torch.tensor(p, dtype=torch.double))
    known = float(chances.log_prob(torch.arange(k + 1, dtype=torch.double)).exp().sum())

    assert at_most(k, n, p) == pytest.approx(known, rel=1e-9)


def test_activations_are_what_leaves_each_block_but_the_last(model: SegmentedModel) -> None:
    found = activations(model, SAMPLES[:3])

    assert sorted(found) == [1, 2]
    assert [array[0, 0] for array in found[1]] == [0.5, 1.5, 2.5]


REPORT = CodecReport(error=0.01, frame_bytes=120, changed=0.0, lost=0.0, cosine=1.0, samples=300)
CODINGS = Codings(
    budgets=(PointBudget(layer=2, error_budget=0.02, codecs={"int8": REPORT}),),
    calibrations={
        2: {"mean": np.ones(3, "f4"), "scale": np.ones(3, "f4"), "outliers": np.zeros(1, "i8")},
    },
)
FILES = codings_to_files(CODINGS, dataclasses.asdict(LIMIT), {"command": "x"})


def test_what_is_written_is_read_back() -> None:
    again = codings_from_files(FILES[BUDGETS], FILES[CALIBRATIONS])

    assert again.budgets == CODINGS.budgets
    assert {part: array.tolist() for part, array in again.calibrations[2].items()} == {
        "mean": [1, 1, 1],
        "scale": [1, 1, 1],
        "outliers": [0],
    }


def bent(**changes: object) -> bytes:
    return json.dumps(json.loads(FILES[BUDGETS]) | changes).encode()


@pytest.mark.parametrize(
    ("budgets", "calibrations"),
    [
        (b"{", FILES[CALIBRATIONS]),
        (b"[]", FILES[CALIBRATIONS]),
        (bent(format=2), FILES[CALIBRATIONS]),
        (bent(points=[{"layer": 1}]), FILES[CALIBRATIONS]),
        (bent(points=[{"layer": 1, "error_budget": -1, "codecs": {}}]), FILES[CALIBRATIONS]),
        (FILES[BUDGETS], b"\xff" * 40),
        (FILES[BUDGETS], FILES[CALIBRATIONS][:-4]),
        (FILES[BUDGETS], FILES[CALIBRATIONS].replace(b"2.mean", b"2.mind")),
    ],
)
def test_damaged_files_are_refused_in_one_sentence(budgets: bytes, calibrations: bytes) -> None:
    with pytest.raises(BundleError, match="make it again"):
        codings_from_files(budgets, calibrations)


def test_a_card_with_codings_states_what_was_measured() -> None:
    card = ModelCardData(
        digest="d",
        name="n",
        blocks=3,
        input_bytes=9,
        points=tuple(PointData(layer=layer, frame_bytes={"raw": 1}) for layer in (1, 2)),
        exits=(3,),
        accuracy=1.0,
        routes=(RouteData(exits=(3,), thresholds=(), shares=(1.0,), accuracy=1.0),),
    )

    first, second = with_codings(card, CODINGS).points

    assert first == card.points[0]
    assert (second.frame_bytes, second.errors, second.error_budget) == ({"int8": 120}, {"int8": 0.01}, 0.02)
    assert len(second.calibration) == 16


WORSE: dict[str, set[int]] = {"text": set(), "image": {10, 12}}
"""Split points at which calibrated channels err more on the worst sample (docs/log.md)."""


@pytest.mark.parametrize("name", ["text", "image"])
def test_the_bundles_that_ship_say_what_coding_does_to_them(name: str) -> None:
    bundle = load_bundle(name)

    budgets = {budget.layer: budget for budget in bundle.codings.budgets}
    assert sorted(budgets) == list(range(1, bundle.card.blocks)) == sorted(bundle.codings.calibrations)
    for point in bundle.card.points:
        if point.layer < bundle.card.blocks:
            assert point.error_budget == budgets[point.layer].error_budget > 0
            assert point.layer in WORSE[name] or point.errors["int8-calibrated"] <= point.errors["int8"]
            assert point.frame_bytes["step-zstd"] < point.frame_bytes["int8"] < point.frame_bytes["raw"]
