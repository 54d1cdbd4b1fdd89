"""How much time plans keep free before the deadline, learnt by network class from what clients saw; pure.

Clients say how many answers they got under their deadline, and how many of them late. What the spread of a
prediction leaves out, such as a radio's own queue, shows there alone. Each class of links has its margin: it
rises as more are late than may be, and falls as fewer are on plans that use their deadline up.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tierline_broker import Requirement
from tierline_scheduler.chance import allowed_late
from tierline_scheduler.fleet import calibrated
from tierline_scheduler.job import Job, Jobs
from tierline_scheduler.objective import Objective
from tierline_scheduler.state import ClusterState, NodeState

BATCH = 20
"""Answers of a class after which its margin is looked at."""
LEAST, MOST = 0.5, 4.0
"""Deviations: an honest model needs no fewer, and where so many do not help, time is not what is lacking."""
GAIN = 4.0
"""Deviations for a share of late answers: in a batch of 20 one more late is worth a fifth of a deviation."""
SURE = 3.0
"""Deviations by which too many are late before that counts where a plan has time to spare."""
MOST_AT_ONCE = 1000
"""Answers that one report may count for."""

Tally = tuple[int, int]
"""Answers, and how many of them were late."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Margins:
    """What was learnt; `by_class` in standard deviations.

    Attributes:
        by_class: of each network class of which anything was learnt.
        open: answers of each class since its margin was last looked at.
        told: the last absolute counts of each client, by the mobile node where its samples enter.
    """

    by_class: Mapping[str, float] = field(default_factory=dict)
    open: Mapping[str, Tally] = field(default_factory=dict)
    told: Mapping[tuple[str, str], Tally] = field(default_factory=dict)


CLASSES = frozenset({"unknown", *(f"1e{power}" for power in range(3, 8))})
"""Every class that `network_class` knows."""


def network_class(node: NodeState) -> str:
    """Return the class of a mobile node's network: the power of ten of its bytes per second."""
    best = max((link.rate.value for link in node.links.values()), default=0.0)
    return "unknown" if best <= 0 else f"1e{min(7, max(3, math.floor(math.log10(best))))}"


def hear(
    margins: Margins,
    report: Requirement,
    state: ClusterState,
    objective: Objective,
    promises: Mapping[str, bool],
) -> Margins:
    """Return what is known after a client's report.

    Args:
        margins: what was learnt so far.
        report: with the client's absolute counts.
        state: what is known of the nodes, and their plans.
        objective: of the site, whose margin says which share may be late.
        promises: mobile nodes whose plans are to keep their deadline; where one has time to spare (false),
            few late say nothing, and many do.
    """
    target = allowed_late(objective.margin)
    for name, (seen, late) in report.outcomes.items():
        node, plan = state.nodes.get(name), state.plans.get(name)
        before = margins.told.get((report.client, name), (0, 0))
        told = {**_current(margins.told, state), (report.client, name): (seen, late)}
        margins = replace(margins, told=told)
        new, missed = _since(before, (seen, late))
        counts = plan is not None and report.deadline is not None and plan.deadline <= report.deadline
        tight = promises.get(name)
        if node is None or not counts or tight is None or not (tight or _too_many(missed, new, target)):
            continue
        margins = _counted(margins, network_class(node), (new, missed), objective, target)
    return margins


def with_margins(jobs: Jobs, nodes: Mapping[str, NodeState], margins: Mapping[str, float]) -> Jobs:
    """Return the jobs of mobile nodes with the margins that their network classes have learnt."""
    learnt = {name: margins.get(network_class(node)) for name, node in nodes.items()}
    known = {
        name: replace(jobs.get(name, Job()), margin=margin)
        for name, margin in learnt.items()
        if margin is not None
    }
    return {**jobs, **known}


def _counted(margins: Margins, kind: str, new: Tally, objective: Objective, target: float) -> Margins:
    seen, late = (a + b for a, b in zip(margins.open.get(kind, (0, 0)), new, strict=True))
    if seen < BATCH:
        return replace(margins, open={**margins.open, kind: (seen, late)})
    margin = calibrated(margins.by_class.get(kind, objective.margin), late, seen, target, gain=GAIN)
    return replace(
        margins,
        open={**margins.open, kind: (0, 0)},
        by_class={**margins.by_class, kind: min(MOST, max(LEAST, margin))},
    )


def _too_many(late: int, seen: int, target: float) -> bool:
    """Return whether more are late than chance explains, which would else only ever raise a margin."""
    return late > target * seen + SURE * math.sqrt(target * (1 - target) * seen)


def _since(before: Tally, now: Tally) -> Tally:
    """Return what has come since; a client whose counts fall has begun anew. Nobody counts for everybody."""
    old = before if before[0] <= now[0] and before[1] <= now[1] else (0, 0)
    seen = now[0] - old[0]
    late = min(now[1] - old[1], seen)
    if seen <= MOST_AT_ONCE:
        return seen, late
    return MOST_AT_ONCE, round(late / seen * MOST_AT_ONCE)


def _current(told: Mapping[tuple[str, str], Tally], state: ClusterState) -> dict[tuple[str, str], Tally]:
    return {key: tally for key, tally in told.items() if key[0] in state.requirements}
