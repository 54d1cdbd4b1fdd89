"""A whole task: all rules on the same records, what is shown of each, and what is promised."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from tierline_cartography.analysis import rules
from tierline_cartography.analysis.cost import Prices, Transport, saved
from tierline_cartography.analysis.guarantee import conformal_risk_control, learn_then_test
from tierline_cartography.analysis.judge import holm
from tierline_cartography.analysis.published import dimec, dimee
from tierline_cartography.analysis.rules import Rule
from tierline_cartography.analysis.said import Float, Said, sides
from tierline_cartography.analysis.stopping import OURS, gain_rule
from tierline_cartography.analysis.verdicts import (
    Ahead,
    Curve,
    Outcome,
    ahead,
    at_equal_drop,
    curve,
    freeze,
    outcomes,
    seal,
    strongest,
    strongest_exit,
)
from tierline_cartography.errors import PoolError
from tierline_cartography.records import Records

ORACLE = "oracle"
THRESHOLDS = ("confidence, one threshold", "confidence, two thresholds")
DRAWS_TRYING = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """What the records of a task say for one choice of exits."""

    task: str
    exits: tuple[int, ...]
    all_cloud: str  # what it is taken to be, the strongest there is
    all_cloud_accuracy: float
    accuracy: tuple[float, ...]  # of every exit on test, mean over seeds
    sealed: str  # digest of all settings, from before the test set was opened
    outcomes: dict[str, Outcome]
    curves: dict[str, Curve]
    ahead: dict[str, Ahead]  # ours against each
    corrected: dict[str, float]  # p-values after Holm
    oracle_saved: float  # at the drop of ours


def all_rules(records: Records, validation: Said, prices: Prices) -> list[Rule]:
    """Ours, the baselines, and what knowing the labels would give."""
    listed = [
        gain_rule(validation, prices),
        rules.one_threshold(),
        rules.two_thresholds(),
        rules.entropy(),
        rules.patience(),
        rules.split_ee(layer=prices.layer, offload=prices.offload),
        rules.window_quantile(),
        rules.random_mix(validation),
        rules.always(validation),
        rules.oracle(),
    ]
    return [*listed, *_published(records, validation.exits, prices.offload)]


def evaluate(records: Records, exits: tuple[int, ...]) -> Evaluation:
    """Freeze every rule's setting on validation, seal them, then open the test set; cost is layers."""
    validation, test = sides(records, exits)
    prices = Prices()
    listed = all_rules(records, validation, prices)
    frozen = freeze(listed, validation, strongest_exit(validation), prices, samples=len(test.labels))
    sealed = seal(frozen)
    full = strongest(test)
    found = outcomes(listed, frozen, test, full, prices)
    curves = {rule.name: curve(rule, validation, test, prices) for rule in listed}
    against = {name: ahead(curves[OURS], one) for name, one in curves.items() if name not in (OURS, ORACLE)}
    return Evaluation(
        task=records.task,
        exits=exits,
        all_cloud=full.name,
        all_cloud_accuracy=float(full.right.mean()),
        accuracy=tuple(float(one) for one in test.right.mean((0, 2))),
        sealed=sealed,
        outcomes=found,
        curves=curves,
        ahead=against,
        corrected=holm({name: one.p_value for name, one in against.items()}),
        oracle_saved=at_equal_drop(test, full, found[OURS].drop.point),
    )


def published_costs(
    records: Records,
    exits: tuple[int, ...],
    offload: float,
    *,
    free_cloud: bool = False,
    transport: Transport = "resume",
) -> dict[str, Outcome]:
    """The same in the literature's unit: 0.1 a layer, and so much for a sample that leaves the mobile.

    Args:
        records: of a task.
        exits: one a tier.
        offload: the price of leaving the mobile.
        free_cloud: the cloud's layers cost nothing, as in SplitEE's released code.
        transport: of the rules that look at one exit after the other; those that choose a tier beforehand go
            straight there.
    """
    validation, test = sides(records, exits)
    prices = Prices(offload=offload, free_cloud=free_cloud)
    listed = [_carried(rule, transport) for rule in all_rules(records, validation, prices)]
    listed = [rule for rule in listed if rule.name != ORACLE]
    frozen = freeze(listed, validation, strongest_exit(validation), prices, samples=len(test.labels))
    return outcomes(listed, frozen, test, strongest(test), prices)


