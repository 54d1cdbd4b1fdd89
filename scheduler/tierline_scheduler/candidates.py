"""Every way to run one model over a chain of tiers, before anybody asks which nodes and links carry it.

A candidate is a chain of legs (first the mobile node's), a hand-off for each, and a measured route whose
exits are those that the legs really contain. A node decides at the last exit within its own leg; a leg
without an exit passes everything on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product

from tierline_broker import RAW_INPUT, Pool, Route, RouteCard, Stage, Tier
from tierline_scheduler.model import Model

CHAINS: tuple[tuple[Tier, ...], ...] = (
    (Tier.MOBILE,),
    (Tier.MOBILE, Tier.EDGE),
    (Tier.MOBILE, Tier.CLOUD),
    (Tier.MOBILE, Tier.EDGE, Tier.CLOUD),
)
"""Which tiers may take part. The mobile node always does, if only to send the raw input on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Leg:
    """What one node does to a sample that reaches it.

    It computes from layer `start` to `pause`, its last exit, where a sample may leave (`start` itself where
    there is no exit); samples that travel on as an activation are brought from there to `stop` first.
    """

    tier: Tier
    layer: int  # as the plan says it: blocks computed when the leg is done
    codec: str  # how the sample arrives
    received_bytes: int
    start: int
    pause: int
    stop: int
    exit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One way to run the model.

    Attributes:
        legs: at least one; the last ends at an exit.
        used: for each leg but the last, whether samples leave there.
        card: what was measured when samples leave at exactly these exits.
        reach: the share of samples that reaches each leg; the first is 1.
        router: digest of what the card's gains are of.
    """

    legs: tuple[Leg, ...]
    used: tuple[bool, ...]
    card: RouteCard
    reach: tuple[float, ...]
    router: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bands:
    """The confidence bands of a plan, the gains that come before them, and where each pool is answered."""

    easy: float
    medium: float
    tiers: dict[Pool, Tier]
    gains: tuple[float, ...] = ()
    router: str = ""


def enumerate_candidates(model: Model, chain: tuple[Tier, ...]) -> Iterator[Candidate]:
    """Yield every candidate over exactly these tiers, in a fixed order.

    Left out is one thing only, since sending the raw input on at once always beats it: a mobile node that
    computes, lets no sample go, and then sends the raw input all the same.
    """
    cuts = [0, *model.frames]
    for last in sorted({exits[-1] for exits in model.routes}):
        inner = [cut for cut in cuts if cut < last]
        for layers in combinations(inner, len(chain) - 1):
            for codecs in _handoffs(model, layers):
                legs = make_legs(model, chain, (*layers, last), (RAW_INPUT, *codecs))
                yield from complete(model, legs)


def make_legs(
    model: Model, chain: tuple[Tier, ...], layers: tuple[int, ...], codecs: tuple[str, ...]
) -> tuple[Leg, ...]:
    """Return the legs that bring a sample to these layers, each receiving it in that codec."""
    legs = []
    for k, (tier, layer, codec) in enumerate(zip(chain, layers, codecs, strict=True)):
        start = 0 if codec == RAW_INPUT else layers[k - 1]
        leave = max((e for e in model.exits if start < e <= layer), default=None)
        pause = start if leave is None else leave
        resent = k + 1 < len(chain) and codecs[k + 1] == RAW_INPUT
        received = 0
        if k > 0:
            received = model.input_bytes if codec == RAW_INPUT else model.frames[start][codec]
        legs.append(
            Leg(
                tier=tier,
                layer=layer,
                codec=codec,
                received_bytes=received,
                start=start,
                pause=pause,
                stop=pause if resent else layer,
                exit=leave,
            )
        )
    return tuple(legs)


def complete(model: Model, legs: tuple[Leg, ...]) -> Iterator[Candidate]:
    """Yield the candidates over these legs: every choice of exits at which samples leave, every route."""
    for used in _uses(legs):
        leaving = [leg for leg, use in zip(legs, used, strict=False) if use]
        exits = tuple(leg.exit for leg in (*leaving, legs[-1]) if leg.exit is not None)
        for card in model.routes.get(exits, ()):
            yield Candidate(legs=legs, used=used, card=card, reach=_reach(used, card), router=model.router)


def bands(candidate: Candidate) -> Bands:
    """Return the confidence bands that make nodes let samples go exactly where the candidate does."""
    leaving = [leg.tier for leg, use in zip(candidate.legs, candidate.used, strict=False) if use]
    end = candidate.legs[-1].tier
    thresholds = candidate.card.thresholds
    if not leaving:
        return Bands(easy=1.0, medium=1.0, tiers=dict.fromkeys(Pool, end))
    tiers = {Pool.EASY: leaving[0], Pool.MEDIUM: end, Pool.HARD: end}
    if len(leaving) == 2:
        tiers[Pool.MEDIUM] = leaving[1]
    gains = candidate.card.gains
    return Bands(
        easy=thresholds[0],
        medium=thresholds[-1],
        tiers=tiers,
        gains=gains,
        router=candidate.router if gains else "",
    )


def as_route(candidate: Candidate, names: tuple[str, ...]) -> Route:
    """Return the candidate as a plan's route over these nodes."""
    found = bands(candidate)
    stages = tuple(
        Stage(tier=leg.tier, node=name, layer=leg.layer, codec=leg.codec)
        for leg, name in zip(candidate.legs, names, strict=True)
    )
    return Route(
        stages=stages,
        easy=found.easy,
        medium=found.medium,
        tiers=found.tiers,
        gains=found.gains,
        router=found.router,
    )


