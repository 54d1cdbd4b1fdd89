"""Settings that keep a stated drop of accuracy, with what kind of promise.

*Learn-then-Test* (Angelopoulos et al., 2021) and RCPS (Bates et al., 2021) bound the drop itself: with
probability 1 - delta over the calibration data, the setting chosen keeps the budget on new data. *Conformal
risk control* (Angelopoulos et al., 2022) bounds only its expectation over calibration sets. Both need
calibration samples that are exchangeable with what comes.
"""

from collections.abc import Sequence

import numpy as np

from tierline_cartography.analysis.said import Float

DELTA = 0.05


def p_value(loss: Float, budget: float) -> float:
    """How little the losses (N,) in [-1, 1] speak for a mean above the budget.

    A bet against it that cannot be expected to win if it is so: the stake follows the variance seen so far,
    so that rare losses need few samples (Waudby-Smith and Ramdas, JRSS-B 2024). Losses in random order.
    """
    scaled, mean = (1 + loss) / 2, (1 + budget) / 2  # in [0, 1]
    count = np.arange(1, len(loss) + 1)
    centre = (0.5 + np.cumsum(scaled)) / (count + 1)
    spread = (0.25 + np.cumsum(np.square(scaled - centre))) / (count + 1)
    before = np.concatenate([[0.25], spread[:-1]])
    stake = np.minimum(np.sqrt(2 * np.log(1 / DELTA) / (len(loss) * before)), 0.5 / (1 - mean))
    capital = np.cumsum(np.log1p(-stake * (scaled - mean)))
    return float(min(1.0, np.exp(-capital.max())))


def learn_then_test(ordered: Sequence[Float], budget: float, delta: float = DELTA) -> int | None:
    """The last of the settings, ordered from safe to thrifty, that is certified; None if not even the first.

    Fixed-sequence testing: settings are tested in an order set beforehand, each at level delta, until one
    fails, which needs no correction for how many there are. With losses that rise along it this is RCPS.

    Args:
        ordered: the losses (N,) of each setting.
        budget: the drop that may be, as a fraction.
        delta: how often the promise may be broken.
    """
    certified = None
    for place, loss in enumerate(ordered):
        if p_value(loss, budget) > delta:
            break
        certified = place
    return certified


def conformal_risk_control(ordered: Sequence[Float], budget: float) -> int | None:
    """The last setting whose mean loss, one worst loss added, is within the budget: in expectation only.

    The losses are made to rise along the order first, as the method needs.
    """
    certified = None
    worst = -np.inf
    for place, loss in enumerate(ordered):
        worst = max(worst, float(loss.mean()))
        if (len(loss) * worst + 1) / (len(loss) + 1) > budget:
            break
        certified = place
    return certified
