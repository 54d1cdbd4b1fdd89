"""One message on its way out: what it says, to whom, and until when that is worth sending."""

from dataclasses import dataclass
from typing import Any

from tierline_broker.records import Work


@dataclass(frozen=True, slots=True)
class Outward:
    """One message that has a number; times are on the loop's clock."""

    work: Work
    peer: str
    sequence: int
    started: float  # when its sending was asked for
    until: float  # when to give up

    def numbered(self, sender: str, incarnation: int, now: float) -> Work:
        """Return the work as it goes out: our own, with its number and what is left of its deadline."""
        update: dict[str, Any] = {
            "sender": sender,
            "sender_incarnation": incarnation,
            "sequence": self.sequence,
            "deadline": max(0.0, self.work.deadline - (now - self.started)),
        }
        return self.work.model_copy(update=update)
