"""How long to wait before connecting again, and what the losses so far look like; pure: time is passed in."""

from dataclasses import dataclass

FIRST_SECONDS = 0.05
MOST_SECONDS = 2.0
STABLE_SECONDS = 5.0  # a connection that stood so long ends a row of losses
# Two programs that take one name from each other leave it with either for about as long as the other waits.
RIVAL_MOST_SECONDS = 30.0
RIVAL_STABLE_SECONDS = 60.0
SUSPICIOUS = 4  # losses in a row, each soon after the connect
_MOST_DOUBLINGS = 16


@dataclass(slots=True)
class Backoff:
    """Counts what failed in a row; a connection that stood for a while begins a new row.

    Attributes:
        failures: connects and connections that failed, in a row.
        short_lived: of these, the connections that were made and soon lost.
    """

    failures: int = 0
    short_lived: int = 0

    def failed(self, stood: float | None, *, rival: bool = False) -> float:
        """Take a failure and return the most seconds to wait: the caller draws from zero to that.

        Args:
            stood: how long the connection stood; None where none was made.
            rival: whether the broker gave our place to another program of our name.
        """
        if stood is not None:
            if stood >= (RIVAL_STABLE_SECONDS if rival else STABLE_SECONDS):
                self.failures = self.short_lived = 0
            self.short_lived += stood < STABLE_SECONDS
        most = RIVAL_MOST_SECONDS if rival else MOST_SECONDS
        ceiling = min(most, FIRST_SECONDS * float(2**self.failures))
        self.failures = min(self.failures + 1, _MOST_DOUBLINGS)
        return ceiling

    @property
    def suspicious(self) -> bool:
        """Whether connections are made and lost again and again, as under two programs of one name."""
        return self.short_lived >= SUSPICIOUS