def _carried(rule: Rule, transport: Transport) -> Rule:
    return rule if rule.transport == "direct" else replace(rule, transport=transport)


def hindsight(records: Records, exits: tuple[int, ...]) -> dict[str, Outcome]:
    """What ours and two thresholds would save, shown, by the settings that the test set itself would choose.

    Nobody could have known them, so this bounds what any choice of settings saves with these exits. A rule
    that shows nothing is left out.
    """
    validation, test = sides(records, exits)
    full = strongest(test)
    found: dict[str, Outcome] = {}
    for rule in (gain_rule(validation), rules.two_thresholds()):
        layers = {one: float(test.layers[rule.choose(test, one)].mean()) for one in rule.settings}
        for setting in sorted(layers, key=lambda one: layers[one]):
            tried = outcomes([rule], {rule.name: setting}, test, full, draws=DRAWS_TRYING)
            if tried[rule.name].drop.shown:
                found |= tried
                break
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """How a guarantee fared over many calibration sets."""

    method: str
    budget: float  # points
    broken: float  # share of sets whose setting loses more than the budget on the pool
    drop: float  # mean over the sets, points
    saved: float  # mean share of layers
    unable: float  # share of sets that certify nothing, so that everything goes to the last exit


def promises(records: Records, exits: tuple[int, ...], budget: float, *, sets: int = 200) -> list[Promise]:
    """Draw calibration sets from the test pool, certify a setting on each, and look at the pool.

    The rule is fitted on validation, so the pool is fresh to it. Each set is of one seed's model.
    """
    validation, test = sides(records, exits)
    full = strongest(test)
    rule = gain_rule(validation)
    deepest, _, later = freeze([rule], validation, strongest_exit(validation))[rule.name]
    order = [one for one in rule.settings if one[::2] == (deepest, later)]  # the less is wanted, the safer
    chosen = [rule.choose(test, setting) for setting in order]
    loss = np.stack([full.right - test.right_at(one) for one in chosen])
    gained = np.stack([saved(one, exits, Prices()).mean(1) for one in chosen])  # (K, S)
    source = np.random.default_rng(0)
    found: dict[str, list[tuple[float, float]]] = {"Learn-then-Test": [], "conformal risk control": []}
    for turn in range(sets):
        seed = turn % loss.shape[1]
        drawn = source.integers(0, loss.shape[2], loss.shape[2])
        sample = list(loss[:, seed, drawn])
        for name, place in (
            ("Learn-then-Test", learn_then_test(sample, budget / 100)),
            ("conformal risk control", conformal_risk_control(sample, budget / 100)),
        ):
            kept = (np.nan, 0.0) if place is None else (loss[place, seed].mean(), gained[place, seed])
            found[name].append((100 * float(kept[0]), float(kept[1])))
    return [_promise(name, np.array(rows), budget) for name, rows in found.items()]


def _promise(name: str, rows: Float, budget: float) -> Promise:
    certified = ~np.isnan(rows[:, 0])
    return Promise(
        method=name,
        budget=budget,
        broken=float((rows[certified, 0] > budget).sum() / len(rows)),
        drop=float(np.where(certified, rows[:, 0], 0.0).mean()),
        saved=float(rows[:, 1].mean()),
        unable=float(1 - certified.mean()),
    )


def _published(records: Records, exits: tuple[int, ...], offload: float) -> list[Rule]:
    if len(exits) != 3 or records.train_embedding is None:
        return []
    first, second, third = exits
    tiers = (first, second, third)
    found = []
    makers: list[Callable[[], Rule]] = [
        lambda: dimec(records, tiers, offload=offload, reading="ambiguous"),
        lambda: dimec(records, tiers, offload=offload, reading="hard-to-learn"),
        lambda: dimee(records, tiers),
    ]
    for make in makers:
        try:
            found.append(make())
        except PoolError:
            continue  # its pools are degenerate on these records, which the table then shows by its absence
    return found
