"""One candidate on named nodes with its predicted figures, taken out of the columns."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

from tierline_broker import Plan, Tier
from tierline_scheduler.candidates import Candidate, as_route
from tierline_scheduler.cost import Usage
from tierline_scheduler.model import KNOWN
from tierline_scheduler.objective import Objective
from tierline_scheduler.options import Limits, Option, lateness
from tierline_scheduler.servers import Load
from tierline_scheduler.table import Floats
from tierline_scheduler.view import Server
from tierline_scheduler.visits import Crossing

_LONGEST = 86_400.0  # what a plan record can say


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A candidate on named nodes, and what it is predicted to do; seconds and bytes are a sample.

    Attributes:
        seconds: of a sample that goes all the way, mean.
        wait: of these, until the mobile node has a turn for it.
        sd: of one such sample.
        least_seconds: the mean with every uncertainty in the plan's favour.
        safe_seconds: within these all are answered but the share that the margin allows to be late.
        late: probability that a sample that goes all the way misses the deadline.
        cost: what is minimised within the limits.
        expected: the same with late samples paid for, by which plans are kept or changed.
        utilisation: of each node and link on the way, others' load included.
        least_utilisation: the same with every uncertainty in the plan's favour.
        loads: what this plan asks of each.
        broken: the limits that it breaks, by name.
    """

    names: tuple[str, ...]
    candidate: Candidate
    seconds: float
    wait: float
    sd: float
    least_seconds: float
    safe_seconds: float
    late: float
    mean_seconds: float
    cloud_seconds: float
    edge_seconds: float
    sent_bytes: float
    accuracy: float
    cost: float
    expected: float
    shares: Mapping[Tier, float]
    utilisation: Mapping[Server, float]
    least_utilisation: Mapping[Server, float]
    loads: Mapping[Server, Load]
    broken: tuple[str, ...]

    @property
    def feasible(self) -> bool:
        """Whether every limit is kept."""
        return not self.broken


def estimate(option: Option, kept: Limits, costs: Floats, row: int, objective: Objective) -> Estimate:
    """Return one row of an option, given what `limits` and `cost` say of all its rows."""
    figures = option.figures
    candidate = coded(option.table.candidates[row], figures.crossing, row)
    seconds, sd = float(figures.seconds[row]), float(figures.sd[row])
    onward = (*candidate.reach[1:], 0.0)
    rows = slice(row, row + 1)
    spread = option.tail.at(rows)
    servers = _servers(option)
    work = {Tier.CLOUD: 0.0, Tier.EDGE: 0.0}
    work |= {tier: float(figures.work[row, k]) for k, tier in enumerate(option.table.chain)}
    limits = ("memory", "frame", "accuracy", "deadline", "utilisation", "battery")
    return Estimate(
        names=option.names,
        candidate=candidate,
        seconds=seconds,
        wait=float(figures.nodes.wait[row, 0]),
        sd=sd,
        least_seconds=float(figures.least_seconds[row]),
        safe_seconds=float(spread.quantile(objective.margin)[0]),
        late=float(spread.late(objective.deadline)[0]),
        mean_seconds=float(figures.mean_seconds[row]),
        cloud_seconds=work[Tier.CLOUD],
        edge_seconds=work[Tier.EDGE],
        sent_bytes=float(figures.sent_bytes[row]),
        accuracy=candidate.card.accuracy,
        cost=float(costs[row]),
        expected=float(costs[row] + lateness(option, objective, rows)[0]),
        shares={
            leg.tier: reach - gone
            for leg, reach, gone in zip(candidate.legs, candidate.reach, onward, strict=True)
        },
        utilisation={server: float(usage.total[row, k]) for server, usage, k in servers},
        least_utilisation={server: float(usage.least[row, k]) for server, usage, k in servers},
        loads={
            server: Load(utilisation=float(usage.own[row, k]), pressure=float(usage.pressure[row, k]))
            for server, usage, k in servers
        },
        broken=tuple(name for name in limits if not getattr(kept, name)[row]),
    )


def as_plan(found: Estimate, *, model: str, version: int, reason: str) -> Plan:
    """Return the plan record that puts an estimate into force."""
    return Plan(
        node=found.names[0],
        model=model,
        version=version,
        route=as_route(found.candidate, found.names),
        predicted_seconds=min(found.seconds, _LONGEST),
        wait=min(found.wait, _LONGEST),
        predicted_mean_seconds=min(found.mean_seconds, _LONGEST),
        predicted_cloud_seconds=min(found.cloud_seconds, _LONGEST),
        predicted_accuracy=found.accuracy,
        predicted_shares={tier: min(1.0, max(0.0, share)) for tier, share in found.shares.items()},
        reason=reason[:1000],
    )


def coded(candidate: Candidate, across: Crossing, row: int) -> Candidate:
    """Return the candidate with the codecs that its hops really use."""
    legs = tuple(
        leg
        if (codec := across.codec[row, k]) < 0 or KNOWN[codec] == leg.codec
        else replace(leg, codec=KNOWN[codec], received_bytes=int(across.received_bytes[row, k]))
        for k, leg in enumerate(candidate.legs)
    )
    return replace(candidate, legs=legs)


def _servers(option: Option) -> list[tuple[Server, Usage, int]]:
    """Return every node and link on the way: what it is, and where its columns are."""
    names, figures = option.names, option.figures
    nodes: list[tuple[Server, Usage, int]] = [(name, figures.nodes, k) for k, name in enumerate(names)]
    return nodes + [(pair, figures.links, k) for k, pair in enumerate(pairwise(names), start=1)]
