"""A scheduler's settings, checked when they are made."""

from dataclasses import dataclass, field

from tierline_broker import is_name
from tierline_scheduler.errors import ObjectiveError
from tierline_scheduler.objective import Objective, Reluctance


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerConfig:
    """Where one scheduler works, and what for; times in seconds.

    Attributes:
        name: of this scheduler, its own level of the topics.
        broker: URL.
        round_seconds: between rounds; a birth or a death calls for one at once.
        silence: a node unheard of for this long is left out of plans until it speaks again.
        patience: rounds without a word from the scheduler that leads, after which another takes over.
        settle_seconds: before the first round on a connection, so that retained records are all in.
        alike: p95 of the class of devices that waits longest by that which waits least; 0: as it comes.
        alike_seconds: that the prices are held for which keep it.
    """

    name: str
    broker: str
    site: str = "default"
    objective: Objective = field(default_factory=Objective)
    reluctance: Reluctance = field(default_factory=Reluctance)
    round_seconds: float = 1.0
    silence: float = 6.0
    patience: float = 3.0
    settle_seconds: float = 0.3
    alike: float = 0.0
    alike_seconds: float = 60.0
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def patience_seconds(self) -> float:
        """The same in seconds."""
        return self.patience * self.round_seconds

    def __post_init__(self) -> None:
        for what, value in (("name", self.name), ("site", self.site)):
            if not is_name(value):
                raise ObjectiveError(f"{what} {value!r} is not lower-case letters, digits and hyphens")
        if self.alike and not 1 < self.alike <= 1000:
            raise ObjectiveError(f"alike is {self.alike}; give a ratio above 1, up to 1000, or 0 for none")
        for what, seconds in (
            ("round_seconds", self.round_seconds),
            ("silence", self.silence),
            ("alike_seconds", self.alike_seconds),
        ):
            if not 0 < seconds <= 3600:
                raise ObjectiveError(f"{what} is {seconds}; give seconds above 0, up to 3600")
