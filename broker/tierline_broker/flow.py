"""Window arithmetic, pure: how much a sender may send, and what a receiver grants.

Numbers are absolute ("up to number 57"), so any lost message is healed by the next one. Both sides name
their incarnation, so that a restart of either is a fresh start and never a dead lock.
"""

from dataclasses import dataclass, replace

MAX_WINDOW = 1000
"""No grant reaches further than this beyond what was sent: stock Mosquitto queues no more for one client."""

MAX_NUMBER = 2**63 - 1
"""The largest number that a record holds; only a hostile sender ever gets there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A sender's view of one peer."""

    peer_incarnation: int
    sent: int = 0  # highest sequence number used
    granted: int = 0  # ... and up to which the peer takes work
    received: int = 0  # highest that is known to have arrived

    @property
    def free(self) -> int:
        """How many messages may be sent now."""
        return max(0, self.granted - self.sent)


def peer_born(window: Outgoing | None, incarnation: int, size: int) -> Outgoing:
    """Return the window after a peer's birth: a new life takes `size` messages more than were ever sent."""
    if window is None:
        return Outgoing(peer_incarnation=incarnation, granted=min(size, MAX_WINDOW))
    if incarnation <= window.peer_incarnation:
        return window
    return replace(window, peer_incarnation=incarnation, granted=window.sent + min(size, MAX_WINDOW))


def credited(window: Outgoing, incarnation: int, granted: int, received: int) -> Outgoing:
    """Return the window after a grant; one of an earlier life, or late, changes nothing."""
    if incarnation < window.peer_incarnation or received > window.sent:
        return window
    granted = min(granted, window.sent + MAX_WINDOW)
    if incarnation > window.peer_incarnation:
        return replace(window, peer_incarnation=incarnation, granted=granted, received=received)
    return replace(window, granted=max(granted, window.granted), received=max(received, window.received))


def spent(window: Outgoing) -> Outgoing:
    """Return the window after one more message, which has the number `sent` of the result."""
    return replace(window, sent=window.sent + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A receiver's view of one sender."""

    sender_incarnation: int
    size: int
    taken: int = 0  # highest sequence number taken

    @property
    def granted(self) -> int:
        """Up to which number the sender may send: what is lost on the way counts as taken."""
        return min(self.taken + self.size, MAX_NUMBER)


def took(window: Incoming | None, incarnation: int, sequence: int, size: int) -> Incoming:
    """Return the window after taking a message; one of a sender's earlier life changes nothing."""
    if window is None or incarnation > window.sender_incarnation:
        return Incoming(sender_incarnation=incarnation, size=size, taken=sequence)
    if incarnation < window.sender_incarnation:
        return window
    return replace(window, taken=max(window.taken, sequence))
