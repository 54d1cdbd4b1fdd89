"""What one mobile node's clients ask for, where it differs from the objective of the whole site."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tierline_scheduler.errors import ObjectiveError
from tierline_scheduler.objective import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Requirements of one mobile node's samples; None where the site's objective holds.

    Attributes:
        deadline: seconds.
        accuracy_drop: how far accuracy may fall below the unsplit model's.
        priority: how much a miss weighs where servers are short of room.
        margin: standard deviations kept free before the deadline, where they were learnt.
        slow_weight: what a slow sample costs, where its class of devices has a price.
    """

    deadline: float | None = None
    accuracy_drop: float | None = None
    priority: float = 1.0
    margin: float | None = None
    slow_weight: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.priority <= 1e6:
            raise ObjectiveError(f"job priority is {self.priority}; give a number above 0, up to 1e6")


Jobs = Mapping[str, Job]
"""By the name of the mobile node."""


def priority_of(jobs: Jobs, name: str) -> float:
    """Return how important a mobile node is."""
    return jobs[name].priority if name in jobs else 1.0


def objective_of(objective: Objective, job: Job | None) -> Objective:
    """Return the site's objective with what the job says instead.

    Raises:
        ObjectiveError: the job asks for what makes no sense.
    """
    if job is None:
        return objective
    asked = {name: getattr(job, name) for name in ("deadline", "accuracy_drop", "margin", "slow_weight")}
    return replace(objective, **{name: value for name, value in asked.items() if value is not None})
