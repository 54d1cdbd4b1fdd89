"""Which of a plan's ways a mobile node takes when it must choose for itself: pure.

While a scheduler plans and the plan's nodes are there, the plan holds. Where a node of it is gone, or no
scheduler is left, or the link that it counts on has stalled since it was made, or too many samples wait for
the node's own thread, it takes the cheapest way within the deadline, by its own link and queue as they are
and by the last prices and waits of the shared nodes; where none keeps the deadline, the fastest.
"""

from collections.abc import Callable, Mapping

from tierline_broker import Fallback, LinkReport, Plan, Presence, Price, Route

MARGIN = 1.25
"""Times that a predicted latency is taken for: there is no spread to reckon with here."""
_UNSEEN = LinkReport(peer="unseen", bytes_per_second=2.5e6, rtt=0.0, age=0.0, observations=0)


def route_now(
    plan: Plan,
    presence: Presence,
    prices: Mapping[str, Price],
    link: Callable[[str], LinkReport | None],
    *,
    doubted: bool = False,
    wait: float = 0.0,
) -> Route:
    """Return the way that samples take now.

    Args:
        plan: the last one.
        presence: who is there.
        prices: the last of each shared node.
        link: what is known of the link to a peer.
        doubted: the plan counts on a link that has stalled since it was made.
        wait: seconds until the node's own thread is done with what waits for it already.
    """
    holds = not doubted and scheduled(presence) and _there(plan.route, presence)
    planned = plan.predicted_seconds - plan.wait + (wait if _computes(plan.route) else 0.0)
    if not plan.fallbacks or (holds and (wait <= plan.wait or planned <= _latest(plan))):
        return plan.route
    there = [one for one in plan.fallbacks if _there(one.route, presence)]
    seconds = [_seconds(one, prices, link, wait) for one in there]
    possible = [(one, took) for one, took in zip(there, seconds, strict=True) if not holds or took < planned]
    if not possible:
        return plan.route
    in_time = [one for one, took in possible if took * MARGIN <= plan.deadline]
    if in_time:
        return min(in_time, key=lambda one: _cost(one, prices)).route
    return min(possible, key=lambda way: way[1])[0].route


def scheduled(presence: Presence) -> bool:
    """Return whether a scheduler is there; true as well where none was ever heard of."""
    known = [birth.state for birth in presence.births.values() if birth.role == "scheduler"]
    return not known or "ready" in known


def _there(route: Route, presence: Presence) -> bool:
    births = (presence.get(stage.node) for stage in route.stages[1:])
    return all(birth is not None and birth.state == "ready" for birth in births)


def _latest(plan: Plan) -> float:
    """Return the predicted seconds up to which a plan is followed: one may be tight from the beginning."""
    return max(plan.deadline / MARGIN, (plan.predicted_seconds + plan.deadline) / 2)


def _computes(route: Route) -> bool:
    return bool(route.stages) and route.stages[0].layer > 0


def _seconds(
    one: Fallback, prices: Mapping[str, Price], link: Callable[[str], LinkReport | None], wait: float
) -> float:
    waits = sum(prices[name].wait for name in one.uses if name in prices)
    waits += wait - one.wait if _computes(one.route) else 0.0
    if len(one.route.stages) < 2:
        return one.seconds + waits
    seen = link(one.route.stages[1].node) or _UNSEEN
    return one.seconds + waits + one.sent_bytes / seen.bytes_per_second


def _cost(one: Fallback, prices: Mapping[str, Price]) -> float:
    return one.cost + sum(prices[name].price * busy for name, busy in one.uses.items() if name in prices)
