"""Our rule: go up only where going up is expected to mend something, priced against what it costs.

At every exit the gain of depth, right later less right now, is regressed on what is known there, from the
last exit backwards, each with the choices of those behind it (Longstaff and Schwartz, 2001, on optimal
stopping). A hard-to-learn sample, which depth makes worse, stays, however unsure its exit is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from tierline_cartography.analysis.rules import Rule
from tierline_cartography.analysis.said import Float, Places, Said

RIDGE = 10.0  # samples' worth of pull towards no effect
FOLDS = 5
LARGEST = 6.0  # log odds beyond which an exit is as good as sure
PRICES = (
    *(round(float(one), 4) for one in np.linspace(-0.02, 0.02, 21)),
    *(round(float(one), 4) for one in np.geomspace(0.025, 0.3, 12)),
    1.0,
)
OURS = "gain of depth (ours)"


@dataclass(frozen=True, slots=True)
class Gain:
    """What depth is worth at one exit: a linear function of standardised features."""

    centre: Float
    spread: Float
    weights: Float  # (F + 1,), the intercept last

    def expected(self, features: Float) -> Float:
        """(..., F) to (...): expected change of being right by going on."""
        found: Float = ((features - self.centre) / self.spread) @ self.weights[:-1] + self.weights[-1]
        return found


def features_at(said: Said, place: int) -> Float:
    """(S, N, F): what is known once the exit at this place has spoken.

    The log odds that this exit and each before give to this exit's prediction, their squares and products
    with the last one's: unsure is not the same as contradicted.
    """
    predicted = said.prediction[:, place]
    seen = said.probabilities[:, : place + 1]
    given = np.take_along_axis(seen, predicted[:, None, :, None], -1)[..., 0]  # (S, x + 1, N)
    odds = np.clip(np.log(given / np.maximum(1 - given, 1e-9)), -LARGEST, LARGEST)
    now, before = odds[:, -1], odds[:, :-1]
    kept = [now, np.square(now), np.exp(-np.abs(now)), *np.moveaxis(before, 1, 0)]
    kept += [now * one for one in np.moveaxis(before[:, -1:], 1, 0)]
    if said.hidden is not None:
        kept += list(np.moveaxis(said.hidden[:, place], -1, 0))
    return np.stack(kept, -1)


def fit_gains(said: Said, price: float, paid: Float, *, ridge: float = RIDGE) -> list[Gain]:
    """What going on from each exit but the last is worth net of its cost, later choices made the same way.

    Args:
        said: of validation data, never of what is reported on.
        price: of a unit of cost, in shares of a right answer.
        paid: (X,), what an answer at each exit costs.
        ridge: samples' worth of pull towards no effect.
    """
    last = len(said.exits) - 1
    chosen = np.full((said.probabilities.shape[0], len(said.labels)), last)
    gains: list[Gain] = []
    for place in reversed(range(last)):
        features = features_at(said, place)
        mended = said.right_at(chosen) - said.right[:, place]
        gain = _regress(features, mended - price * (paid[chosen] - paid[place]), ridge)
        chosen = np.where(gain.expected(features) > 0, chosen, place)
        gains.insert(0, gain)
    return gains


def stop(said: Said, gains: Sequence[Gain]) -> Places:
    """Where each sample stops: at the first exit from which going on is not expected to pay."""
    stays = [gain.expected(features_at(said, place)) <= 0 for place, gain in enumerate(gains)]
    stays.append(np.ones_like(stays[-1]))
    found: Places = np.stack(stays, 1).argmax(1)
    return found


def gain_rule(validation: Said, paid: Float | None = None, *, ridge: float = RIDGE) -> Rule:
    """The rule, fitted on validation data for every price of a layer, or of whatever `paid` (X,) counts."""
    costs = validation.layers if paid is None else paid
    fitted = {price: fit_gains(validation, price, costs, ridge=ridge) for price in PRICES}

    def left_out(price: float) -> Places:
        fold = np.arange(len(validation.labels)) % FOLDS
        chosen = np.empty((validation.probabilities.shape[0], len(fold)), dtype=np.intp)
        for one in range(FOLDS):
            gains = fit_gains(validation.only(fold != one), price, costs, ridge=ridge)
            chosen[:, fold == one] = stop(validation.only(fold == one), gains)
        return chosen

    return Rule(
        name=OURS,
        settings=PRICES,
        choose=lambda said, price: stop(said, fitted[price]),
        on_validation=cache(left_out),
    )


def _regress(features: Float, target: Float, ridge: float) -> Gain:
    flat = features.reshape(-1, features.shape[-1])
    centre, spread = flat.mean(0), flat.std(0) + 1e-9
    design = np.concatenate([(flat - centre) / spread, np.ones((len(flat), 1))], 1)
    pull = ridge * np.eye(design.shape[1])
    pull[-1, -1] = 0.0
    return Gain(centre, spread, np.linalg.solve(design.T @ design + pull, design.T @ target.ravel()))
