"""`tierline plan`: what the scheduler would do for one device, every alternative, and why it is rejected."""

import json
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.table import Table

from tierline.arguments_planning import alike_of
from tierline.errors import RunError, UsageError
from tierline.lifetime import run_until_stopped
from tierline.nodes import look
from tierline.situation import Situation, heard, read_profiles, read_saved
from tierline.terminal import console
from tierline_broker import Plan, Tier
from tierline_scheduler import (
    Alternative,
    ClusterState,
    Objective,
    SchedulerError,
    SlowPrices,
    advice,
    explain,
    followed,
    is_split,
    route_text,
    slow_prices,
)

SHOWN = 20
"""Alternatives that people are shown; `--all` and `--json` have every one."""
_WHY_OTHER = (
    "they differ where a change would not pay for itself yet, or where the scheduler was started with other"
    " weights than this command: give it the same --accuracy-drop, --edge-weight, --balance, --alike and"
    " --expected-rate"
)


def main(args: Namespace) -> int:
    """Run the command."""
    found = _situation(args)
    if args.save is not None:
        Path(args.save).write_text(json.dumps(found.document()) + "\n")
    state = followed(found.state())
    name = args.node or _only_mobile(state)
    in_force = state.plans.get(name)
    objective = _objective(args, in_force)
    try:
        slow = _slow_prices(state, objective, alike_of(args))
        alternatives = list(explain(state, objective, name, slow=slow))
    except SchedulerError as error:
        raise RunError(str(error)) from error
    told = measured(state, name, slow)
    if args.json:
        document = _document(name, alternatives, in_force, objective)
        print(json.dumps(document | {"assumed": found.assumed, "measured": told}))
        return 0
    for what, lines in (("assumed", found.assumed), ("measured", told)):
        for line in lines:
            print(f"{what}: {line}")
    _print(name, alternatives, in_force, shown=None if args.all else SHOWN)
    return 0


def _situation(args: Namespace) -> Situation:
    if args.profile and args.state:
        raise UsageError("--profile and --state both say what to plan for; give one of them")
    if args.links and not args.profile:
        raise UsageError("--links goes with --profile; a saved or running deployment has its own links")
    if args.profile:
        links = None if args.links is None else Path(args.links)
        return read_profiles([Path(path) for path in args.profile], links, args.rate)
    if args.state:
        return read_saved(Path(args.state))
    return heard(run_until_stopped(look(args.broker, args.site)))


def _slow_prices(state: ClusterState, objective: Objective, alike: float) -> SlowPrices:
    return slow_prices(state, objective, alike) if alike else SlowPrices()


def measured(state: ClusterState, name: str, slow: SlowPrices) -> list[str]:
    """Return in words what is planned with because the deployment runs as it does."""
    node, told = state.nodes.get(name), list[str]()
    if node is not None and node.mix.words:
        told.append(f"samples at {name} are now {node.mix.words}")
    if slow.after:
        prices = ", ".join(f"{price * 1000:.1f} ms ({kind})" for kind, price in slow.by_class.items())
        after = f"{slow.after * 1000:.0f} ms"
        told.append(f"a sample over {after} costs more, so that classes of devices fare alike: {prices}")
    return told


def _only_mobile(state: ClusterState) -> str:
    names = sorted(name for name, node in state.nodes.items() if node.tier is Tier.MOBILE)
    if len(names) != 1:
        there = f"there are {', '.join(names)}" if names else "none is known"
        raise UsageError(f"which mobile node? Name it with --node; {there}")
    return names[0]


def _objective(args: Namespace, in_force: Plan | None) -> Objective:
    """Return the objective: as the flags say, else with the deadline that the plan in force was made for."""
    planned = in_force.deadline if in_force is not None and in_force.deadline > 0 else 0.5
    deadline = planned if args.deadline is None else args.deadline
    return replace(
        Objective.balanced(args.balance, deadline=deadline, accuracy_drop=args.accuracy_drop),
        edge_weight=args.edge_weight,
        expected_rate=args.expected_rate,
    )


def _document(
    name: str,
    alternatives: Sequence[Alternative],
    in_force: Plan | None,
    objective: Objective,
) -> dict[str, Any]:
    rows = [_row(one) for one in alternatives]
    return {
        "node": name,
        "deadline": objective.deadline,
        "chosen": rows[0],
        "advice": advice(alternatives),
        "in_force": None if in_force is None else in_force.model_dump(mode="json"),
        "alternatives": rows[1:],
    }


def _row(one: Alternative) -> dict[str, Any]:
    found = one.estimate
    return {
        "route": one.route.model_dump(mode="json"),
        "text": route_text(one.route),
        "split": is_split(one),
        "seconds": found.seconds,
        "safe_seconds": found.safe_seconds,
        "mean_seconds": found.mean_seconds,
        "late": found.late,
        "cloud_seconds": found.cloud_seconds,
        "edge_seconds": found.edge_seconds,
        "sent_bytes": found.sent_bytes,
        "accuracy": found.accuracy,
        "shares": {tier.value: share for tier, share in found.shares.items()},
        "broken": list(found.broken),
        "rejected": one.rejected,
    }


def _print(
    name: str,
    alternatives: Sequence[Alternative],
    in_force: Plan | None,
    *,
    shown: int | None,
) -> None:
    chosen, *others = alternatives
    print(f"best for {name}: {route_text(chosen.route)}")
    if in_force is not None:
        same = "the same" if in_force.route == chosen.route else route_text(in_force.route)
        print(f"in force, version {in_force.version}: {same}; {in_force.reason}")
        if in_force.route != chosen.route:
            print(_WHY_OTHER)
    print(f"{advice(alternatives)}\n")
    others.sort(key=lambda one: one.estimate.expected)
    table = Table(
        *("plan", "ms", "with margin", "late", "cloud ms", "accuracy", "answered at", "rejected"),
        box=None,
        pad_edge=False,
    )
    for one in [chosen, *others[:shown]]:
        found = one.estimate
        table.add_row(
            route_text(one.route),
            f"{found.mean_seconds * 1000:.1f}",
            f"{found.safe_seconds * 1000:.1f}",
            f"{found.late:.1%}",
            f"{found.cloud_seconds * 1000:.2f}",
            f"{found.accuracy:.3f}",
            ", ".join(f"{tier} {share:.0%}" for tier, share in found.shares.items() if share >= 0.005),
            one.rejected or "(chosen)",
        )
    console().print(table)
    if shown is not None and len(others) > shown:
        print(f"\nand {len(others) - shown} more, each dearer; --all shows them")
