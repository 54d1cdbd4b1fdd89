"""`tierline nodes`: who is there, what they run and how they are."""

import asyncio
import json
import secrets
from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from rich.table import Table
from rich.text import Text

from tierline import orders
from tierline.exits import exits_of, exits_table, mix_of
from tierline.lifetime import run_until_stopped
from tierline.settings import broker_url
from tierline.terminal import console
from tierline_broker import (
    NODE,
    ORDER,
    PLAN,
    PROFILE,
    REQUIREMENT,
    TELEMETRY,
    Birth,
    Order,
    Plan,
    Profile,
    Requirement,
    Subscription,
    Telemetry,
    connect,
    running,
)

LOOK_SECONDS = 1.5  # telemetry comes every second

R = TypeVar("R", Birth, Profile, Telemetry, Order, Plan, Requirement)


@dataclass(slots=True)
class Seen:
    """What was heard in a short look at a deployment, by node."""

    births: dict[str, Birth] = field(default_factory=dict)
    profiles: dict[str, Profile] = field(default_factory=dict)
    telemetry: dict[str, Telemetry] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    plans: dict[str, Plan] = field(default_factory=dict)
    requirements: dict[str, Requirement] = field(default_factory=dict)  # by client
    told: asyncio.Event = field(default_factory=asyncio.Event)

    def complete(self) -> bool:
        """Whether every node that is ready has told all we ask."""
        ready = {
            name for name, birth in self.births.items() if birth.state == "ready" and birth.tier is not None
        }
        return bool(ready) and ready <= self.profiles.keys() and ready <= self.telemetry.keys()


def main(args: Namespace) -> int:
    """Run the command."""
    if args.action is not None:
        return orders.main(args)
    seen = run_until_stopped(look(args.broker, args.site))
    names = [name for name in seen.births if name not in seen.orders or not seen.orders[name].remove]
    rows = [row(seen, name) for name in sorted(names, key=lambda name: _order(seen.births[name]))]
    if args.json:
        print(json.dumps({"site": args.site, "nodes": rows}))
    elif rows:
        _print_table(rows)
    else:
        print(f"no node is on site {args.site}; start one with `tierline node --tier mobile`")
    return 0


async def look(broker: str | None, site: str) -> Seen:
    """Listen to a deployment until every ready node was heard, at most a second and a half."""
    seen = Seen()
    async with (
        connect(broker_url(broker), name=f"look-{secrets.token_hex(4)}", site=site) as session,
        session.subscribe(TELEMETRY, "+", limit=1000) as telemetry,
        session.subscribe(PROFILE, "+", limit=1000) as profiles,
        session.subscribe(ORDER, "+", limit=1000) as ordered,
        session.subscribe(PLAN, "+", limit=1000) as planned,
        session.subscribe(REQUIREMENT, "+", limit=1000) as required,
        session.subscribe(NODE, "+", limit=1000) as births,
    ):
        with suppress(TimeoutError):
            async with (
                asyncio.timeout(LOOK_SECONDS),
                running(
                    _keep_last(ordered, seen.orders, seen.told),
                    _keep_last(planned, seen.plans, seen.told),
                    _keep_last(required, seen.requirements, seen.told),
                    _keep_last(births, seen.births, seen.told),
                    _keep_last(profiles, seen.profiles, seen.told),
                    _keep_last(telemetry, seen.telemetry, seen.told),
                    name="look",
                ),
            ):
                while not seen.complete():
                    seen.told.clear()
                    await seen.told.wait()
    return seen


async def _keep_last(records: Subscription[R], into: dict[str, R], told: asyncio.Event) -> None:
    async for record in records:
        into[record.client if isinstance(record, Requirement) else record.node] = record
        told.set()


def row(seen: Seen, name: str) -> dict[str, Any]:
    """Return what there is to say of one node."""
    birth, profile, told = seen.births[name], seen.profiles.get(name), seen.telemetry.get(name)
    known = birth.state == "ready"
    return {
        "node": name,
        "tier": birth.tier,
        "role": birth.role,
        "state": birth.state,
        "model": profile.model.name if profile and known else None,
        "version": birth.version,
        "plan": told.plan if told and known else None,
        "orders": _words(seen.orders.get(name)),
        "queue": told.queue if told and known else None,
        "busy": told.busy if told and known else None,
        "speed": told.speed if told and known else None,
        "answered": told.answered if told and known else None,
        "work_seconds": told.work_seconds if told and known else None,
        "mix": mix_of(told) if told and known else None,
        "planned_mix": _planned_mix(seen.plans.get(name)) if known else None,
        "exits": exits_of(told, profile) if told and known else [],
        "links": [link.model_dump() for link in told.links] if told and known else [],
    }


def _planned_mix(plan: Plan | None) -> dict[str, float] | None:
    """Return the mix that a plan was made for, where that is not the one of its model's card."""
    return {pool.value: share for pool, share in plan.mix.items()} if plan is not None and plan.mix else None


def _words(order: Order | None) -> list[str]:
    """Return what operators want of a node."""
    return [word for word in ("drain", "pin", "remove") if order is not None and getattr(order, word)]


def _order(birth: Birth) -> tuple[int, str]:
    return (-1 if birth.tier is None else birth.tier.rank, birth.node)


def _print_table(rows: Sequence[dict[str, Any]]) -> None:
    table = Table(
        "node", "tier", "state", "model", "queue", "busy", "answered", "work s", box=None, pad_edge=False
    )
    for one in rows:
        cells = ("" if one[key] is None else style.format(one[key]) for key, style in _CELLS.items())
        state = " ".join([one["state"], *(f"({word})" for word in one["orders"])])
        table.add_row(one["node"], one["tier"] or one["role"], state, Text(one["model"] or ""), *cells)
    console().print(table)
    exits = exits_table(rows)
    if exits is not None:
        console().print()
        console().print(exits)


_CELLS = {"queue": "{}", "busy": "{:.0%}", "answered": "{}", "work_seconds": "{:.2f}"}
