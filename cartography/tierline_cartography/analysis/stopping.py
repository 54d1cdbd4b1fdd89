"""Our rule: go up only where going up is expected to mend enough for its price.

The gain of depth is regressed on what is known at an exit, all exits together: a fifth of it as the labels
tell, right at the last exit less right here, the rest as the last exit itself holds, whose calibrated word
varies seven times less from sample to sample. A sample that depth makes worse stays, however unsure its exit
is; one whose exits contradict each other goes on, however sure the later one.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from tierline_cartography.analysis.cost import LAYERS_ONLY, Prices
from tierline_cartography.analysis.rules import Rule
from tierline_cartography.analysis.said import Float, Places, Said

RIDGE = 10.0  # samples' worth of pull towards no effect
FOLDS = 5
WORD = 0.8  # how much the last exit's own word counts in what depth gained
LARGEST = 6.0  # log odds beyond which an exit is as good as sure
GAINS = (
    *(-9.0, *(round(float(one), 4) for one in np.linspace(-0.05, 0.35, 81))),
    *(0.4, 0.45, 0.5, 0.6, 0.8, 1.0, 9.0),
)
"""Gains wanted for what all-cloud costs, in shares of a right answer: from everything goes on to nothing."""
LATER = (0.5, 1.0, 2.0, 4.0, 8.0)
"""By how much more, or less, is wanted of going on from later exits than from the first, the mobile's."""
Setting = tuple[int, float, float]
"""The deepest layer to use, the gain wanted, and the factor for later exits."""
Wanted = tuple[float, float]
OURS = "gain of depth (ours)"


@dataclass(frozen=True, slots=True)
class Gain:
    """What depth is worth: a linear function of standardised features."""

    centre: Float
    spread: Float
    weights: Float  # (F + 1,), the intercept last

    def expected(self, features: Float) -> Float:
        """(..., F) to (...): the expected change of being right."""
        found: Float = ((features - self.centre) / self.spread) @ self.weights[:-1] + self.weights[-1]
        return found


def features_at(said: Said, place: int) -> Float:
    """(S, N, F): what is known once the exit at this place has spoken.

    The log odds that it gives to its answer, how unsure that is, how much depth is left, and what the exit
    before gives to the same answer: unsure is not the same as contradicted.
    """
    now = _odds(said, place, place)
    before = _odds(said, place - 1, place) if place else np.zeros_like(now)
    unsure = np.exp(-np.abs(now))
    left = np.full_like(now, 1 - said.exits[place] / said.exits[-1])
    return np.stack([now, unsure, left, before, np.full_like(now, place > 0), before * unsure], -1)


def fit_stopping(said: Said, *, ridge: float = RIDGE) -> Gain:
    """What going on to the last exit is worth: a ridge regression on validation data, all exits and seeds."""
    places = range(len(said.exits) - 1)
    features = np.stack([features_at(said, place) for place in places], 1)  # (S, X - 1, N, F)
    gained = np.stack([gained_after(said, place) for place in places], 1)  # (S, X - 1, N)
    flat = features.reshape(-1, features.shape[-1])
    centre, spread = flat.mean(0), flat.std(0) + 1e-9
    design = np.concatenate([(flat - centre) / spread, np.ones((len(flat), 1))], 1)
    pull = ridge * np.eye(design.shape[1])
    pull[-1, -1] = 0.0
    return Gain(centre, spread, np.linalg.solve(design.T @ design + pull, design.T @ gained.ravel()))


def gained_after(said: Said, place: int) -> Float:
    """(S, N): what the last exit gains on this one, by the labels and by its own word."""
    told = said.right[:, -1].astype(np.float64) - said.right[:, place]
    asked = said.prediction[:, place, :, None]
    held = said.confidence[:, -1] - np.take_along_axis(said.probabilities[:, -1], asked, -1)[..., 0]
    found: Float = WORD * held + (1 - WORD) * told
    return found


