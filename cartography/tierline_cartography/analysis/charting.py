"""What a bundle needs to route, fitted on labelled data: calibration, pools, gains of going on, settings."""

from collections.abc import Mapping, Sequence
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from tierline_cartography.analysis.cost import Prices
from tierline_cartography.analysis.gains import (
    Gains,
    Leg,
    LegGain,
    SaidOnce,
    each_model,
    fit_gains,
    legs_along,
)
from tierline_cartography.analysis.said import Float, Said, fit_temperature, softmax
from tierline_cartography.errors import PoolError
from tierline_models import Cartography, ExitChart, LegChart, PoolData, SettingData

POOLS = ("easy", "medium", "hard")
LEAST_SAMPLES = 100
MOST_EXITS = 8
LONGEST_CHAIN = 3  # one exit a tier
MOST_A_CHAIN = 16  # settings
QUANTILES = (
    0.2,
    0.4,
    0.5,
    0.6,
    0.65,
    0.7,
    0.75,
    0.8,
    0.85,
    0.9,
    0.95,
    1.0,
)  # of the samples let go at an exit
BUDGET = 0.005  # of accuracy, that answering each pool at its own exit may cost
CUTS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)  # of the samples in pools, by rank of confidence


def chart(
    logits: Float,
    labels: NDArray[np.int64],
    exits: Sequence[int],
    *,
    made: Mapping[str, str],
    temperatures: Sequence[float] | None = None,
    prices: Prices | None = None,
) -> Cartography:
    """Fit everything that a bundle's nodes route by.

    What the last exit holds of an answer stands in for labels that are not there. So gains, pools and
    settings are of these samples, while accuracies are as true as that exit is calibrated on them.

    Args:
        logits: (X, N, C), of every exit.
        labels: (N,), of samples that nothing was trained on; UNLABELLED where there is none.
        exits: the layers, rising; the last is the model's own output.
        made: by which command, for people.
        temperatures: (X,), fitted to labelled samples before; to these if not given.
        prices: of layers and transfers, which decide where pools end; λ = 0.1 a layer, o = 0.1 a transfer.

    Raises:
        PoolError: there are too few samples, or too many exits.
    """
    check_counts(len(labels), len(exits))
    scale = temperatures or [fit_temperature(one, labels) for one in logits]
    calibrated = softmax(logits / np.array(scale)[:, None, None])
    (said,) = each_model(Said(tuple(exits), labels, calibrated[None]))
    return _charted(said, scale, made, prices)


def check_counts(samples: int, exits: int) -> None:
    """Raise PoolError where there are too few samples, or too many exits."""
    if samples < LEAST_SAMPLES:
        raise PoolError(f"{samples} samples are too few to fit routing on; give {LEAST_SAMPLES}")
    if exits > MOST_EXITS:
        raise PoolError(f"{exits} exits are too many to try all chains of; {MOST_EXITS} are not")


def _charted(
    said: SaidOnce, temperatures: Sequence[float], made: Mapping[str, str], prices: Prices | None
) -> Cartography:
    gains = fit_gains(said)
    levels = _levels(said, prices or Prices(offload=0.1))
    pools = _pools(said, levels)  # (N,)
    charts = [_chart(said, place, one, levels) for place, one in enumerate(temperatures)]
    return Cartography(
        digest="",
        exits=tuple(charts),
        pools={name: float((pools == k).mean()) for k, name in enumerate(POOLS)},
        legs=tuple(_leg_chart(said, leg, one) for leg, one in gains.by_leg.items()),
        caution=gains.caution,
        accuracy=float(said.right[-1].mean()),
        settings=tuple(_settings(said, gains, pools)),
        made=dict(made),
    )


def _leg_chart(said: SaidOnce, leg: Leg, gain: LegGain) -> LegChart:
    before, here, end = leg
    return LegChart(
        before=None if before is None else said.layers[before],
        here=said.layers[here],
        end=said.layers[end],
        weights=tuple(float(one) for one in gain.weights),
    )


