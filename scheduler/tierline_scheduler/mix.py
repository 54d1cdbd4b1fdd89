"""How the samples that come differ from those that a model was measured on: pools, and drift of its exits.

Nodes report pools and drift as counts. A window of the latest is kept of them; what is planned with is a mix
that follows the window only where it has moved further than chance and a little more.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tierline_broker import ExitReport, Pool, RouteCard
from tierline_scheduler.model import Model

WINDOW = 200.0
"""Samples after which an old one counts for a third."""
LEAST = 50.0
"""Samples in a window from which it says anything."""
MOVED, STEP = 0.1, 0.05
"""A share of a pool that has moved by so much is followed, in steps: there are not many mixes to plan for."""
DRIFTED, DRIFT_STEP = 0.03, 0.02
"""The same of what an exit claims too much."""
DEVIATIONS = 3.0
_SHARE_SD, _CLAIM_SD = 0.5, 0.3  # of one sample, at the most
_NO_REPORT = ExitReport(layer=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """What later exits say of one exit's answers, over a window."""

    checked: float = 0.0
    claimed: float = 0.0
    granted: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """The window that is kept of one node's reports.

    Attributes:
        told: the last report of each exit, whose counts are absolute.
        pools: samples in each, seen first by this node.
        checks: by exit.
        quiet: reports since one last told of a sample.
    """

    told: Mapping[int, ExitReport] = field(default_factory=dict)
    pools: Mapping[Pool, float] = field(default_factory=dict)
    checks: Mapping[int, Check] = field(default_factory=dict)
    quiet: int = 0

    @property
    def samples(self) -> float:
        """In the window."""
        return sum(self.pools.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """What is planned with; as measured where nothing is said.

    Attributes:
        pools: the share of each.
        drift: by exit, how much more it claims than when it was measured; never less than nothing.
    """

    pools: tuple[tuple[Pool, float], ...] = ()
    drift: tuple[tuple[int, float], ...] = ()

    @property
    def words(self) -> str:
        """The same for people; empty where nothing is said."""
        told = [f"{share:.0%} {pool}" for pool, share in self.pools]
        told += [f"exit {layer} claims {more:.0%} too much" for layer, more in self.drift]
        return ", ".join(told)


def watch(before: Watch, reports: Iterable[ExitReport]) -> Watch:
    """Return the window after one more report of a node's exits."""
    told = {one.layer: one for one in reports}
    fresh = dict.fromkeys(Pool, 0.0)
    checks = dict(before.checks)
    for layer, now in told.items():
        last = before.told.get(layer, _NO_REPORT)
        for pool, count in now.pools.items():
            fresh[pool] += max(0, count - last.pools.get(pool, 0))
        checks[layer] = _checked(before.checks.get(layer, Check()), last, now)
    came = sum(fresh.values())
    keep, take = _weights(came)
    return Watch(
        told=told,
        pools={pool: keep * before.pools.get(pool, 0.0) + take * fresh[pool] for pool in Pool},
        checks=checks,
        quiet=0 if came else before.quiet + 1,
    )


def settle(model: Model, adopted: Mix, pools: Watch | None, checks: Sequence[Watch]) -> Mix:
    """Return the mix to plan with now.

    Args:
        model: as it was measured.
        adopted: what was planned with so far.
        pools: whose window says how hard samples look; None where none does.
        checks: of the nodes that see how exits agree.
    """
    return Mix(pools=_pools(model, adopted, pools), drift=_drift(model, adopted, checks))


def follow(model: Model, mix: Mix) -> Model:
    """Return the model with shares and accuracies of its routes as they are in this mix.

    Within a pool samples are taken to be as they were measured. What an exit claims too much is charged to
    the accuracy of all that it answers before the end.
    """
    if mix == Mix() or not model.pools:
        return model
    shift = {pool: share - model.pools.get(pool, 0.0) for pool, share in mix.pools}
    drift = dict(mix.drift)
    routes = {
        exits: tuple(_shifted(card, shift, drift) for card in cards) for exits, cards in model.routes.items()
    }
    whole = next((card for card in model.routes.get(model.exits[-1:], ())), None)
    more = 0.0 if whole is None else _more(whole, shift)
    return replace(
        model,
        key=f"{model.key}@{mix.pools}{mix.drift}",
        accuracy=_share(model.accuracy + more),
        routes=routes,
    )


def _checked(before: Check, last: ExitReport, now: ExitReport) -> Check:
    came = max(0, now.checked - last.checked)
    keep, take = _weights(came)
    return Check(
        checked=keep * before.checked + take * came,
        claimed=keep * before.claimed + take * max(0.0, now.claimed - last.claimed),
        granted=keep * before.granted + take * max(0.0, now.granted - last.granted),
    )


def _weights(came: float) -> tuple[float, float]:
    """Return what the old and the fresh samples of a window count for."""
    return math.exp(-came / WINDOW), min(1.0, WINDOW / max(came, 1.0))


def _pools(model: Model, adopted: Mix, seen: Watch | None) -> tuple[tuple[Pool, float], ...]:
    if not model.pools or seen is None or seen.samples < LEAST:
        return adopted.pools
    shares = {pool: seen.pools[pool] / seen.samples for pool in Pool}
    current = dict(adopted.pools) or model.pools
    if not _moved(shares, current, seen.samples):
        return adopted.pools
    if not _moved(shares, model.pools, seen.samples):
        return ()
    medium, hard = (round(shares[pool] / STEP) * STEP for pool in (Pool.MEDIUM, Pool.HARD))
    easy = max(0.0, 1 - medium - hard)
    told = zip(Pool, (easy, medium, hard), strict=True)
    return tuple((pool, round(share / (easy + medium + hard), 4)) for pool, share in told)


def _moved(shares: Mapping[Pool, float], old: Mapping[Pool, float], samples: float) -> bool:
    noise = DEVIATIONS * _SHARE_SD / math.sqrt(samples)
    return max(abs(shares[pool] - old.get(pool, 0.0)) for pool in Pool) > max(MOVED, noise)


def _drift(model: Model, adopted: Mix, watches: Sequence[Watch]) -> tuple[tuple[int, float], ...]:
    found = {}
    for layer, usual in model.overclaims.items():
        checks = [one.checks[layer] for one in watches if layer in one.checks]
        checked = sum(one.checked for one in checks)
        old = dict(adopted.drift).get(layer, 0.0)
        found[layer] = old
        if checked < LEAST:
            continue
        noise = DEVIATIONS * _CLAIM_SD / math.sqrt(checked)
        more = sum(one.claimed - one.granted for one in checks) / checked - usual
        charged = max(0.0, more - noise)
        if abs(charged - old) > DRIFTED:
            found[layer] = round(round(charged / DRIFT_STEP) * DRIFT_STEP, 4)
    return tuple((layer, more) for layer, more in sorted(found.items()) if more > 0)


def _shifted(card: RouteCard, shift: Mapping[Pool, float], drift: Mapping[int, float]) -> RouteCard:
    shares = [
        _share(
            share + sum(shift[pool] * one.shares[place] for pool, one in card.pools.items() if pool in shift)
        )
        for place, share in enumerate(card.shares)
    ]
    total = sum(shares)
    shares = [share / total for share in shares]
    early = zip(card.exits[:-1], shares, strict=False)
    wrong = sum(drift.get(layer, 0.0) * share for layer, share in early)
    accuracy = _share(card.accuracy + _more(card, shift) - wrong)
    return card.model_copy(update={"shares": tuple(shares), "accuracy": accuracy})


def _more(card: RouteCard, shift: Mapping[Pool, float]) -> float:
    return sum(shift[pool] * one.accuracy for pool, one in card.pools.items() if pool in shift)


def _share(value: float) -> float:
    return min(1.0, max(0.0, value))
