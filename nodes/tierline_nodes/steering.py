"""What a node learns while it runs: its plan, the prices of shared nodes, orders, links that stall."""

import asyncio
import time

import structlog

from tierline_broker import NODE, Birth, Order, Plan, Price, Subscription
from tierline_nodes.samples import Node

DRAIN_SECONDS = 2.0
"""From an order to leave until the node says that it does: two rounds, in which plans are made without it."""

_log = structlog.get_logger()


async def follow_plans(plans: Subscription[Plan], node: Node) -> None:
    """Take each plan as it comes; one for another node or model, or an older one, is counted and left."""
    async for plan in plans:
        if plan.node != node.config.name or plan.model != node.bundle.digest:
            node.meter.drops["plan-for-another"] += 1
        elif node.plan is not None and plan.version < node.plan.version:
            node.meter.drops["plan-outdated"] += 1
        elif plan != node.plan:
            node.plan = plan
            _log.info("plan_taken", version=plan.version, reason=plan.reason)


def link_stalls(node: Node, peer: str) -> None:
    """Do without a link that lets nothing through, until a receipt or a newer plan says otherwise.

    What waits for it is answered here, new samples choose another way, and the scheduler is told at once.
    """
    node.doubted = None if node.plan is None else node.plan.version
    node.stalled_at[peer] = time.monotonic()
    node.outbox.call_back(peer)
    node.stalled.set()


async def follow_prices(prices: Subscription[Price], node: Node) -> None:
    """Keep the last price of every shared node that is or was there."""
    async for price in prices:
        if node.presence.get(price.node) is not None or price.node in node.prices:
            node.prices[price.node] = price


async def follow_orders(orders: Subscription[Order], node: Node, birth: Birth) -> None:
    """Say that we are draining, or ready again, as an operator wants it; samples that come are served."""
    leaving = False
    async for order in orders:
        if order.leaves == leaving:
            continue
        leaving = order.leaves
        _log.info("order_taken", drain=order.drain, remove=order.remove)
        if leaving:
            # Samples that travel already have our name in their routes.
            await asyncio.sleep(DRAIN_SECONDS)
        now = birth.model_copy(update={"state": "draining"}) if leaving else birth
        await node.session.retain(NODE, node.config.name, now)
