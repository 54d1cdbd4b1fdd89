"""Which of a plan's ways a mobile node takes when it must choose for itself: pure.

While a scheduler plans and the plan's nodes are there, the plan holds. Where a node of it is gone, or no
scheduler is left, or the link that it counts on has stalled since it was made, the node takes the cheapest
way within the deadline, by its own link as it measures it and by the last prices and waits of the shared
nodes; where none keeps the deadline, the fastest.
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
) -> Route:
    """Return the way that samples take now.

    Args:
        plan: the last one.
        presence: who is there.
        prices: the last of each shared node.
        link: what is known of the link to a peer.
        doubted: the plan counts on a link that has stalled since it was made.
    """
    if not plan.fallbacks or (not doubted and scheduled(presence) and _there(plan.route, presence)):
        return plan.route
    possible = [one for one in plan.fallbacks if _there(one.route, presence)]
    if not possible:
        return plan.route
    in_time = [one for one in possible if _seconds(one, prices, link) * MARGIN <= plan.deadline]
    if in_time:
        return min(in_time, key=lambda one: _cost(one, prices)).route
    return min(possible, key=lambda one: _seconds(one, prices, link)).route


def scheduled(presence: Presence) -> bool:
    """Return whether a scheduler is there; true as well where none was ever heard of."""
    known = [birth.state for birth in presence.births.values() if birth.role == "scheduler"]
    return not known or "ready" in known


def _there(route: Route, presence: Presence) -> bool:
    births = (presence.get(stage.node) for stage in route.stages[1:])
    return all(birth is not None and birth.state == "ready" for birth in births)


def _seconds(one: Fallback, prices: Mapping[str, Price], link: Callable[[str], LinkReport | None]) -> float:
    waits = sum(prices[name].wait for name in one.uses if name in prices)
    if len(one.route.stages) < 2:
        return one.seconds + waits
    seen = link(one.route.stages[1].node) or _UNSEEN
    return one.seconds + waits + one.sent_bytes / seen.bytes_per_second


def _cost(one: Fallback, prices: Mapping[str, Price]) -> float:
    return one.cost + sum(prices[name].price * busy for name, busy in one.uses.items() if name in prices)
