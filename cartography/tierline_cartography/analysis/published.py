"""DIMEC-DC and DIMEE as far as they are published: a pool is chosen before layer 1, by the nearest centroid.

Bajpai and Hanawal, arXiv 2412.16616 and 2410.05338 (ICC 2025). Each pool is answered by one tier, which
starts at layer 1, so a sample pays for one tier's layers and, off the mobile, for one transfer. Which
embedding, which centroid and which thresholds is not known; docs/cartography.md says what was taken.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tierline_cartography.analysis.cost import Prices
from tierline_cartography.analysis.data_map import data_map
from tierline_cartography.analysis.pools import EASY, HARD, MEDIUM, SMALLEST_SHARE, Reading, find_pools
from tierline_cartography.analysis.routers import CentroidRouter, cautious, fit_centroids
from tierline_cartography.analysis.rules import Rule
from tierline_cartography.analysis.said import Places, Said
from tierline_cartography.errors import PoolError
from tierline_cartography.records import Records

LAYER_PRICES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
MARGINS = (0.0, 0.01, 0.02, 0.05, 0.1)
LEVELS = (0.5, 0.7, 0.8, 0.9, 0.95)
ANY_DROP = 100.0  # points; the budget is kept on validation, after routing

Setting = tuple[int, float]
"""Which pools, and below which margin a sample goes one tier up."""


def dimec(records: Records, exits: tuple[int, int, int], *, offload: float, reading: Reading) -> Rule:
    """Pools from the data map of the last exit, routed by centroids of the mean embedding."""
    found = []
    for layer in LAYER_PRICES:
        prices = Prices(layer=layer, offload=offload)
        try:
            found.append(_routers(records, _map_pools(records, exits, prices, reading)))
        except PoolError:
            continue  # degenerate at this price
    return _rule(f"DIMEC-DC ({reading})", found)


def dimee(records: Records, exits: tuple[int, int, int]) -> Rule:
    """Pools from which exit first is sure of the true label, routed in the same way."""
    first, second, _ = records.places(exits)
    found = []
    for level in LEVELS:
        true = records.train_true[:, -1]  # (S, X, N), in the last epoch
        pools = np.where(true[:, first] >= level, EASY, np.where(true[:, second] >= level, MEDIUM, HARD))
        shares = [np.bincount(one, minlength=3).min() / len(one) for one in pools]
        if min(shares) >= SMALLEST_SHARE:
            found.append(_routers(records, pools))
    return _rule("DIMEE", found)


def _map_pools(
    records: Records, exits: tuple[int, int, int], prices: Prices, reading: Reading
) -> NDArray[np.intp]:
    """(S, N)."""
    places = records.places(exits)
    pools = []
    for true, correct in zip(records.train_true, records.train_correct, strict=True):
        found = data_map(true[:, places[-1]], correct[:, places[-1]])
        best = find_pools(
            found,
            true[-1, places],
            correct[-1, places].astype(np.float64),
            exits,
            prices=prices,
            budget=ANY_DROP,
            reading=reading,
        )
        pools.append(best.pools)
    return np.stack(pools)


def _routers(records: Records, pools: NDArray[np.intp]) -> list[CentroidRouter]:
    if records.train_embedding is None:
        raise PoolError(f"the records of {records.task} hold no embeddings to route by; make them again")
    return [fit_centroids(records.train_embedding, one) for one in pools]


def _rule(name: str, found: Sequence[Sequence[CentroidRouter]]) -> Rule:
    if not found:
        raise PoolError(f"{name} finds no pools that are not degenerate on these records")

    def choose(said: Said, setting: Setting) -> Places:
        which, least = setting
        if said.embedding is None:
            raise PoolError("these samples have no embeddings to route by")
        routed = [cautious(router.route(said.embedding), least) for router in found[which]]
        return np.stack(routed)

    settings = [(which, least) for which in range(len(found)) for least in MARGINS]
    return Rule(name=name, settings=settings, choose=choose, transport="direct")
