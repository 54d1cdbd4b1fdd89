"""Every rule on the same records: settings frozen on validation, judged on test."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tierline_cartography.analysis.cost import LAYERS_ONLY, Prices, Transport, mix, saved
from tierline_cartography.analysis.judge import DRAWS, LEVEL, Verdict, judge, resampled
from tierline_cartography.analysis.rules import Rule
from tierline_cartography.analysis.said import UNLABELLED, Float, Places, Said

BUDGET = 0.5  # points of accuracy
LEVELS = tuple(float(one) for one in np.linspace(0.0, 0.85, 18))  # of saving, along a curve
CHOOSING_DRAWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What one rule, its setting frozen, does to the test set."""

    rule: str
    setting: Any
    saved: float  # share of all-cloud's price
    spread: tuple[float, float]  # over seeds
    drop: Verdict
    shares: tuple[float, ...]  # by exit
    chosen: Places  # (S, N)
    transport: Transport = "resume"  # that it was priced by


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """What one rule reaches at every level of saving: costs and right answers, both (K, S, N)."""

    rule: str
    saved: Float
    right: Float

    @property
    def points(self) -> list[tuple[float, float]]:
        """Mean saving and mean accuracy of each setting."""
        pairs = zip(self.saved.mean((1, 2)), self.right.mean((1, 2)), strict=True)
        return [(float(one), float(other)) for one, other in pairs]


@dataclass(frozen=True, slots=True)
class AllCloud:
    """What every rule is compared with: all samples answered in the cloud, at the price of every layer."""

    name: str
    right: Float  # (S, N), 0 or 1
    expected: Float  # (S, N), see Said.expected_at


def strongest_exit(said: Said) -> AllCloud:
    """The exit that is right most often when always taken."""
    best = int(said.right.mean((0, 2)).argmax())
    always = np.full(said.right[:, 0].shape, best)
    name = f"the exit after block {said.exits[best]}"
    return AllCloud(name, said.right_at(always), said.expected_at(always))


def strongest(said: Said) -> AllCloud:
    """Whatever is right most often: an exit, always taken, or the single-exit fine-tune, where there is one.

    Where `said` is the test set, it is chosen there, in its favour. A fine-tune is compared with the exit of
    its own seed, as seeds differ by more than these do; fewer of them than seeds take turns.
    """
    best, rival = strongest_exit(said), said.rival_right
    if rival is None or rival.mean() <= best.right[list(said.rival_places)].mean():
        return best
    right = rival[np.arange(len(best.right)) % len(rival)].astype(np.float64)
    return AllCloud("a single-exit fine-tune", right, right)


def freeze(
    rules: Sequence[Rule],
    validation: Said,
    full: AllCloud,
    prices: Prices = LAYERS_ONLY,
    *,
    budget: float = BUDGET,
    samples: int | None = None,
) -> dict[str, Any]:
    """For each rule the setting that saves most with the drop foreseen within the budget.

    Where no setting's is, the one whose drop is least. Foreseen for so many new samples, else for as many as
    there are in validation. `full` is an exit there: few fine-tunes, of other seeds, say little of a drop.
    """
    count = samples or len(validation.labels)
    return {rule.name: _best(rule, validation, full, prices, budget, count) for rule in rules}


def seal(frozen: Mapping[str, Any]) -> str:
    """A digest of frozen settings, to be written down before the test set is opened."""
    return hashlib.sha256(json.dumps(frozen, sort_keys=True, default=str).encode()).hexdigest()


def outcomes(
    rules: Sequence[Rule],
    frozen: Mapping[str, Any],
    test: Said,
    full: AllCloud,
    prices: Prices = LAYERS_ONLY,
    *,
    draws: int = DRAWS,
) -> dict[str, Outcome]:
    """What the frozen settings do to the test set."""
    found = {}
    for rule in rules:
        chosen = rule.choose(test, frozen[rule.name])
        gained = saved(chosen, test.exits, prices, rule.transport)
        by_seed = gained.mean(1)
        found[rule.name] = Outcome(
            rule=rule.name,
            setting=frozen[rule.name],
            saved=float(gained.mean()),
            spread=(float(by_seed.min()), float(by_seed.max())),
            drop=judge(full.right, test.right_at(chosen), budget=BUDGET, draws=draws),
            shares=tuple(float(one) for one in mix(chosen, len(test.exits))),
            chosen=chosen,
            transport=rule.transport,
        )
    return found


