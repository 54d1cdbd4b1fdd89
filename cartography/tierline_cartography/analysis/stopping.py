"""The rule that bundles carry, with settings for any number of exits and any unit of cost."""

from dataclasses import dataclass
from itertools import product

import numpy as np

from tierline_cartography.analysis.cost import LAYERS_ONLY, Prices
from tierline_cartography.analysis.gains import (
    Leg,
    LegGain,
    each_model,
    expected_gain,
    fit_leg,
    legs_along,
)
from tierline_cartography.analysis.rules import Rule
from tierline_cartography.analysis.said import Float, Places, Said
from tierline_cartography.errors import PoolError

GAINS = (
    *(-9.0, *(round(float(one), 4) for one in np.linspace(-0.05, 0.35, 81))),
    *(0.4, 0.45, 0.5, 0.6, 0.8, 1.0, 9.0),
)
"""Gains wanted for what all-cloud costs, in shares of a right answer: from everything goes on to nothing."""
LATER = (0.5, 1.0, 2.0, 4.0, 8.0)
"""By how much more, or less, is wanted of going on from later exits than from the first, the mobile's."""
Setting = tuple[int, float, float]
"""The deepest layer to use, the gain wanted, and the factor for later exits."""
OURS = "gain of depth (ours)"


def gain_rule(validation: Said, prices: Prices = LAYERS_ONLY) -> Rule:
    """The rule, fitted on validation data: each seed's model by itself, as a bundle holds one.

    The deepest exit of all need not be the best. The gain is wanted for the price of everything; going on
    must promise its share of that, as it costs a share of the price. So transfers need no setting.

    Raises:
        PoolError: there is one exit only, so that there is nothing to choose.
    """
    if len(validation.exits) < 2:
        raise PoolError(f"exit {validation.exits[0]} alone leaves nothing to choose; give two exits or more")
    ends = range(1, len(validation.exits))
    fits = {validation.exits[end]: _Fit.of(validation, end, prices) for end in ends}
    return Rule(
        name=OURS,
        settings=_settings(validation.exits),
        choose=lambda said, setting: fits[setting[0]].choose(said, setting),
        on_validation=lambda setting: fits[setting[0]].settle(fits[setting[0]].unseen, setting),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Stops:
    """Where samples stop, and why: going on from there promises no more than is wanted of it."""

    places: Places  # (S, N)
    gains: Float  # (S, N), expected of going on from there; NaN at the deepest exit, which nothing follows
    wanted: tuple[float, ...]  # of going on from each exit before the deepest one


def stops(validation: Said, said: Said, setting: Setting, prices: Prices = LAYERS_ONLY) -> Stops:
    """Say where the rule, fitted on validation data, has each sample stop under one setting."""
    fit = _Fit.of(validation, validation.exits.index(setting[0]), prices)
    gains = fit.expected(said)
    places = fit.settle(gains, setting)
    told = np.concatenate([gains, np.full_like(gains[:, :1], np.nan)], 1)
    there: Float = np.take_along_axis(told, places[:, None], 1)[:, 0]
    return Stops(places=places, gains=there, wanted=tuple(map(float, fit.wanted(setting)[:, 0])))


def _settings(exits: tuple[int, ...]) -> tuple[Setting, ...]:
    shallow = product(exits[1:2], GAINS, (1.0,))  # there is no later exit to go on from
    return (*shallow, *product(exits[2:], GAINS, LATER))


@dataclass(frozen=True, slots=True)
class _Fit:
    """The rule with one deepest exit."""

    end: int  # its place
    legs: tuple[Leg, ...]
    gains: tuple[tuple[LegGain, ...], ...]  # by seed and leg
    ahead: Float  # (end, 1): what going on from each exit before costs, of the price of everything
    unseen: Float  # (S, end, N): the gains expected of the validation samples, by fits that left them out

    @classmethod
    def of(cls, validation: Said, end: int, prices: Prices) -> "_Fit":
        paid = prices.of(validation.exits, "resume")
        ahead = (paid[end] - paid[:end]) / prices.all_cloud(validation.exits)
        legs = tuple(legs_along(range(end + 1)))
        gains = tuple(tuple(fit_leg(one, leg) for leg in legs) for one in each_model(validation))
        unseen = np.array([[leg.unseen for leg in seed] for seed in gains])
        return cls(end, legs, gains, ahead[:, None], unseen)

    def choose(self, said: Said, setting: Setting) -> Places:
        return self.settle(self.expected(said), setting)

    def expected(self, said: Said) -> Float:
        """(S, end, N)."""
        by_seed = zip(each_model(said), self.gains, strict=True)
        return np.array(
            [
                [expected_gain(one, leg, fit.weights) for leg, fit in zip(self.legs, fits, strict=True)]
                for one, fits in by_seed
            ]
        )

    def settle(self, gains: Float, setting: Setting) -> Places:
        """Where each sample stops: at the first exit whose gain is not worth it."""
        stays = gains <= self.wanted(setting)
        found: Places = np.concatenate([stays, np.ones_like(stays[:, :1])], 1).argmax(1)
        return found

    def wanted(self, setting: Setting) -> Float:
        """(end, 1): the gain for which a sample goes on from each exit."""
        _, wanted, later = setting
        first = np.arange(self.end) == 0
        found: Float = wanted * np.where(first, 1.0, later)[:, None] * self.ahead
        return found
