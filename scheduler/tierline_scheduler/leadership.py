"""Who plans where several schedulers run: one leads by a retained claim, the others watch; pure.

The greatest claim by (term, incarnation, name) counts, so that all agree whatever order they hear claims in.
A claim is made only where there is none, or where its holder is lost or has not been heard of for too long.
A leader acts only while it hears its own claim back: one that hung or was cut off must first find out what
happened meanwhile. Should two act for a moment all the same, nodes take no plan older than theirs.
"""

from dataclasses import dataclass, replace

from tierline_broker import Birth, Leader


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What one scheduler knows of who leads; times are seconds on its own clock.

    Attributes:
        name: ours.
        incarnation: ours.
        best: the greatest claim heard of.
        heard: when it was last heard.
        lost: its holder said goodbye, or lives another life.
    """

    name: str
    incarnation: int
    best: Leader | None = None
    heard: float = 0.0
    lost: bool = False

    @property
    def ours(self) -> bool:
        """Whether the greatest claim is ours."""
        best = self.best
        return best is not None and (best.node, best.incarnation) == (self.name, self.incarnation)

    def leads(self, now: float, patience: float) -> bool:
        """Return whether we may act: the greatest claim is ours, and was heard within `patience` seconds."""
        return self.ours and now - self.heard <= patience


def hear(office: Office, claim: Leader, now: float) -> Office:
    """Return what is known after a claim."""
    if office.best is None or _rank(claim) > _rank(office.best):
        return replace(office, best=claim, heard=now, lost=False)
    if claim == office.best:
        return replace(office, heard=now)
    return office


def meet(office: Office, birth: Birth) -> Office:
    """Return what is known after a scheduler's birth or will."""
    best = office.best
    if best is None or birth.node != best.node or birth.incarnation < best.incarnation:
        return office
    return replace(office, lost=birth.state == "lost" or birth.incarnation != best.incarnation)


def claim(office: Office, now: float, patience: float) -> Leader | None:
    """Return what to say now: our beat if the claim is ours, a new claim if nobody leads, else nothing."""
    if office.ours:
        return office.best
    if office.best is None:
        return Leader(node=office.name, incarnation=office.incarnation, term=1)
    if office.lost or now - office.heard > patience:
        return Leader(node=office.name, incarnation=office.incarnation, term=office.best.term + 1)
    return None


def _rank(one: Leader) -> tuple[int, int, str]:
    return one.term, one.incarnation, one.node