def from_route(model: Model, route: Route) -> Candidate | None:
    """Return the candidate that a route stands for; None where this model has no such candidate."""
    chain = tuple(stage.tier for stage in route.stages)
    layers = tuple(stage.layer for stage in route.stages)
    codecs = tuple(stage.codec for stage in route.stages)
    if chain not in CHAINS or layers[-1] not in model.exits or list(layers) != sorted(set(layers)):
        return None
    if codecs[0] != RAW_INPUT or codecs[1:] not in _handoffs(model, layers[:-1]):
        return None
    wanted = Bands(
        easy=route.easy, medium=route.medium, tiers=route.tiers, gains=route.gains, router=route.router
    )
    legs = make_legs(model, chain, layers, codecs)
    return next((found for found in complete(model, legs) if bands(found) == wanted), None)


def _handoffs(model: Model, layers: tuple[int, ...]) -> list[tuple[str, ...]]:
    """Return the possible codecs of the hops after these layers.

    At layer 0 there is only the raw input to send. It can be sent again from further on, as long as it came
    that far itself.
    """
    if any(layer and layer not in model.frames for layer in layers):
        return []
    choices = [(RAW_INPUT,) if layer == 0 else (*model.frames[layer], RAW_INPUT) for layer in layers]
    return [codecs for codecs in product(*choices) if _raw_from_start(codecs)]


def _raw_from_start(codecs: tuple[str, ...]) -> bool:
    raw = [codec == RAW_INPUT for codec in codecs]
    return raw == sorted(raw, reverse=True)


def _uses(legs: tuple[Leg, ...]) -> list[tuple[bool, ...]]:
    """Return at which legs but the last samples may leave.

    A confidence band that is answered at a tier is answered at every later tier too, so once samples leave
    at one leg they leave at the next leg with an exit of its own. A leg that starts again from the raw input
    and gets no further than the last exit used sees nothing new: nobody leaves there.
    """
    inner = legs[:-1]
    every = product((False, True), repeat=len(inner))
    return [used for used in every if all(_may_use(legs, used, k) for k in range(len(inner)))]


def _may_use(legs: tuple[Leg, ...], used: tuple[bool, ...], k: int) -> bool:
    before = [leg.exit or 0 for leg, use in zip(legs[:k], used, strict=False) if use]
    fresh = (legs[k].exit or 0) > max(before, default=0)
    if used[k] and not fresh:
        return False
    if before and fresh and not used[k]:
        return False
    wasted = k == 0 and legs[0].layer > 0 and not used[0] and legs[1].codec == RAW_INPUT
    return not wasted


def _reach(used: tuple[bool, ...], card: RouteCard) -> tuple[float, ...]:
    shares, reach = list(card.shares), [1.0]
    for use in used:
        reach.append(max(0.0, reach[-1] - shares.pop(0)) if use else reach[-1])
    return tuple(reach)
