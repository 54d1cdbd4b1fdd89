"""One candidate on named nodes with its predicted figures, taken out of the columns."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from tierline_broker import Plan, Tier
from tierline_scheduler.candidates import Candidate, as_route
from tierline_scheduler.model import KNOWN
from tierline_scheduler.objective import Objective
from tierline_scheduler.options import Limits, Option, lateness
from tierline_scheduler.servers import Load
from tierline_scheduler.table import Floats
from tierline_scheduler.view import Server
from tierline_scheduler.visits import Crossing

_LIMITS = ("memory", "frame", "accuracy", "deadline", "utilisation", "battery")
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
        late_ahead: the same half a horizon from now, the first link moving on as it did lately.
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
    late_ahead: float
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
    return next(estimates(option, kept, costs, objective, range(row, row + 1)))


def estimates(
    option: Option, kept: Limits, costs: Floats, objective: Objective, rows: range
) -> Iterator[Estimate]:
    """Yield consecutive rows of an option; what they have in common is worked out for all at once."""
    part = slice(rows.start, rows.stop)
    servers, limit = _Servers.of(option, part), {name: getattr(kept, name)[part].tolist() for name in _LIMITS}
    figures = _columns(option, costs, objective, part)
    places = {tier: k for k, tier in enumerate(option.table.chain)}
    work = option.figures.work[part].tolist()
    for i, row in enumerate(rows):
        candidate = coded(option.table.candidates[row], option.figures.crossing, row)
        onward = (*candidate.reach[1:], 0.0)
        yield Estimate(
            names=option.names,
            candidate=candidate,
            cloud_seconds=work[i][places[Tier.CLOUD]] if Tier.CLOUD in places else 0.0,
            edge_seconds=work[i][places[Tier.EDGE]] if Tier.EDGE in places else 0.0,
            accuracy=candidate.card.accuracy,
            shares={
                leg.tier: reach - gone
                for leg, reach, gone in zip(candidate.legs, candidate.reach, onward, strict=True)
            },
            utilisation=dict(zip(servers.names, servers.total[i], strict=True)),
            least_utilisation=dict(zip(servers.names, servers.least[i], strict=True)),
            loads={
                name: Load(utilisation=own, pressure=pressure)
                for name, own, pressure in zip(
                    servers.names, servers.own[i], servers.pressure[i], strict=True
                )
            },
            broken=tuple(name for name in _LIMITS if not limit[name][i]),
            **{name: values[i] for name, values in figures.items()},
        )


def _columns(option: Option, costs: Floats, objective: Objective, part: slice) -> dict[str, list[float]]:
    """Return the figures that are one number a row, by their names in an estimate."""
    figures, now, then = option.figures, option.tail.at(part), option.ahead.at(part)
    found = {
        "seconds": figures.seconds[part],
        "wait": figures.nodes.wait[part, 0],
        "sd": figures.sd[part],
        "least_seconds": figures.least_seconds[part],
        "safe_seconds": now.quantile(objective.margin),
        "late": now.late(objective.deadline),
        "late_ahead": then.late(objective.deadline),
        "mean_seconds": figures.mean_seconds[part],
        "sent_bytes": figures.sent_bytes[part],
        "cost": costs[part],
        "expected": costs[part] + lateness(option, objective, part),
    }
    return {name: values.tolist() for name, values in found.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Servers:
    """What rows of an option ask of every node and link on the way; lists (N, nodes and links)."""

    names: list[Server]
    total: list[list[float]]
    least: list[list[float]]
    own: list[list[float]]
    pressure: list[list[float]]

    @classmethod
    def of(cls, option: Option, part: slice) -> "_Servers":
        """Return them for these rows; the link into the first node is none."""
        nodes, links = option.figures.nodes, option.figures.links

        def both(here: Floats, into: Floats) -> list[list[float]]:
            found: list[list[float]] = np.hstack((here[part], into[part, 1:])).tolist()
            return found

        return cls(
            names=[*option.names, *pairwise(option.names)],
            total=both(nodes.total, links.total),
            least=both(nodes.least, links.least),
            own=both(nodes.own, links.own),
            pressure=both(nodes.pressure, links.pressure),
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
    codecs = across.codec[row].tolist()
    if all(codec < 0 or KNOWN[codec] == leg.codec for codec, leg in zip(codecs, candidate.legs, strict=True)):
        return candidate
    legs = tuple(
        leg
        if codec < 0 or KNOWN[codec] == leg.codec
        else replace(leg, codec=KNOWN[codec], received_bytes=int(across.received_bytes[row, k]))
        for k, (codec, leg) in enumerate(zip(codecs, candidate.legs, strict=True))
    )
    return replace(candidate, legs=legs)