def _levels(said: SaidOnce, prices: Prices) -> tuple[float, float]:
    """Shares of the least sure that are hard, and hard or medium: those that earn the most within the budget.

    The reward is right answers less price, each pool answered at its own exit: easy at the first, medium in
    the middle, hard at the last. Ranks are of the first exit.
    """
    exits = len(said.layers)
    tiers = (0, exits // 2, exits - 1)
    spoken = (said.layers[tiers[0]], said.layers[tiers[1]], said.layers[tiers[2]])
    paid = prices.of(spoken, "direct")
    rank = said.confidence[0].argsort().argsort() / said.confidence.shape[1]

    def worth(cut: tuple[float, float]) -> tuple[float, float]:
        pools = np.where(rank >= cut[1], 0, np.where(rank >= cut[0], 1, 2))
        right = said.right[np.array(tiers)[pools], np.arange(len(rank))]
        over = max(0.0, float((said.right[-1] - right).mean()) - BUDGET)
        return -over, float((right - paid[pools]).mean())

    return max(combinations(CUTS, 2), key=worth)


def _edges(said: SaidOnce, place: int, levels: tuple[float, float]) -> tuple[float, float]:
    """Confidences at an exit from which a sample is easy, and medium."""
    medium, easy = np.quantile(said.confidence[place], levels)
    return float(easy), float(medium)


def _pools(said: SaidOnce, levels: tuple[float, float]) -> NDArray[np.intp]:
    """(N,): the pool that the first exit puts each sample into.

    Settings are told by these pools whichever exits they have, so that all are told of the same samples.
    Where a later exit is the first to see a sample, its own bands, of equal shares, stand in for them.
    """
    easy, medium = _edges(said, 0, levels)
    confidence = said.confidence[0]
    return np.where(confidence >= easy, 0, np.where(confidence >= medium, 1, 2))


def _chart(said: SaidOnce, place: int, temperature: float, levels: tuple[float, float]) -> ExitChart:
    easy, medium = _edges(said, place, levels)
    confidence = said.confidence[place]
    overclaim, unsure = 0.0, confidence < easy
    if place + 1 < len(said.layers) and unsure.any():
        answers = said.answers[place][:, None]
        granted = np.take_along_axis(said.probabilities[place + 1], answers, 1)[:, 0]
        overclaim = float((confidence - granted)[unsure].mean())
    return ExitChart(
        layer=said.layers[place],
        temperature=temperature,
        easy=easy,
        medium=medium,
        accuracy=float(said.right[place].mean()),
        confidence=min(1.0, float(confidence.mean())),
        overclaim=overclaim,
    )


def _settings(said: SaidOnce, gains: Gains, pools: NDArray[np.intp]) -> list[SettingData]:
    """What happens at every chain of exits, with all gains that are worth asking for."""
    found: list[SettingData] = []
    for length in range(1, LONGEST_CHAIN + 1):
        for chain in combinations(range(len(said.layers)), length):
            rows = [_setting(said, gains, pools, chain, limits) for limits in product(*_limits(gains, chain))]
            found += _thinned(_undominated(rows))
    return found


def _limits(gains: Gains, chain: Sequence[int]) -> list[list[float]]:
    """Gains to be had for going on, by exit but the last: those that let so many shares of samples go."""
    return [
        sorted(
            {
                round(float(one), 4)
                for one in np.quantile(gains.by_leg[leg].expected, QUANTILES) + gains.caution
            }
        )
        for leg in legs_along(chain)
    ]


def _setting(
    said: SaidOnce, gains: Gains, pools: NDArray[np.intp], chain: Sequence[int], limits: Sequence[float]
) -> SettingData:
    """What leaves where, and how right that is: what the end would be, less the gains that are let go.

    Expected gains of samples that a fit has not seen vary less than counts of right answers, so that a
    setting does not look good by luck.
    """
    left = np.full(said.right.shape[1], len(chain) - 1)
    forgone = np.zeros(said.right.shape[1])
    for place, leg in reversed(list(enumerate(legs_along(chain)))):
        gain = gains.by_leg[leg]
        leaves = gain.expected <= limits[place] - gains.caution
        left[leaves], forgone[leaves] = place, gain.forgone[leaves]
    right = said.right[chain[-1]] - forgone

    def told(which: NDArray[np.bool_]) -> PoolData:
        shares = tuple(float((left[which] == place).mean()) for place in range(len(chain)))
        return PoolData(shares=shares, accuracy=float(np.clip(right[which].mean(), 0, 1)))

    whole = told(np.ones(len(left), dtype=np.bool_))
    return SettingData(
        exits=tuple(said.layers[place] for place in chain),
        thresholds=_thresholds(said, chain, whole.shares),
        shares=whole.shares,
        accuracy=whole.accuracy,
        gains=tuple(float(np.clip(one, -1, 1)) for one in limits),
        pools={name: told(pools == k) for k, name in enumerate(POOLS)},
    )


def _thresholds(said: SaidOnce, chain: Sequence[int], shares: Sequence[float]) -> tuple[float, ...]:
    """Confidences that let about as many leave, never rising along the chain."""
    found: list[float] = []
    staying = np.ones(said.right.shape[1], dtype=np.bool_)
    for place, share in zip(chain[:-1], shares[:-1], strict=True):
        confidence = said.confidence[place][staying]
        part = min(1.0, share * len(staying) / max(1, len(confidence)))
        limit = 1.0 if not len(confidence) else float(np.quantile(confidence, 1 - part))
        found.append(round(min([1.0, limit, *found]), 4))
        staying &= said.confidence[place] < limit
    return tuple(found)


def _gone(row: SettingData) -> tuple[float, ...]:
    """The share of samples that have left after each exit."""
    return tuple(round(sum(row.shares[: place + 1]), 9) for place in range(len(row.shares)))


def _undominated(rows: Sequence[SettingData]) -> list[SettingData]:
    """Drop rows beaten by another that lets samples leave no later and is no less accurate."""
    kept: list[SettingData] = []
    for row in sorted(rows, key=lambda row: (row.accuracy, _gone(row)), reverse=True):
        if not any(all(a >= b for a, b in zip(_gone(other), _gone(row), strict=True)) for other in kept):
            kept.append(row)
    return kept


def _thinned(rows: list[SettingData]) -> list[SettingData]:
    """At most so many, evenly over the accuracies."""
    if len(rows) <= MOST_A_CHAIN:
        return rows
    return [rows[int(place)] for place in np.linspace(0, len(rows) - 1, MOST_A_CHAIN).round()]
