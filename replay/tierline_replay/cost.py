"""The abstract cost of a request, as early-exit offloading papers count it: blocks computed, offloads made.

The unit is theirs, neither seconds nor joules nor bytes (SplitEE: 0.1 a layer, offloads from 0.1 to 0.6;
DIMEC-DC, arXiv 2412.16616, builds on the same). Its constants are printed wherever the figure is.
"""

from collections.abc import Sequence

from tierline_broker import Step, Tier

BLOCK = 0.1
"""A block computed, on any tier."""
OFFLOAD = {Tier.EDGE: 0.3, Tier.CLOUD: 0.6}
"""A message that a tier receives from further in."""


def abstract_cost(steps: Sequence[Step]) -> float:
    """Return what these steps cost in abstract units."""
    blocks = sum(step.last - step.first for step in steps)
    return BLOCK * blocks + sum(OFFLOAD.get(step.tier, 0.0) for step in steps)


def constants() -> dict[str, object]:
    """Return the constants, to be printed beside the figure."""
    return {"block": BLOCK, "offload": {tier.value: value for tier, value in OFFLOAD.items()}}
