import re
from pathlib import Path

import pytest

from tierline_models import Bundle, BundleError, Sample
from tierline_models.measure import report_exits, run_exits
from tierline_models.report_exits import main

DOCUMENT = Path(__file__).parents[2] / "docs" / "models.md"


def stated_accuracies() -> dict[int, float]:
    """The test accuracies that the documentation states, by exit."""
    rows = re.findall(
        r"^\| after block (\d) \| ([\d.]+) % ", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE
    )
    return {int(layer): float(percent) / 100 for layer, percent in rows}


def test_the_stated_accuracies_hold_on_a_part_of_the_test_split(text_bundle: Bundle):
    stated = stated_accuracies()

    rows = report_exits(text_bundle.model, text_bundle.samples("test", seed=0)[:300])

    assert set(stated) == set(text_bundle.card.exits)
    for row in rows:
        assert row.samples == 300
        assert row.accuracy == pytest.approx(stated[row.layer], abs=0.03)
        assert row.calibration_error < 0.08


def test_the_card_accuracy_is_what_the_last_exit_reaches_on_validation_data(text_bundle: Bundle):
    samples = text_bundle.samples("validation", seed=0)[:150]

    correct = run_exits(text_bundle.model, samples).correct(6).double().mean()

    assert float(correct) == pytest.approx(text_bundle.card.accuracy, abs=0.05)


def test_a_sample_with_a_foreign_label_is_refused(text_bundle: Bundle):
    with pytest.raises(BundleError, match="'purple'; this model knows negative, positive"):
        run_exits(text_bundle.model, [Sample(data=b"fine", label="purple")])


def test_the_report_is_one_row_per_exit(capsys, monkeypatch, text_bundle: Bundle):
    monkeypatch.setattr("sys.argv", ["report_exits", "--samples", "5"])

    assert main() == 0

    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["exit", "samples", "accuracy", "calibration", "error"]
    assert [row.split()[:2] for row in rows] == [["2", "5"], ["4", "5"], ["6", "5"]]