def expected_gains(said: Said, gain: Gain) -> Float:
    """(S, X - 1, N): what going on from each exit but the last is expected to mend."""
    return np.stack([gain.expected(features_at(said, place)) for place in range(len(said.exits) - 1)], 1)


def stop(gains: Float, wanted: Wanted) -> Places:
    """Where each sample stops: at the first exit whose expected gain (S, X - 1, N) is not the wanted one.

    Args:
        gains: of `expected_gains`.
        wanted: what leaving the first exit must promise, and any later one, in shares of a right answer. The
            first is the mobile's, whose samples would have to travel.
    """
    least = np.where(np.arange(gains.shape[1]) == 0, wanted[0], wanted[1])
    stays = np.concatenate([gains <= least[:, None], np.ones_like(gains[:, :1], dtype=bool)], 1)
    found: Places = stays.argmax(1)
    return found


def gain_rule(validation: Said, prices: Prices = LAYERS_ONLY, *, ridge: float = RIDGE) -> Rule:
    """The rule, fitted on validation data.

    The deepest exit of all need not be the best. The gain is wanted for the price of everything; going on
    must promise its share of that, as it costs a share of the price. So transfers need no setting.
    """
    ends = range(1, len(validation.exits))
    fits = {validation.exits[end]: _Fit.of(validation, end, prices, ridge) for end in ends}
    return Rule(
        name=OURS,
        settings=_settings(validation.exits),
        choose=lambda said, setting: fits[setting[0]].choose(said, setting),
        on_validation=lambda setting: fits[setting[0]].settle(fits[setting[0]].unseen, setting),
    )


def _settings(exits: tuple[int, ...]) -> tuple[Setting, ...]:
    shallow = product(exits[1:2], GAINS, (1.0,))  # there is no later exit to go on from
    return (*shallow, *product(exits[2:], GAINS, LATER))


@dataclass(frozen=True, slots=True)
class _Fit:
    """The rule with one deepest exit."""

    end: int  # its place
    gain: Gain
    ahead: Float  # (end, 1): what going on from each exit before costs, of the price of everything
    unseen: Float  # (S, end, N): the gains expected of the validation samples, by fits that left them out

    @classmethod
    def of(cls, validation: Said, end: int, prices: Prices, ridge: float) -> "_Fit":
        known = validation.upto(end)
        paid = prices.of(validation.exits, "resume")
        ahead = (paid[end] - paid[:end]) / prices.all_cloud(validation.exits)
        return cls(end, fit_stopping(known, ridge=ridge), ahead[:, None], _left_out(known, ridge))

    def choose(self, said: Said, setting: Setting) -> Places:
        return self.settle(expected_gains(said.upto(self.end), self.gain), setting)

    def settle(self, gains: Float, setting: Setting) -> Places:
        _, wanted, later = setting
        first = np.arange(self.end) == 0
        return stop(gains - wanted * np.where(first, 1.0, later)[:, None] * self.ahead, (0.0, 0.0))


def _left_out(validation: Said, ridge: float) -> Float:
    """The gains expected of the validation samples themselves, each by a fit to the other folds."""
    fold = np.arange(len(validation.labels)) % FOLDS
    seeds, exits, samples = validation.confidence.shape
    found = np.empty((seeds, exits - 1, samples))
    for one in range(FOLDS):
        gain = fit_stopping(validation.only(fold != one), ridge=ridge)
        found[:, :, fold == one] = expected_gains(validation.only(fold == one), gain)
    return found


def _odds(said: Said, place: int, answer: int) -> Float:
    """(S, N): the log odds that one exit gives to another's answer."""
    asked = said.prediction[:, answer, :, None]
    given = np.take_along_axis(said.probabilities[:, place], asked, -1)[..., 0]
    found: Float = np.clip(np.log(np.maximum(given, 1e-9) / np.maximum(1 - given, 1e-9)), -LARGEST, LARGEST)
    return found
