"""What `tierline plan` plans for: a running deployment, a saved one, or profiles and links in files."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from tierline.errors import UsageError
from tierline.nodes import Seen
from tierline_broker import (
    Birth,
    LinkReport,
    Order,
    Plan,
    Profile,
    Record,
    Requirement,
    Telemetry,
    Tier,
)
from tierline_scheduler import ClusterState, apply

MAX_BYTES = 64 * 2**20
ASSUMED_RATE, ASSUMED_RTT = 2.5e6, 0.03  # bytes per second and seconds, of a link that is not given
R = TypeVar("R", bound=Record)

_KINDS: Mapping[str, type[Record]] = {
    "births": Birth,
    "profiles": Profile,
    "telemetry": Telemetry,
    "orders": Order,
    "requirements": Requirement,
    "plans": Plan,
}


@dataclass(frozen=True, slots=True)
class Situation:
    """What is to be planned for.

    Attributes:
        records: by kind, in the order in which they are folded.
        assumed: in words, what nobody said.
    """

    records: Mapping[str, Sequence[Record]]
    assumed: list[str] = field(default_factory=list)

    def state(self) -> ClusterState:
        """Return the records folded.

        Raises:
            SchedulerError: one of them cannot be planned with.
        """
        state = ClusterState()
        for kind in _KINDS:
            for record in self.records.get(kind, ()):
                state = apply(state, record, 0.0)  # type: ignore[arg-type] # kinds are those of the state
        return state

    def document(self) -> dict[str, Any]:
        """Return what `read_saved` reads again."""
        return {
            kind: [record.model_dump(mode="json") for record in self.records.get(kind, ())] for kind in _KINDS
        }


def heard(seen: Seen) -> Situation:
    """Return what a look at a running deployment told."""
    found = {kind: list(getattr(seen, kind).values()) for kind in _KINDS}
    silent = sorted(set(seen.profiles) - set(seen.telemetry))
    assumed = [f"{name} said nothing of its speed and links within the look" for name in silent]
    return Situation(found, assumed)


def read_saved(path: Path) -> Situation:
    """Return the situation that a file holds, as `tierline plan --save` writes it.

    Raises:
        UsageError: it is none; the text says where.
    """
    document = _json(path)
    if not isinstance(document, dict) or not set(document) & set(_KINDS):
        raise UsageError(f"{path} is no saved state; `tierline plan --save {path}` writes one")
    return Situation(
        {
            kind: [
                _record(path, f"{kind}[{number}]", model, one)
                for number, one in enumerate(document.get(kind, []))
            ]
            for kind, model in _KINDS.items()
        }
    )


def read_profiles(paths: Sequence[Path], links: Path | None, rate: float) -> Situation:
    """Return the situation of one node for each tier; tiers without a profile are as the first one.

    Args:
        paths: a profile each.
        links: a list of `{"sender", "peer", "bytes_per_second", "rtt"}`; senders and peers are tiers.
        rate: samples per second at the mobile node.

    Raises:
        UsageError: a file does not hold what it should; the text says where.
    """
    given = [_record(path, "the profile", Profile, _json(path)) for path in paths]
    by_tier = {profile.tier: profile for profile in given}
    if len(by_tier) < len(given):
        raise UsageError("two of the profiles are of the same tier; give at most one for each")
    assumed = [
        f"{tier}: no profile is given, so that of {paths[0].name} is taken"
        for tier in Tier
        if tier not in by_tier
    ]
    reports, missing = _reports(links)
    profiles = [
        by_tier.get(tier, given[0]).model_copy(update={"node": tier.value, "tier": tier}) for tier in Tier
    ]
    return Situation(
        {
            "births": [
                Birth(node=one.node, tier=one.tier, state="ready", incarnation=one.incarnation)
                for one in profiles
            ],
            "profiles": profiles,
            "telemetry": [_telemetry(one, reports.get(one.node, ()), rate) for one in profiles],
        },
        assumed + missing,
    )


def _telemetry(profile: Profile, reports: Sequence[LinkReport], rate: float) -> Telemetry:
    return Telemetry(
        node=profile.node,
        tier=profile.tier,
        incarnation=profile.incarnation,
        queue=0,
        speed=1.0,
        busy=0.0,
        arrival_rate=rate if profile.tier is Tier.MOBILE else 0.0,
        links=tuple(reports),
    )


def _reports(path: Path | None) -> tuple[dict[str, list[LinkReport]], list[str]]:
    """Return the links of a file by sender, and which of the three nobody gave, in words."""
    found: dict[str, list[LinkReport]] = {}
    rows = [] if path is None else _json(path)
    if not isinstance(rows, list):
        raise UsageError(f"{path} is no list of links")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise UsageError(f"{path}, link {number}: it is no map of sender, peer, bytes_per_second and rtt")
        given = {"age": 0.0, "observations": 1, "rtt": 0.0} | row
        report = _record(path or Path(), f"link {number}", LinkReport, given)
        found.setdefault(str(row.get("sender", Tier.MOBILE)), []).append(report)
    known = {(sender, report.peer) for sender, reports in found.items() for report in reports}
    pairs = [("mobile", "edge"), ("mobile", "cloud"), ("edge", "cloud")]
    missing = [pair for pair in pairs if pair not in known]
    for sender, peer in missing:
        assumed = LinkReport(
            peer=peer, bytes_per_second=ASSUMED_RATE, rtt=ASSUMED_RTT, age=0.0, observations=1
        )
        found.setdefault(sender, []).append(assumed)
    told = f"{ASSUMED_RATE * 8e-6:g} Mbit/s and {ASSUMED_RTT * 1e3:g} ms there and back"
    return found, [f"the link from {a} to {b} is not given: {told}" for a, b in missing]


def _json(path: Path) -> Any:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"{path} is over {MAX_BYTES // 2**20} MiB; that is no profile or state")
        return json.loads(path.read_bytes())
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from error


def _record(path: Path, where: str, model: type[R], data: Any) -> R:
    try:
        return model.model_validate(data)
    except (ValidationError, TypeError, ValueError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        field_name = ".".join(str(part) for part in first["loc"])
        raise UsageError(f"{path}, {where}: {field_name or 'it'}: {first['msg']}") from error
