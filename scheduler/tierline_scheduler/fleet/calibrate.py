"""How many standard deviations to keep free, learnt from how often samples really are late."""

LEAST, MOST = 0.0, 8.0
"""Deviations that are ever kept free; beyond lies a model that does not fit, not a margin."""
ENOUGH = 400
"""Samples from which a share of late ones is worth the whole step; fewer are worth their part of it."""


def calibrated(margin: float, late: int, seen: int, target: float, *, gain: float = 8.0) -> float:
    """Return the margin of a class of devices after some of their samples were seen.

    The update of adaptive conformal inference (Gibbs and Candès 2021): up by what the share of late samples
    is over the target, down by what it is under it. Whatever the latencies' distribution, and however it
    moves, the long-run share of late samples tends to the target.

    Args:
        margin: standard deviations kept free so far.
        late: samples that missed their deadline ...
        seen: ... of so many on plans that were to keep it.
        target: share that may be late.
        gain: how fast to learn; of a share of late samples, in deviations. At a margin of 2, where one
            more or less is 5 points of late samples, 8 takes back 40 % of an error at once.
    """
    if seen <= 0:
        return margin
    step = gain * min(1.0, seen / ENOUGH)
    return min(MOST, max(LEAST, margin + step * (late / seen - target)))
