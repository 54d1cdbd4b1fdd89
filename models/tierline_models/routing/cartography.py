"""What a bundle knows of how hard samples are: calibration, pools, the rule that routes, and its settings."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tierline_models.card import ExitData, ModelCardData, RouteData, SettingData

POOLS = ("easy", "medium", "hard")
FEATURES = ("doubt", "doubt_squared", "doubt_before", "doubt_both")
"""What the expected gain is linear in; see `gain_features`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitChart:
    """What is known of one exit, from labelled data that it was not trained on.

    Attributes:
        layer: blocks before it.
        temperature: logits are divided by it.
        easy: calibrated confidence from which a sample is easy here ...
        medium: ... and from which it is medium; below, hard.
        accuracy: of its answers if all samples left here.
        confidence: mean over all samples.
        overclaim: by how much it is surer of its answers than the next exit of them, over samples that are
            not easy; only a change of it is drift.
    """

    layer: int
    temperature: float
    easy: float
    medium: float
    accuracy: float
    confidence: float
    overclaim: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LegChart:
    """What going on is worth: from the exit `here` to the exit `end`, having last passed `before`, if any.

    The weights are those of the features in turn, and last what is added.
    """

    before: int | None
    here: int
    end: int
    weights: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cartography:
    """Everything that routing needs and training does not give.

    Attributes:
        digest: of the file: what gains mean depends on it.
        exits: rising; the last is the model's own output.
        pools: share of the samples in each.
        legs: every way to stand at an exit with more of the way to go.
        caution: a gain this close below what is wanted still goes on: what the fit is uncertain by.
        accuracy: of the last exit.
        settings: what happens when samples leave by their gain, at chains of exits.
        made: by which command, of how many samples, with which versions; for people.
    """

    digest: str
    exits: tuple[ExitChart, ...]
    pools: Mapping[str, float]
    legs: tuple[LegChart, ...]
    caution: float
    accuracy: float
    settings: tuple[SettingData, ...]
    made: Mapping[str, str]

    def at(self, layer: int) -> ExitChart | None:
        """What is known of the exit after so many blocks; None where nothing is."""
        return next((one for one in self.exits if one.layer == layer), None)

    def leg(self, before: int | None, here: int, end: int) -> LegChart | None:
        """What going on is worth there; None where nobody measured it."""
        wanted = (before, here, end)
        return next((one for one in self.legs if (one.before, one.here, one.end) == wanted), None)


def with_cartography(card: ModelCardData, found: Cartography | None) -> ModelCardData:
    """A card whose routes are the settings that were measured, with what a planner needs to follow a mix."""
    if found is None:
        return card
    known = tuple(
        ExitData(layer=one.layer, confidence=one.confidence, overclaim=one.overclaim) for one in found.exits
    )
    routes: tuple[RouteData, ...] = found.settings
    return replace(
        card,
        accuracy=found.accuracy,
        routes=routes,
        router=found.digest,
        pools=dict(found.pools),
        exit_cards=known,
    )
