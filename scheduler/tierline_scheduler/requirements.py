"""What clients ask for, put together by the mobile node that their samples enter at."""

from collections.abc import Iterable

from tierline_broker import Requirement
from tierline_scheduler.job import Job, Jobs, priority_of
from tierline_scheduler.planner import mobiles, model_of
from tierline_scheduler.state import ClusterState, NodeState


def jobs_of(state: ClusterState) -> Jobs:
    """Return what is asked of each mobile node's plan: the strictest of all that its clients ask for.

    A client may ask for more time than the site's objective gives; the objective only holds where nobody
    says anything.
    """
    asked = [one for one, _ in state.requirements.values()]
    found = {}
    for mobile in mobiles(state):
        here = [one for one in asked if one.node in (None, mobile.name)]
        if here:
            found[mobile.name] = _job(here, model_of(mobile).accuracy)
    return found


def by_priority(nodes: Iterable[NodeState], jobs: Jobs) -> list[NodeState]:
    """Return mobile nodes in the order in which they are served: the most important first, then by name."""
    return sorted(nodes, key=lambda node: (-priority_of(jobs, node.name), node.name))


def _job(asked: list[Requirement], accuracy: float) -> Job:
    deadlines = [one.deadline for one in asked if one.deadline is not None]
    floors = [one.accuracy for one in asked if one.accuracy is not None]
    return Job(
        deadline=min(deadlines, default=None),
        accuracy_drop=max(0.0, accuracy - max(floors)) if floors else None,
        priority=max(one.priority for one in asked),
    )
