"""What a node sees of a sample at an exit: what the bundle's cartography makes of it."""

from dataclasses import dataclass

from tierline_broker import Answer, Pool, Route, Work
from tierline_models import Cartography, Judged, Spoken, judge


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A sample at an exit, judged.

    Attributes:
        layer: of the exit.
        judged: what the cartography says.
        pool: how hard the sample looked to the first exit that saw it.
        first: whether that was this one.
        before: layer of the exit that saw it last, if any did.
        agrees: whether that one gave the same answer.
        caution: how much a gain must be below what is wanted; None where the route's gains are of another
            cartography, or there are none.
    """

    layer: int
    judged: Judged
    pool: Pool
    first: bool = True
    before: int | None = None
    agrees: bool = False
    caution: float | None = None


def look(found: Cartography | None, answer: Answer, work: Work, route: Route) -> Sight | None:
    """Judge a sample at an exit; None where nothing is known of it.

    Args:
        found: of the bundle.
        answer: of the exit.
        work: as it came, with what an exit before said.
        route: ahead, this node's own stage first.
    """
    if found is None:
        return None
    best = work.best if work.best is not None and work.best.layer < answer.layer else None
    before = None if best is None else Spoken(layer=best.layer, logits=best.output)
    said = Spoken(layer=answer.layer, logits=answer.output)
    judged = judge(found, said, before, route.stages[-1].layer)
    if judged is None:
        return None
    return Sight(
        layer=answer.layer,
        judged=judged,
        pool=work.pool or Pool(judged.pool),
        first=best is None and work.pool is None,
        before=best.layer if best is not None and judged.granted is not None else None,
        agrees=best is not None and best.label == answer.label,
        caution=found.caution if route.gains and route.router == found.digest else None,
    )
