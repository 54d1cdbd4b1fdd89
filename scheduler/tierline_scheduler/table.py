"""The candidates of one model as columns of numbers, so that all are predicted in one go; cached."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tierline_broker import RAW_INPUT, Tier
from tierline_scheduler.candidates import CHAINS, Candidate, enumerate_candidates
from tierline_scheduler.model import KNOWN, Model, prune

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """N candidates over one chain of K tiers; columns are (N, K) unless said otherwise."""

    chain: tuple[Tier, ...]
    candidates: tuple[Candidate, ...]
    layer: Ints
    start: Ints
    pause: Ints
    stop: Ints
    exits: Bools  # an exit is evaluated in this leg
    coded: Bools  # the sample arrives as an activation
    codec: Ints  # place in `KNOWN` where the hop may not choose, else -1
    received_bytes: Floats
    reach: Floats
    accuracy: Floats  # (N,)


def make_table(
    chain: tuple[Tier, ...], candidates: tuple[Candidate, ...], *, choosing: bool = False
) -> Table:
    """Return the columns of these candidates, all of which run over `chain`.

    With `choosing`, each hop takes the codec that is best there instead of the one that the candidate names.
    """
    shape = (len(candidates), len(chain))
    rows = [
        (
            leg.layer,
            leg.start,
            leg.pause,
            leg.stop,
            leg.exit or 0,
            leg.codec != RAW_INPUT,
            -1 if choosing or leg.codec == RAW_INPUT else KNOWN.index(leg.codec),
            leg.received_bytes,
        )
        for candidate in candidates
        for leg in candidate.legs
    ]
    columns = np.array(rows, dtype=np.float64).reshape(*shape, 8)
    return Table(
        chain=chain,
        candidates=candidates,
        layer=columns[..., 0].astype(np.int64),
        start=columns[..., 1].astype(np.int64),
        pause=columns[..., 2].astype(np.int64),
        stop=columns[..., 3].astype(np.int64),
        exits=columns[..., 4] > 0,
        coded=columns[..., 5] > 0,
        codec=columns[..., 6].astype(np.int64),
        received_bytes=columns[..., 7],
        reach=np.array([candidate.reach for candidate in candidates], dtype=np.float64).reshape(shape),
        accuracy=np.array([candidate.card.accuracy for candidate in candidates], dtype=np.float64),
    )


@lru_cache(maxsize=32)
def tables(model: Model, floor: float | None) -> dict[tuple[Tier, ...], Table]:
    """Return the tables of what can be the best plan at this accuracy floor, by chain; a pure function."""
    pruned = prune(model, floor)
    return {
        chain: make_table(chain, tuple(enumerate_candidates(pruned, chain)), choosing=True)
        for chain in CHAINS
    }


@lru_cache(maxsize=2)
def full_tables(model: Model) -> dict[tuple[Tier, ...], Table]:
    """Return the tables of every candidate, those included that cannot be the best."""
    return {chain: make_table(chain, tuple(enumerate_candidates(model, chain))) for chain in CHAINS}
