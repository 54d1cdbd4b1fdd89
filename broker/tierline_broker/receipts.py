"""Times messages by their receipts, pure: what was sent when, what arrived when, what that says of the links.

All peers share this device's way out, so a message that was sent while another still was on its way out is
timed from that one's departure, not from its own sending: queueing here is not the link's slowness. For that,
receipts are worked through in the order of sending; one that is missing for long holds up nothing else.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace

from tierline_broker.links import SIZEABLE_BYTES, LinkEstimate, LinkHistory, estimate, observe
from tierline_broker.records import LinkReport

_FLIGHTS = 4000  # remembered
_PATIENCE_SECONDS = 2.0  # for the receipt of a message, while later ones have theirs
_OVERDUE = 3.0  # times as long as usual that a large message is under way before that says something ...
_LEAST_OVERDUE_SECONDS = 0.5  # ... and at least
_REFRESH = 8  # observations after which the round trip is worked out again


@dataclass(slots=True)
class _Flight:
    """A message on its way."""

    peer: str
    size: int
    started: float
    arrived: float | None = None
    lost: bool = False
    overdue: bool = False


@dataclass(slots=True)
class _Measured:
    """What is known of one link."""

    history: LinkHistory
    known: LinkEstimate | None = None
    fresh_until: int = 0  # observations
    heard: float = 0.0  # when the last receipt came
    stalled: bool = False

    def bound(self, size: int, seconds: float, now: float) -> None:
        """Take what is still under way for the link's rate: what larger messages said before is refuted."""
        self.history = observe(replace(self.history, sizeable=()), size, seconds, now)
        self.fresh_until, self.stalled = 0, True

    def saw(self, size: int, seconds: float, now: float) -> None:
        """Take one message that has arrived; the first after a stall takes the place of its bound."""
        if self.stalled and size >= SIZEABLE_BYTES:
            self.history, self.stalled = replace(self.history, sizeable=()), False
        self.history = observe(self.history, size, seconds, now)


class Receipts:
    """The messages on their way from one sender, and what the arrived ones said of its links."""

    def __init__(self) -> None:
        self._flights: dict[tuple[str, int], _Flight] = {}
        self._order: deque[_Flight] = deque()
        self._left: float | None = 0.0  # when the message last worked through was out; None: nobody knows
        self._links: dict[str, _Measured] = {}

    def sent(self, peer: str, sequence: int, size: int, now: float) -> None:
        """Note that a message goes out now, or joins the queue behind those that do."""
        flight = self._flights[peer, sequence] = _Flight(peer, size, now)
        self._order.append(flight)
        if len(self._flights) > _FLIGHTS:
            self._flights.pop(next(iter(self._flights))).lost = True
            self._work_through(now)

    def lost(self, peer: str, sequence: int) -> None:
        """Note that a message did not go out undisturbed, so that its receipt says nothing."""
        flight = self._flights.pop((peer, sequence), None)
        if flight is not None:
            flight.lost = True

    def gone(self, peer: str) -> None:
        """Note that a peer will send no receipts any more."""
        for key in [key for key in self._flights if key[0] == peer]:
            self._flights.pop(key).lost = True

    def received(self, peer: str, arrivals: Iterable[tuple[int, float]], now: float) -> None:
        """Take receipts, as pairs of sequence number and seconds ago."""
        for sequence, ago in arrivals:
            flight = self._flights.pop((peer, sequence), None)
            if flight is not None:
                flight.arrived = now - ago
                if (link := self._links.get(peer)) is not None:
                    link.heard = now
        self._work_through(now)

    @property
    def under_way(self) -> bool:
        """Whether a message is on its way that may yet turn out to be overdue."""
        flight = self._first_out()
        return flight is not None and not flight.overdue

    def overdue(self, now: float) -> tuple[str, ...]:
        """Learn from a large message that is still on its way: a link that carries nothing says so only so.

        Nothing is ahead of the first that has not arrived. So its bytes, over its time so far, are the most
        that the link can carry: the way out of this device, and so of all peers that were not heard of since.

        Returns:
            The peers whose links stall, where that was not known yet.
        """
        flight = self._first_out()
        link = None if flight is None else self._links.get(flight.peer)
        known = None if link is None else estimate(link.history)
        if flight is None or link is None or known is None or flight.size < SIZEABLE_BYTES:
            return ()
        began = flight.started if self._left is None else max(flight.started, self._left)
        usual = known.rtt + flight.size / known.bytes_per_second
        if not flight.overdue and now - began <= max(_LEAST_OVERDUE_SECONDS, _OVERDUE * usual):
            return ()
        new, flight.overdue = not flight.overdue, True
        link.bound(flight.size, now - began, now)
        silent = [peer for peer, one in self._links.items() if one is link or one.heard < began]
        for peer in silent:
            one = self._links[peer]
            carried = estimate(one.history)
            if one is not link and carried and carried.bytes_per_second * (now - began) > flight.size:
                one.bound(flight.size, now - began, one.history.observed_at)
        return tuple(silent) if new else ()

    def stalled(self, peer: str) -> bool:
        """Return whether nothing sizeable has come through since a message to the peer was overdue."""
        link = self._links.get(peer)
        return link is not None and link.stalled

    def _first_out(self) -> _Flight | None:
        """Return the first message that may still be on its way; what was sent later has not arrived."""
        first, overtaken = None, set()
        for flight in reversed(self._order):
            if flight.arrived is not None:
                overtaken.add(flight.peer)
            elif not flight.lost and flight.peer not in overtaken:
                first = flight
        return first

    def estimate(self, peer: str) -> LinkEstimate | None:
        """Return what is known of the link to a peer; a few observations old, at most."""
        link = self._links.get(peer)
        if link is None:
            return None
        if link.history.count >= link.fresh_until:
            link.known = estimate(link.history)
            link.fresh_until = link.history.count + (_REFRESH if link.history.count > _REFRESH else 1)
        return link.known

    def report(self, peer: str, now: float) -> LinkReport | None:
        """Return the report on the link to a peer; None where nothing is known."""
        link = self._links.get(peer)
        known = None if link is None else estimate(link.history)
        if link is None or known is None:
            return None
        return LinkReport(
            peer=peer,
            bytes_per_second=known.bytes_per_second,
            rtt=min(known.rtt, 86_400.0),
            age=min(max(0.0, now - link.history.observed_at), 86_400.0),
            observations=link.history.count,
            stalled=link.stalled,
        )

    def peers(self) -> list[str]:
        """Return the peers of which something is known."""
        return list(self._links)

    def _work_through(self, now: float) -> None:
        while self._order:
            flight = self._order[0]
            if flight.arrived is not None:
                self._observe(flight, flight.arrived, now)
            elif flight.lost or now - flight.started > _PATIENCE_SECONDS:
                self._left = None
            else:
                return
            self._order.popleft()

    def _observe(self, flight: _Flight, arrived: float, now: float) -> None:
        left, self._left = self._left, None
        # The one before left after this one arrived: it took another way out.
        began = flight.started if left is None or left >= arrived else max(flight.started, left)
        if arrived <= began:
            return
        if left is not None:
            link = self._links.setdefault(flight.peer, _Measured(LinkHistory()))
            link.saw(flight.size, arrived - began, now)
        known = self.estimate(flight.peer)
        self._left = arrived if known is None else max(flight.started, arrived - known.rtt)
