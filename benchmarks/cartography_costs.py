"""What every rule costs in every unit: layers, the literature's prices, busy seconds, bytes, joules, latency.

Settings are those frozen on validation for the unit in question. Seconds and bytes are those that a node
measured of the built-in text model (`profiles/text.json`), with the machines and links of `World`.
"""

from typing import Any

from _fleets import profile

from cartography import LEAST_SEEDS, TIERS, Row, each_task
from tierline_cartography import (
    Bill,
    Evaluation,
    Outcome,
    Records,
    World,
    all_cloud_bill,
    bills,
    evaluate,
    mean_bill,
    published_costs,
)

CODEC = "int8"
MOBILE_SLOWNESS = 4.0  # of a mobile beside the core measured
PUBLISHED: dict[str, dict[str, Any]] = {
    "resumed": {},
    "restarted": {"transport": "restart"},
    "free cloud": {"free_cloud": True},
}
OFFLOADS = (0.1, 0.6)
SHOWN = "always exit k", "random with a mix"  # told by others already


def main() -> None:
    """Compute, and print rows."""
    each_task(of_task, __doc__)


def of_task(records: Records, *, quick: bool) -> list[Row]:
    """Return one row for all-cloud and one for each rule; none of a task with too few seeds for a verdict."""
    if len(records.seeds) < LEAST_SEEDS:
        return []
    world = world_of_text()
    found = evaluate(records, TIERS)
    offloads = OFFLOADS[:1] if quick else OFFLOADS
    priced = {
        (name, offload): published_costs(records, TIERS, offload, **way)
        for name, way in PUBLISHED.items()
        for offload in offloads
    }
    listed = sorted(found.outcomes.values(), key=lambda one: -one.saved)
    rules = [one for one in listed if one.rule not in SHOWN]
    return [_all_cloud(found, world), *(_row(found, one, priced, world) for one in rules)]


def world_of_text() -> World:
    """Return what was measured of the built-in text model, on a slower mobile."""
    measured = profile("text")
    assert measured.model is not None
    assert measured.block_seconds is not None
    return World(
        block_seconds=tuple(measured.block_seconds),
        exit_seconds=measured.exit_seconds or 0.0,
        codec_seconds=measured.codec_seconds or 0.0,
        frame_bytes=measured.model.points[0].frame_bytes[CODEC],
        input_bytes=measured.model.input_bytes,
        slowness=(MOBILE_SLOWNESS, 1.0, 1.0),
    )


def _row(found: Evaluation, one: Outcome, priced: dict[tuple[str, float], Any], world: World) -> Row:
    spent = mean_bill(bills(world, found.exits, one.transport), one.chosen)
    cells = {"task": found.task, "rule": one.rule, "drop": f"{one.drop.point:.2f} ({one.drop.upper:.2f})"}
    cells["layers saved"] = f"{one.saved:.1%}"
    for name in PUBLISHED:
        by_offload = [some[one.rule] for (way, _), some in priced.items() if way == name and one.rule in some]
        cells[f"{name}, o {' / '.join(f'{o:g}' for way, o in priced if way == name)}"] = " / ".join(
            f"{100 * other.saved:.0f}" for other in by_offload
        ) + (" %" if by_offload else "")
    claim = f"{found.task}, {one.rule}: layers saved"
    return _measured(claim, 100 * one.saved, cells | _told(spent), len(one.chosen))


def _all_cloud(found: Evaluation, world: World) -> Row:
    cells = {"task": found.task, "rule": f"all-cloud ({found.all_cloud})", "drop": "0", "layers saved": "0 %"}
    cells |= dict.fromkeys((f"{name}, o 0.1 / 0.6" for name in PUBLISHED), "0 %")
    seeds = len(next(iter(found.outcomes.values())).chosen)
    return _measured(f"{found.task}, all-cloud", 0.0, cells | _told(all_cloud_bill(world)), seeds)


def _told(spent: Bill) -> dict[str, str]:
    seconds = (spent.mobile_seconds, spent.edge_seconds, spent.cloud_seconds)
    return {
        "busy ms, mobile / edge / cloud": " / ".join(f"{1000 * one:.2g}" for one in seconds),
        "bytes sent": f"{spent.uplink_bytes:.0f}",
        "mJ, mobile": f"{1000 * spent.joules:.0f}",
        "latency, ms": f"{1000 * spent.latency_seconds:.0f}",
    }


def _measured(claim: str, value: float, table: dict[str, str], runs: int) -> Row:
    return {
        "claim": claim,
        "value": value,
        "reach": 0.0,
        "better": "higher",
        "unit": "%",
        "spread": [value, value],
        "runs": runs,
        "table": table,
    }


if __name__ == "__main__":
    main()
