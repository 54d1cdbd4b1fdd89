"""The literature's rules that decide at which exit a sample stops, each with the settings it can have."""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tierline_cartography.analysis.cost import Transport
from tierline_cartography.analysis.said import Float, Places, Said

GRID = tuple(np.round(np.concatenate([np.linspace(0.5, 0.95, 19), [0.96, 0.97, 0.98, 0.99, 0.995, 1.01]]), 4))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """A way of choosing exits: settings, and what each of them chooses."""

    name: str
    settings: Sequence[Any]
    choose: Callable[[Said, Any], Places]
    transport: Transport = "resume"
    on_validation: Callable[[Any], Places] | None = None  # by fits that leave each sample out, where it fits

    def chosen_on(self, validation: Said, setting: Any) -> Places:
        """What it would choose on the validation data if it had not seen them."""
        return self.choose(validation, setting) if self.on_validation is None else self.on_validation(setting)


def first_of(stops: NDArray[np.bool_]) -> Places:
    """(S, X, N) of whether a sample may stop at an exit, to the first where it may; all stop at the last."""
    stops = stops.copy()
    stops[:, -1] = True
    found: Places = stops.argmax(1)
    return found


def always(said: Said) -> Rule:
    """Always exit k; among them all-mobile, all-edge and all-cloud."""
    shape = (said.probabilities.shape[0], len(said.labels))

    def choose(some: Said, place: int) -> Places:
        return np.full((shape[0], len(some.labels)), place)

    return Rule(name="always exit k", settings=range(len(said.exits)), choose=choose)


def one_threshold() -> Rule:
    """Stop where the confidence reaches a threshold."""
    return Rule(
        name="confidence, one threshold", settings=GRID, choose=lambda said, t: first_of(said.confidence >= t)
    )


def two_thresholds() -> Rule:
    """A threshold for the first exit and another for all that follow."""
    return Rule(
        name="confidence, two thresholds",
        settings=tuple(product(GRID[::2], GRID[::2])),
        choose=lambda said, ts: first_of(
            said.confidence >= np.where(np.arange(len(said.exits)) == 0, ts[0], ts[1])[None, :, None]
        ),
    )


def entropy() -> Rule:
    """Stop where the entropy falls below a threshold; DeeBERT, Xin et al., ACL 2020."""
    known = np.minimum(np.array(GRID), 1 - 1e-9)
    levels = (*(-known * np.log(known) - (1 - known) * np.log(1 - known)), 10.0)  # of two classes
    return Rule(name="DeeBERT (entropy)", settings=levels, choose=lambda said, t: first_of(said.entropy < t))


def patience() -> Rule:
    """Stop when so many exits in a row agree with the one before; PABEE, Zhou et al., NeurIPS 2020."""

    def choose(said: Said, wanted: int) -> Places:
        same = said.prediction[:, 1:] == said.prediction[:, :-1]
        streak = np.zeros(said.prediction.shape, dtype=int)
        for place in range(1, len(said.exits)):
            streak[:, place] = np.where(same[:, place - 1], streak[:, place - 1] + 1, 0)
        return first_of(streak >= wanted)

    return Rule(name="PABEE (patience)", settings=range(6), choose=choose)


def random_mix(said: Said) -> Rule:
    """Exits drawn by lot, whatever the sample."""
    steps = np.linspace(0, 1, 6)
    mixes = [one for one in product(steps, repeat=len(said.exits) - 1) if sum(one) <= 1 + 1e-9]
    if len(said.exits) > 3:  # too many to try all: only the first, one between and the last
        mixes = [
            (one, *(0.0,) * (len(said.exits) - 3), other)
            for one in steps
            for other in steps
            if one + other <= 1 + 1e-9
        ]

    def choose(some: Said, shares: tuple[float, ...]) -> Places:
        drawn = np.random.default_rng(0).random((some.probabilities.shape[0], len(some.labels)))
        return np.searchsorted(np.cumsum(shares), drawn, side="right")

    return Rule(name="random with a mix", settings=tuple(mixes), choose=choose)


def split_ee(layer: float = 0.1, offload: float = 0.3, exploration: float = 1.0) -> Rule:
    """Learn by upper confidence bounds at which exit to look; answer there if confident, else at the last.

    Bajpai et al., SplitEE, AIMLSystems 2023, with the rewards of its released code. No labels are used, so it
    learns on the very stream that it answers.
    """

    def choose(said: Said, threshold: float) -> Places:
        paid = layer * said.layers
        return np.stack(
            [
                _upper_bounds(confidence, paid, threshold, offload, exploration)
                for confidence in said.confidence
            ]
        )

    return Rule(name="SplitEE (UCB)", settings=(0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98), choose=choose)


def _upper_bounds(
    confidence: Float, paid: Float, threshold: float, offload: float, exploration: float
) -> Places:
    last = len(paid) - 1
    pulls, means = np.zeros(last + 1), np.zeros(last + 1)
    chosen = np.empty(confidence.shape[1], dtype=np.intp)
    for turn, here in enumerate(confidence.T):
        bonus = exploration * np.sqrt(np.log(turn + 1) / np.maximum(pulls, 1))
        arm = turn if turn <= last else int((means + bonus).argmax())
        stays = arm == last or here[arm] >= threshold
        reward = here[arm] - paid[arm] if stays else here[last] - paid[arm] - offload
        pulls[arm] += 1
        means[arm] += (reward - means[arm]) / pulls[arm]
        chosen[turn] = arm if stays else last
    return chosen


def window_quantile(window: int = 200) -> Rule:
    """Stop where the confidence is above a quantile of late confidences there; RecServe, 2025.

    So the threshold follows drift, and the share that stops stays as it was set.
    """

    def choose(said: Said, share: float) -> Places:
        return np.stack([follow(confidence, share, window) for confidence in said.confidence])

    return Rule(name="RecServe (window quantile)", settings=tuple(np.linspace(0, 1, 21)), choose=choose)


def follow(confidence: Float, share: float, window: int) -> Places:
    """(X, N) confidences in order of arrival to the exits (N,) where the upper `share` of a window stops."""
    recent: list[deque[float]] = [deque() for _ in confidence]
    ordered: list[list[float]] = [[] for _ in confidence]
    last = len(confidence) - 1
    chosen = np.full(confidence.shape[1], last, dtype=np.intp)
    for turn in range(confidence.shape[1]):
        for place in range(last):
            value = float(confidence[place, turn])
            known = ordered[place]
            limit = known[min(len(known) - 1, int((1 - share) * len(known)))] if known else 0.0
            _remember(value, recent[place], known, window)
            if share > 0 and value >= limit:
                chosen[turn] = place
                break
    return chosen


def _remember(value: float, recent: deque[float], ordered: list[float], window: int) -> None:
    recent.append(value)
    insort(ordered, value)
    if len(recent) > window:
        del ordered[bisect_left(ordered, recent.popleft())]


def oracle() -> Rule:
    """The first exit that is right, the first of all where none is: what knowing the labels would give."""

    def choose(said: Said, _: None) -> Places:
        return np.where(said.right.any(1), said.right.argmax(1), 0)

    return Rule(name="oracle", settings=(None,), choose=choose)
