"""How samples look at a node's exits, from its telemetry: pools, shares answered, agreement and drift."""

from collections.abc import Sequence
from typing import Any

from rich.table import Table

from tierline_broker import ExitReport, Pool, Profile, Telemetry


def mix_of(told: Telemetry) -> dict[str, float] | None:
    """Return the share of each pool of samples that this node was the first to judge; None before any."""
    counts = {pool: sum(one.pools.get(pool, 0) for one in told.exits) for pool in Pool}
    seen = sum(counts.values())
    return {pool.value: round(count / seen, 4) for pool, count in counts.items()} if seen else None


def exits_of(told: Telemetry, profile: Profile | None) -> list[dict[str, Any]]:
    """Return what a node says of each exit since its start."""
    usual = {} if profile is None else {one.layer: one.overclaim for one in profile.model.exit_cards}
    answered = sum(one.answered for one in told.exits)
    return [_exit(one, answered, usual.get(one.layer)) for one in told.exits]


def _exit(one: ExitReport, answered: int, usual: float | None) -> dict[str, Any]:
    """Return one exit in shares; what cannot be said yet is None."""
    judged = sum(one.pools.values())
    over = (one.claimed - one.granted) / one.checked if one.checked else None
    return {
        "layer": one.layer,
        "judged": judged,
        "pools": {pool.value: one.pools.get(pool, 0) for pool in Pool},
        "confidence": round(one.confidence / judged, 4) if judged else None,
        "answered": one.answered,
        "answered_share": round(one.answered / answered, 4) if answered else None,
        "checked": one.checked,
        "agreed_share": round(one.agreed / one.checked, 4) if one.checked else None,
        "drift": None if over is None or usual is None else round(over - usual, 4),
    }


def exits_table(rows: Sequence[dict[str, Any]]) -> Table | None:
    """Return a table with a line for each exit at which samples were seen; None where there is none."""
    table = Table(
        "node", "exit", "easy", "medium", "hard", "confidence", "answered", "checked", "agreed", "drift",
        box=None, pad_edge=False,
    )  # fmt: skip
    for row in rows:
        for one in row["exits"]:
            if one["judged"] or one["answered"] or one["checked"]:
                table.add_row(row["node"], *_cells(one))
    return table if table.row_count else None


def _cells(one: dict[str, Any]) -> list[str]:
    judged = one["judged"]
    pools = ["" if not judged else f"{one['pools'][pool.value] / judged:.0%}" for pool in Pool]
    share = one["answered_share"]
    return [
        str(one["layer"]),
        *pools,
        _percent(one["confidence"]),
        f"{one['answered']}" + ("" if share is None else f" ({share:.0%})"),
        str(one["checked"]),
        _percent(one["agreed_share"]),
        "" if one["drift"] is None else f"{one['drift']:+.1%}",
    ]


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"