def curve(rule: Rule, validation: Said, test: Said, prices: Prices = LAYERS_ONLY) -> Curve:
    """At each level of saving the setting most accurate on validation, as it does on test."""
    known = []
    for setting in rule.settings:
        chosen = rule.chosen_on(validation, setting)
        gained = float(saved(chosen, validation.exits, prices, rule.transport).mean())
        known.append((gained, float(validation.expected_at(chosen).mean()), setting))
    kept = []
    for level in LEVELS:
        fitting = [one for one in known if one[0] >= level]
        if fitting and (best := max(fitting, key=lambda one: one[1])[2]) not in kept:
            kept.append(best)
    placed = [rule.choose(test, setting) for setting in kept]
    return Curve(
        rule=rule.name,
        saved=np.stack([saved(one, test.exits, prices, rule.transport) for one in placed]),
        right=np.stack([test.right_at(one) for one in placed]),
    )


@dataclass(frozen=True, slots=True)
class Ahead:
    """By how many points one curve lies above another at equal cost, over the other's range of costs."""

    points: float
    p_value: float  # how often a resampled pair of curves says otherwise


def ahead(ours: Curve, theirs: Curve, *, draws: int = 2000) -> Ahead:
    """Compare two curves on the same samples."""
    said = np.concatenate([ours.saved, theirs.saved, ours.right, theirs.right])
    k, m = len(ours.saved), len(theirs.saved)
    point = _gap(said.mean((1, 2)), k, m)
    means = np.stack([resampled(one, draws=draws) for one in said], 1)  # (D, 2k + 2m)
    below = sum(_gap(one, k, m) <= 0 for one in means)
    return Ahead(100 * point, (below + 1) / (draws + 1))


def at_equal_drop(test: Said, full: AllCloud, drop: float) -> float:
    """The largest share of layers that knowing the labels saves at this drop (points), mean over seeds.

    Every sample stops at the first exit that is right. As that is more accurate than the full model, as many
    as the drop allows of those that are right only deep stop at the first exit instead, the dearest first.
    """
    known = np.where(test.right.any(1), test.right.argmax(1), 0)
    layers = test.layers[known]  # (S, N)
    spare = (test.right_at(known).mean(1) - full.right.mean(1) + drop / 100) * len(test.labels)
    total = 0.0
    for row, count in zip(layers, spare, strict=True):
        dearest = np.sort(row)[::-1]
        dearest[: max(0, int(count))] = test.layers[0]
        total += 1 - float(dearest.mean()) / test.layers[-1]
    return total / len(layers)


def _best(rule: Rule, validation: Said, full: AllCloud, prices: Prices, budget: float, samples: int) -> Any:
    known = []
    for setting in rule.settings:
        chosen = rule.chosen_on(validation, setting)
        known.append((float(saved(chosen, validation.exits, prices, rule.transport).mean()), chosen, setting))
    least = (np.inf, rule.settings[0])
    for _, chosen, setting in sorted(known, key=lambda one: one[0], reverse=True):
        drop = _foreseen(validation, full, chosen, samples)
        if drop <= budget:
            return setting
        least = min(least, (drop, setting), key=lambda one: one[0])
    return least[1]


def _foreseen(validation: Said, full: AllCloud, chosen: Places, samples: int) -> float:
    """The drop that a count of so many new samples keeps in 95 of 100 cases, in points.

    What is expected of the validation samples, how unsure that is, and how far a count is from what is
    expected, as those that are labelled tell: the less the more samples are counted.
    """
    expected = 100 * (full.expected - validation.expected_at(chosen))
    counted = 100 * (full.right - validation.right_at(chosen))[:, validation.labels != UNLABELLED]
    scatter = _reach(counted) * np.sqrt(counted.shape[1] / samples)
    return float(expected.mean() + np.hypot(_reach(expected), scatter))


def _reach(values: Float) -> float:
    """From a mean to its one-sided bound."""
    return float(np.quantile(resampled(values, draws=CHOOSING_DRAWS), LEVEL) - values.mean())


def _gap(means: Float, k: int, m: int) -> float:
    ours, theirs = (means[:k], means[k + m : 2 * k + m]), (means[k : k + m], means[2 * k + m :])
    grid = np.linspace(theirs[0].min(), theirs[0].max(), 41)
    return float((_height(*ours, grid) - _height(*theirs, grid)).mean())


def _height(gained: Float, right: Float, grid: Float) -> Float:
    """The accuracy at each level of saving, on the upper staircase joined by straight lines."""
    order = np.argsort(-gained)
    reached = np.maximum.accumulate(right[order])  # who saves more may always save less
    found: Float = np.interp(grid, gained[order][::-1], reached[::-1])
    return found
