"""What an answer costs, in the units of the literature; every constant is a parameter."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from tierline_cartography.analysis.said import Float, Places

Transport = Literal["resume", "restart", "direct"]
"""How a sample gets to the exit that answers: resumed at the cut; computed again from layer 1 by every tier
on the way; or sent straight there from the input, as DIMEC-DC does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Prices in the literature's own unit: a layer is 0.1 (SplitEE, AIMLSystems 2023)."""

    layer: float = 0.1  # lambda
    offload: float = 0.0  # o, for a sample that leaves the mobile
    free_cloud: bool = False  # the cloud's layers cost nothing, as in SplitEE's released code

    def of(self, exits: tuple[int, ...], transport: Transport) -> Float:
        """(X,): the price of an answer at each exit. The first is the mobile's, the last the cloud's."""
        layers = np.array(exits, dtype=np.float64)
        first, before = layers[0], layers[-2] if len(layers) > 1 else 0.0
        paid = np.cumsum(layers) if transport == "restart" else layers.copy()
        if self.free_cloud:
            paid[-1] = {"resume": before, "direct": 0.0, "restart": paid[-1] - layers[-1]}[transport]
        found: Float = self.layer * paid + self.offload * (layers > first)
        return found

    def all_cloud(self, exits: tuple[int, ...]) -> float:
        """The price of sending everything to the last exit."""
        return (0.0 if self.free_cloud else self.layer * exits[-1]) + self.offload


def saved(chosen: Places, exits: tuple[int, ...], prices: Prices, transport: Transport = "resume") -> Float:
    """(S, N): what share of all-cloud's price is saved; negative where more is paid."""
    whole = prices.all_cloud(exits)
    found: Float = 1 - prices.of(exits, transport)[chosen] / whole
    return found


LAYERS_ONLY = Prices()


def layers_saved(chosen: Places, exits: tuple[int, ...]) -> Float:
    """(S, N): the share of layers not computed."""
    return saved(chosen, exits, LAYERS_ONLY)


def mix(chosen: NDArray[Any], count: int) -> Float:
    """(X,): the share of samples that each exit answers."""
    return np.bincount(chosen.ravel(), minlength=count) / chosen.size
