"""A rule fitted on one source, on a stream from others, of whose first samples it learns without labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from tierline_cartography.analysis.cost import Prices, saved
from tierline_cartography.analysis.judge import Verdict, judge
from tierline_cartography.analysis.said import UNLABELLED, Float, Said, said_of, sides, temperatures
from tierline_cartography.analysis.stopping import gain_rule
from tierline_cartography.analysis.verdicts import Outcome, freeze, outcomes, strongest, strongest_exit
from tierline_cartography.errors import PoolError
from tierline_cartography.records import Records

WARM_UP = 500  # samples of a stream before it counts
THIRDS = (1 / 3, 2 / 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shift:
    """A rule fitted on one source, on a stream from others."""

    stream: str
    saved: float
    drop: Verdict


def shifts(records: Records, exits: tuple[int, ...], *, budget: float) -> list[Shift]:
    """Fit on the task's own validation and stream the other sources, and the other way round.

    The first WARM_UP samples of each source do not count: all of them go to the last exit, which is taken at
    its word in place of labels, so that the rule can be fitted to the stream as well.

    Args:
        records: of a task with other sources.
        exits: to use.
        budget: points of accuracy that may be lost.

    Raises:
        PoolError: the records hold no other sources.
    """
    parted = [_parted(one) for one in _elsewhere(records, exits)]
    validation, test = (_bare(one) for one in sides(records, exits))
    others = _joined([first for first, _ in parted]), _joined([rest for _, rest in parted])
    films = _parted(test)
    return [
        _streamed("other sources, fitted on films", validation, others, budget),
        _streamed("films, fitted on other sources", others[0], films, budget),
    ]


def pooled(records: Records, exits: tuple[int, ...]) -> Outcome:
    """What our rule, its setting frozen on validation, does to test and all other sources as one.

    Nothing is learned from the others, so this is the verdict of most samples and of least help.

    Raises:
        PoolError: the records hold no other sources.
    """
    validation, test = (_bare(one) for one in sides(records, exits))
    whole = _joined([test, *_elsewhere(records, exits)])
    rule = gain_rule(validation)
    frozen = freeze([rule], validation, strongest_exit(validation), samples=len(whole.labels))
    return outcomes([rule], frozen, whole, strongest(whole))[rule.name]


def as_mixed(fitted: Said, stream: Said) -> Said:
    """As many of the fitted samples as can be had with each pool as frequent as in a stream.

    Pools are thirds of the fitted samples by how sure the first exit is, which needs no labels. So what is
    chosen on them holds for the stream as far as its pools are like theirs, and with fewer left it is chosen
    more cautiously.
    """
    known, seen = _sureness(fitted), _sureness(stream)
    edges = np.quantile(known, THIRDS)
    pools, wanted = np.digitize(known, edges), np.bincount(np.digitize(seen, edges), minlength=3) / len(seen)
    members = [np.flatnonzero(pools == one) for one in range(3)]
    total = min(len(one) / share for one, share in zip(members, wanted, strict=True) if share > 0)
    kept = [
        one[np.linspace(0, len(one) - 1, int(total * share)).round().astype(int)]
        for one, share in zip(members, wanted, strict=True)
    ]
    return fitted.only(np.sort(np.concatenate(kept)))


def _elsewhere(records: Records, exits: tuple[int, ...]) -> list[Said]:
    there = sorted(name for name in records.parts if name.startswith("shifted_"))
    if not there:
        raise PoolError(f"the records of {records.task} hold no other sources")
    scale = temperatures(records, exits)
    return [said_of(records, records.parts[name], exits, scale) for name in there]


def _sureness(said: Said) -> Float:
    """(N,): the first exit's confidence, the mean over seeds."""
    found: Float = said.confidence[:, 0].mean(0)
    return found


def _streamed(stream: str, fitted: Said, parts: tuple[Said, Said], budget: float) -> Shift:
    first, rest = parts
    unlabelled = replace(first, labels=np.full_like(first.labels, UNLABELLED))
    known = _joined([as_mixed(fitted, first), unlabelled])
    rule = gain_rule(known)
    frozen = freeze([rule], known, strongest_exit(known), budget=budget, samples=len(rest.labels))
    chosen, full = rule.choose(rest, frozen[rule.name]), strongest(rest)
    return Shift(
        stream=stream,
        saved=float(saved(chosen, rest.exits, Prices()).mean()),
        drop=judge(full.right, rest.right_at(chosen), budget=budget),
    )


def _parted(said: Said) -> tuple[Said, Said]:
    """The first WARM_UP samples, and the rest."""
    place = np.arange(len(said.labels))
    return said.only(place < WARM_UP), said.only(place >= WARM_UP)


def _bare(said: Said) -> Said:
    """Without what only some parts have."""
    return replace(said, hidden=None, embedding=None)


def _joined(parts: Sequence[Said]) -> Said:
    rivals = [one.rival_right for one in parts if one.rival_right is not None]
    return Said(
        parts[0].exits,
        np.concatenate([one.labels for one in parts]),
        np.concatenate([one.probabilities for one in parts], 2),
        rival_right=np.concatenate(rivals, 1) if len(rivals) == len(parts) else None,
        rival_places=parts[0].rival_places,
    )
