"""Who asks what of which node and link: the plans in force, mobile node by mobile node, and the rest."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tierline_broker import Tier
from tierline_scheduler.servers import Load
from tierline_scheduler.state import ClusterState
from tierline_scheduler.view import NO_LOAD, Loads, Server, Traffic, background


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """Loads by the mobile node that causes them; `rest` is what no plan in force explains."""

    entries: Mapping[str, Loads] = field(default_factory=dict)
    explained: Loads = field(default_factory=dict)  # the sum when the round began
    total: Loads = field(default_factory=dict)  # the sum now, `rest` included

    def traffic(self, mobile: str) -> Traffic:
        """Return the loads from this mobile node's point of view."""
        others = dict(self.total)
        for server, load in self.entries.get(mobile, {}).items():
            others[server] = others[server].minus(load)
        return Traffic(others=others, explained=self.explained)

    def alone(self) -> Traffic:
        """Return what remains when no mobile node had a plan: the loads that no plan in force explains."""
        rest = {
            server: load.minus(self.explained.get(server, NO_LOAD)) for server, load in self.total.items()
        }
        return Traffic(others=rest, explained=self.explained)

    def replaced(self, mobile: str, loads: Loads) -> "Ledger":
        """Return the ledger after a mobile node has got another plan: the next one reckons with it."""
        total = dict(self.traffic(mobile).others)
        for server, load in loads.items():
            total[server] = total.get(server, NO_LOAD).plus(load)
        return Ledger(entries={**self.entries, mobile: loads}, explained=self.explained, total=total)


def open_ledger(state: ClusterState, entries: Mapping[str, Loads]) -> Ledger:
    """Return the ledger at the beginning of a round.

    Args:
        state: says what edge and cloud nodes are really busy with.
        entries: what the plans in force ask for.
    """
    explained = sum_of(entries[mobile] for mobile in sorted(entries))
    total = dict(explained)
    for name, node in state.nodes.items():
        if node.tier in (Tier.EDGE, Tier.CLOUD) and node.usable:
            planned = explained.get(name, NO_LOAD)
            total[name] = planned.plus(background(node, planned))
    return Ledger(entries=entries, explained=explained, total=total)


def sum_of(many: Iterable[Loads]) -> dict[Server, Load]:
    """Return what several ask for together."""
    total: dict[Server, tuple[float, float]] = {}
    for loads in many:
        for server, load in loads.items():
            utilisation, pressure = total.get(server, (0.0, 0.0))
            total[server] = utilisation + load.utilisation, pressure + load.pressure
    return {server: Load(utilisation=busy, pressure=work) for server, (busy, work) in total.items()}
