"""What is going on in a run, for whoever shows it: written by the run, read by a view."""

from collections.abc import Callable
from dataclasses import dataclass, field

from tierline_broker import Birth, Plan, Profile, Telemetry
from tierline_replay.outcome import Outcome
from tierline_replay.world import World


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSeen:
    """A plan of the mobile node, and when it came: seconds after the first request, negative before."""

    at: float
    plan: Plan


@dataclass(slots=True)
class Live:
    """The run so far.

    Attributes:
        tell: called with a line in words whenever something happens.
        requests: how many there will be, without those that are all in the cloud.
        deadline: seconds within which answers are wanted; 0 until it is known.
        world: the emulated conditions; None before they are set.
        started: when the first request was due, on the loop's clock; None before.
        births: the last of each node.
        profiles: of each node.
        telemetry: the last of each node.
        plans: of the mobile nodes, in order.
        outcomes: of both kinds, in order of ending.
    """

    tell: Callable[[str], None] = lambda _: None
    requests: int = 0
    deadline: float = 0.0
    world: World | None = None
    started: float | None = None
    births: dict[str, Birth] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    telemetry: dict[str, Telemetry] = field(default_factory=dict)
    plans: list[PlanSeen] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)

    def since_start(self, now: float) -> float:
        """Return seconds after the first request; 0 before the start."""
        return 0.0 if self.started is None else now - self.started

    @property
    def plan(self) -> Plan | None:
        """The plan in force."""
        return self.plans[-1].plan if self.plans else None
