"""Where a sample goes next: pure decisions from a route and what an exit says.

With a cartography, a sample goes on where going on is expected to mend enough; the route says how much that
is. Without one, an exit's calibrated confidence puts it into a pool (easy, medium, hard), and the route says
at which tier each is answered (DIMEC-DC, arXiv 2412.16616, with confidence bands in place of cartography).
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tierline_broker import Answer, Plan, Pool, Route, Stage, Tier, Work
from tierline_nodes.sight import Sight


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """The sample stops here with this answer."""

    answer: Answer
    pool: Pool | None  # None: the route draws no bands
    why: str
    gain: float | None = None  # expected of going on; None where the way ends, or nobody knows
    margin: float | None = None  # by which it is less than is wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Onward:
    """The sample travels to the first stage of `route`."""

    route: Route
    why: str
    gain: float | None = None

    @property
    def stage(self) -> Stage:
        """The stage that takes the sample next."""
        return self.route.stages[0]


Decision = Answered | Onward


def own_route(work: Work, plan: Plan | None, *, node: str, tier: Tier, layers: int) -> Route:
    """Return the route that `work` follows from this node on, whose first stage is this node's own.

    What the message says comes before this node's plan, so that a plan change never redirects samples
    in flight. Without either, and for a sample pinned to this tier, everything is computed here.
    """
    if work.tier is tier:
        return all_here(node, tier, layers)
    if work.route is not None and work.route.stages:
        return work.route
    if plan is not None and plan.node == node and plan.route.stages:
        return plan.route
    return all_here(node, tier, layers)


def all_here(node: str, tier: Tier, layers: int) -> Route:
    """Return the route that does not split: every sample is answered on this node."""
    return Route(stages=(Stage(tier=tier, node=node, layer=layers, codec="input"),))


def pinned_elsewhere(work: Work, tier: Tier) -> bool:
    """Return whether the sample must be answered at another tier, untouched by this one."""
    return work.tier is not None and work.tier is not tier


def target_layer(route: Route, at: int, exits: Sequence[int]) -> int:
    """Return the layer to which this node brings a sample that has reached `at`.

    A last stage always ends at an exit: one that says otherwise is carried on to the next exit.
    """
    wanted = max(at, route.stages[0].layer)
    if len(route.stages) > 1:
        return wanted
    return next((layer for layer in exits if layer >= wanted), exits[-1])


def exit_within(first: int, last: int, exits: Sequence[int]) -> int | None:
    """Return the last exit among blocks first+1..last, or None where a split falls before any exit."""
    return max((layer for layer in exits if first < layer <= last), default=None)


def pool_of(confidence: float, route: Route) -> Pool | None:
    """Return the band into which a calibrated confidence falls; None where the route draws no bands."""
    if route.easy >= 1 and route.medium >= 1:
        return None
    if confidence >= route.easy:
        return Pool.EASY
    return Pool.MEDIUM if confidence >= route.medium else Pool.HARD


def wanted_gain(route: Route, tier: Tier) -> float | None:
    """Return the gain up to which samples leave on a tier; None where none do."""
    first = route.tiers.get(Pool.EASY, Tier.CLOUD)
    if not route.gains or tier.rank < first.rank:
        return None
    return route.gains[0] if tier is first else route.gains[-1]


def decide(route: Route, tier: Tier, answer: Answer | None, sight: Sight | None = None) -> Decision:
    """Return whether the sample stops at this stage or travels on.

    Args:
        route: the route with this node's own stage first.
        tier: this node's tier.
        answer: what the last exit within this stage says; None where the stage holds no exit.
        sight: what the bundle's cartography makes of that; None where it has none.

    Raises:
        ValueError: the last stage reached no exit; `target_layer` prevents it.
    """
    rest = route.model_copy(update={"stages": route.stages[1:]})
    if answer is None:
        if not rest.stages:
            raise ValueError("the last stage of a route reached no exit")
        return Onward(route=rest, why=f"no exit on {tier}")
    if sight is not None and (sight.caution is not None or not rest.stages):
        return _by_gain(route, rest, tier, answer, sight)
    pool = pool_of(answer.confidence, route)
    seen = f"confidence {answer.confidence:.3f} at exit {answer.layer}"
    if not rest.stages:
        return Answered(answer=answer, pool=pool, why=f"{seen}, where this plan ends")
    if pool is None:
        return Onward(route=rest, why=f"{seen}; no sample ends on {tier}")
    seen = f"{seen} is {pool}"
    if route.tiers.get(pool, Tier.CLOUD).rank <= tier.rank:
        return Answered(answer=answer, pool=pool, why=f"{seen}; answered on {tier}")
    return Onward(route=rest, why=f"{seen}; sent on")


def _by_gain(route: Route, rest: Route, tier: Tier, answer: Answer, sight: Sight) -> Decision:
    """Decide by what going on is expected to mend; a case that is not clear goes on."""
    seen = f"{sight.pool}: confidence {answer.confidence:.3f} at exit {answer.layer}"
    if not rest.stages:
        return Answered(answer=answer, pool=sight.pool, why=f"{seen}, where this plan ends")
    wanted, gain, caution = wanted_gain(route, tier), sight.judged.gain, sight.caution or 0.0
    if wanted is None:
        return Onward(route=rest, why=f"{seen}; no sample ends on {tier}", gain=gain)
    seen = f"{seen}; going on would mend {gain:.1%}, {wanted:.1%} is wanted"
    margin = wanted - gain
    if margin >= caution:
        why = f"{seen}; answered on {tier}"
        return Answered(answer=answer, pool=sight.pool, why=why, gain=gain, margin=margin)
    close = ", and this is close" if margin >= 0 else ""
    return Onward(route=rest, why=f"{seen}{close}; sent on", gain=gain)
