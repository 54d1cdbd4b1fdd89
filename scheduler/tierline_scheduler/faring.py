"""What a slow sample costs in each class of devices, so that classes fare alike; for the loop of minutes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import log2

import numpy as np

from tierline_scheduler.fleet.alike import never, settle_alike
from tierline_scheduler.fleet.devices import levels_up_to
from tierline_scheduler.fleet.snapshot import snapshot
from tierline_scheduler.job import Job, Jobs
from tierline_scheduler.margins import with_margins
from tierline_scheduler.objective import Objective
from tierline_scheduler.planner import ledger_of, mobiles
from tierline_scheduler.requirements import jobs_of
from tierline_scheduler.state import ClusterState, NodeState
from tierline_scheduler.view import Traffic, device

SPARE = 0.02
"""Share of the ratio kept free: plans differ a little from what the fleet's columns predict."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SlowPrices:
    """Prices at which classes of devices fare alike, held until the next search.

    Attributes:
        after: seconds after which a sample is slow; 0: there is nothing to pay.
        by_class: what a slow sample costs, in weighted seconds of work.
        seconds: p95 of each class, as the fleet's columns predict it at these prices.
    """

    after: float = 0.0
    by_class: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def ratio(self) -> float:
        """The longest p95 of a class by the shortest; 1 where there are no two classes."""
        return max(self.seconds.values(), default=1.0) / max(min(self.seconds.values(), default=1.0), 1e-12)


def device_classes(state: ClusterState) -> dict[str, str]:
    """Return each usable mobile node's class: to a power of two, how often slower than the fastest node is.

    By profiles alone, so that classes do not come and go with load.
    """
    whole = {name: _whole_seconds(node) for name, node in state.nodes.items() if node.usable}
    fastest: dict[str, float] = {}
    for name, seconds in whole.items():
        model = _digest(state.nodes[name])
        fastest[model] = min(seconds, fastest.get(model, seconds))
    return {
        node.name: f"{2 ** round(log2(whole[node.name] / fastest[_digest(node)]))} times slower"
        for node in mobiles(state)
    }


def slow_prices(
    state: ClusterState,
    objective: Objective,
    ratio: float,
    *,
    margins: Mapping[str, float] | None = None,
    known: SlowPrices | None = None,
    stop: Callable[[], bool] = never,
) -> SlowPrices:
    """Return prices that keep the p95 of every class of devices within `ratio` times the shortest one.

    Args:
        state: what is known.
        objective: of the site.
        ratio: above 1.
        margins: that network classes have learnt.
        known: prices that held not long ago.
        stop: asked between rounds of the search whether to be content with what was found so far.
    """
    everybody, class_of = mobiles(state), device_classes(state)
    jobs = with_margins(jobs_of(state), {node.name: node for node in everybody}, margins or {})
    taken = snapshot(state, everybody, objective, jobs, ledger_of(state, objective)) if everybody else None
    names = sorted(set(class_of.values()))
    if taken is None or len(names) < 2:
        return SlowPrices()
    before = {} if known is None else known.by_class
    found = settle_alike(
        taken.fleet,
        objective,
        np.array([names.index(class_of[name]) for name in taken.mobiles]),
        max(1.0, ratio * (1 - SPARE)),
        levels=levels_up_to(objective.max_utilisation),
        known=np.array([before.get(name, 0.0) for name in names]),
        stop=stop,
    )
    return SlowPrices(
        after=found.objective.slow_after if found.price.any() else 0.0,
        by_class=dict(zip(names, found.price.tolist(), strict=True)),
        seconds=dict(zip(names, found.seconds.tolist(), strict=True)),
    )


def with_slow_prices(
    objective: Objective, jobs: Jobs, state: ClusterState, slow: SlowPrices
) -> tuple[Objective, Jobs]:
    """Return the objective and the jobs of mobile nodes, slow samples paid for by the classes' prices."""
    if not slow.after:
        return objective, jobs
    prices = {name: slow.by_class.get(kind, 0.0) for name, kind in device_classes(state).items()}
    weighed = {
        name: replace(jobs.get(name, Job()), slow_weight=objective.slow_weight + price)
        for name, price in prices.items()
    }
    return replace(objective, slow_after=slow.after), {**jobs, **weighed}


def _whole_seconds(node: NodeState) -> float:
    return max(1e-12, float(device(replace(node, speed=None), Traffic()).ready_at[-1]))


def _digest(node: NodeState) -> str:
    return "" if node.model is None else node.model.digest
