"""The summary document as people read it: a table, the phases, and one sentence."""

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from tierline.view import size_in_words
from tierline_replay import verdict


def print_summary(console: Console, found: Mapping[str, Any]) -> None:
    """Print a summary document for people."""
    table = Table("", "this run", "all in the cloud", box=None, pad_edge=False)
    for row in rows(found):
        table.add_row(*row)
    console.print(table)
    console.print(_phases(found["phases"]))
    console.print(Text(notes(found), style="dim"))
    console.print(Text(verdict(found), style="bold"))


def rows(found: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    """Yield what, of this run, and of the same inputs all in the cloud."""
    cloud, shares = found["all_cloud"], found["tier_share"]
    yield ("requests", str(found["requests"]), str(cloud["answered"] + cloud["failed"]))
    yield ("answered", str(found["answered"]), str(cloud["answered"]))
    yield ("  of these degraded", str(found["degraded"]), "")
    yield ("failed", str(found["failed"]), str(cloud["failed"]))
    yield ("lost, duplicates", f"{found['lost']}, {found['duplicates']}", "")
    yield ("right answers", _share(found["accuracy"]), _share(found["accuracy_all_cloud"]))
    yield ("answered on", ", ".join(f"{tier} {share:.0%}" for tier, share in shares.items()), "cloud 100%")
    for name, rank in (("median latency", "p50"), ("95th percentile", "p95"), ("99th percentile", "p99")):
        ours, theirs = found["latency_seconds"][rank], cloud["latency_seconds"][rank]
        yield (name, f"{1000 * ours:.0f} ms", f"{1000 * theirs:.0f} ms")
    yield (f"within {1000 * found['deadline_seconds']:.0f} ms", _share(found["deadline_met"]), "")
    yield (
        "payload sent by the phone",
        size_in_words(found["uplink_bytes"]),
        size_in_words(found["uplink_bytes_all_cloud"]),
    )
    for tier, seconds in found["work_seconds"].items():
        theirs = f"{cloud['cloud_work_seconds']:.2f} s" if tier == "cloud" else ""
        yield (f"work of the {tier}", f"{seconds:.2f} s", theirs)
    yield ("cloud work saved", _share(found["cloud_work_saved"]), "")
    yield ("abstract cost saved", _share(found["cost_saved"]), "")
    yield ("plans", str(found["plans"]), "")


def notes(found: Mapping[str, Any]) -> str:
    """Return what one must know to read the table."""
    cost = found["cost_constants"]
    offload = ", ".join(f"{tier} {value:g}" for tier, value in cost["offload"].items())
    return (
        "Work and latency include the emulated slowness and links. Payload is without message headers."
        f" Abstract cost: {cost['block']:g} a block, and for a message to the {offload}."
    )


def _phases(phases: Iterable[Mapping[str, Any]]) -> Table:
    table = Table(
        "phase", "requests", "mobile", "edge", "cloud", "median", "plan at its end", box=None, pad_edge=False
    )
    for phase in phases:
        shares = (f"{share:.0%}" for share in phase["tier_share"].values())
        plan = "" if phase["plan"] is None else phase["plan"]["route"]
        median = f"{1000 * phase['latency_seconds']['p50']:.0f} ms"
        table.add_row(phase["name"], str(phase["requests"]), *shares, median, plan)
    return table


def _share(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1%}"
