import pytest
import torch

from tierline_models.calibration import calibration_error, fit_temperature


def test_the_temperature_undoes_the_one_that_the_labels_were_drawn_at():
    source = torch.Generator().manual_seed(0)
    honest = 2 * torch.randn(5_000, 2, generator=source)
    truth = torch.multinomial(torch.softmax(honest, 1), 1, generator=source)[:, 0]

    assert fit_temperature(3 * honest, truth) == pytest.approx(3.0, rel=0.1)
    assert fit_temperature(honest / 2, truth) == pytest.approx(0.5, rel=0.1)


def test_confidence_that_means_what_it_says_has_no_error():
    correct = torch.tensor([True] * 17 + [False] * 3)

    assert calibration_error(torch.full((20,), 0.85), correct) == pytest.approx(0, abs=1e-6)
    assert calibration_error(torch.full((20,), 0.65), correct) == pytest.approx(0.2, abs=1e-6)


def test_full_confidence_that_is_always_wrong_has_the_greatest_error():
    assert calibration_error(torch.ones(5), torch.zeros(5, dtype=torch.bool)) == 1.0
