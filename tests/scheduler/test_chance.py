import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierline_scheduler.chance import allowed_late, normal, tail


def column(value: float) -> np.ndarray:
    return np.array([value])


def test_the_normal_distribution_function_is_the_textbook_one() -> None:
    z = np.linspace(-6, 6, 241)

    assert normal(z) == pytest.approx([NormalDist().cdf(one) for one in z], abs=1e-7)
    assert allowed_late(1.645) == pytest.approx(0.05, abs=1e-4)


@pytest.mark.parametrize("sd", [0.1, 0.5, 1.2])
def test_with_only_the_link_uncertain_it_is_the_rate_that_would_be_needed(sd: float) -> None:
    found = tail(column(0.1 + 0.2), column(0.2 * sd), column(0.2), sd)

    needed = math.log(0.2 / (0.5 - 0.1))
    assert found.late(0.5)[0] == pytest.approx(NormalDist().cdf(needed / sd), abs=1e-4)


@pytest.mark.parametrize("shares", [(0.03, 0.1, 0.8), (0.02, 0.3, 0.3), (0.1, 0.05, 0.5)])
def test_it_is_what_sampling_says(shares: tuple[float, float, float]) -> None:
    rest, crossing, sd = shares
    rng = np.random.default_rng(1)
    drawn = 0.2 + rest * rng.standard_normal(400_000) + crossing * np.exp(sd * rng.standard_normal(400_000))
    found = tail(column(0.2 + crossing), column(math.hypot(rest, crossing * sd)), column(crossing), sd)

    for share, error in ((0.5, 0.07), (0.2, 0.05), (0.05, 0.02), (0.01, 0.02)):
        deadline = np.quantile(drawn, 1 - share)
        assert found.late(deadline)[0] == pytest.approx(share, abs=error)


@given(
    rest=st.floats(1e-4, 1), spread=st.floats(0, 0.5), crossing=st.floats(0, 2), sd=st.floats(0.05, 1.5),
    deadline=st.floats(0.01, 5), more=st.floats(1.0, 3.0),
)  # fmt: skip
def test_more_time_never_makes_it_later_and_quantiles_invert_it(
    rest: float, spread: float, crossing: float, sd: float, deadline: float, more: float
) -> None:
    found = tail(column(rest + crossing), column(math.hypot(spread, crossing * sd)), column(crossing), sd)

    assert found.late(deadline * more)[0] <= found.late(deadline)[0] + 1e-9
    assert 0 <= found.late(deadline)[0] <= 1
    if spread > 1e-3 or crossing > 1e-3:
        assert found.late(found.quantile(1.645)[0])[0] == pytest.approx(allowed_late(1.645), abs=1e-4)
