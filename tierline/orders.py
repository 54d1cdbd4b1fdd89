"""`tierline nodes drain|pin|remove NAME`: what an operator wants of a node, kept by the broker."""

import asyncio
import json
import secrets
from argparse import Namespace
from contextlib import suppress
from typing import TypeVar

from tierline.errors import RunError, UsageError
from tierline.lifetime import run_until_stopped
from tierline.settings import broker_url
from tierline_broker import (
    NODE,
    ORDER,
    PLAN,
    PROFILE,
    Birth,
    Order,
    Session,
    Subscription,
    connect,
)

LOOK_SECONDS = 1.0  # for what the broker keeps of the node

R = TypeVar("R", Birth, Order)

_DONE = {
    "drain": "plans are made without it, and it will say so within seconds",
    "pin": "plans that use it stay as long as they can be carried out",
    "remove": "plans are made without it, and it is listed no more",
}


def main(args: Namespace) -> int:
    """Run the command."""
    if args.name is None:
        raise UsageError(f"which node shall be affected? Say `tierline nodes {args.action} NAME`")
    order = run_until_stopped(_give(args.broker, args.site, args.name, args.action, wanted=not args.undo))
    if args.json:
        print(json.dumps({"site": args.site} | order.model_dump()))
    else:
        done = f"{args.action} is taken back" if args.undo else _DONE[args.action]
        print(f"{args.name}: {done}")
    return 0


async def _give(broker: str | None, site: str, name: str, action: str, *, wanted: bool) -> Order:
    """Publish the order that the node has, changed by one word; return it."""
    async with (
        connect(broker_url(broker), name=f"orders-{secrets.token_hex(4)}", site=site) as session,
        session.subscribe(ORDER, name) as orders,
        session.subscribe(NODE, name) as births,
    ):
        birth = await _first(births)
        order = await _first(orders) if birth is not None or not wanted else None
        if birth is None and order is None:
            raise RunError(f"no node {name} is known on site {site}; `tierline nodes` lists those that are")
        changed = (order or Order(node=name)).model_copy(update={action: wanted})
        await session.retain(ORDER, name, changed)
        if changed.remove and birth is not None and birth.state == "lost":
            await _forget(session, name)
    return changed


async def _first(kept: Subscription[R]) -> R | None:
    """Return what the broker keeps; None where it keeps nothing."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_SECONDS):
            return await anext(kept)
    return None


async def _forget(session: Session, name: str) -> None:
    """Have the broker forget a node that is gone."""
    for topic in (NODE, PROFILE, PLAN):
        await session.clear(topic, name)
