"""Find the places where a program can be cut: what is alive there, what must travel, which are worth it."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tierline_models.graphs.measure import Made, last_uses
from tierline_models.graphs.operators import packet_of
from tierline_models.graphs.program import Call, Program, Ref
from tierline_models.graphs.recompute import Recomputing


@dataclass(frozen=True, slots=True, kw_only=True)
class Frontier:
    """A place to cut: after `place` calls, these tensors travel, and the rest is made again from them."""

    place: int
    carried: tuple[str, ...]
    recompute: tuple[Call, ...]
    bytes: int
    flops_before: int
    contiguous: bool  # cutting here sends what the model itself would read, strides and all


def frontiers(
    program: Program, made: Mapping[str, Made], recomputing: Recomputing, *, max_tensors: int
) -> list[Frontier]:
    """Every legal place, in order, from after the first call to before the last."""
    last = last_uses(program)
    alive = [name for name in program.inputs if name in last]
    flops = 0
    found = []
    for place, call in enumerate(program.calls[:-1]):
        flops += made[call.name].flops
        alive = [name for name in (*alive, call.name) if last.get(name, -1) > place]
        travelling = [name for name in alive if name not in recomputing.numbers | recomputing.fixed]
        if len(travelling) > 4 * max_tensors:
            continue
        carried = _cheapest(travelling, made, recomputing)
        if not 1 <= len(carried) <= max_tensors or any(made[name].shape is None for name in carried):
            continue
        again = recomputing.calls_for([name for name in alive if name not in carried], carried)
        if again is not None:
            found.append(_frontier(place + 1, carried, again, made, flops))
    return found


def _cheapest(alive: Sequence[str], made: Mapping[str, Made], recomputing: Recomputing) -> list[str]:
    """What to send: instead of what a cheap call makes of something smaller or sent anyway, that."""
    carried = list(dict.fromkeys(alive))
    changed = True
    while changed:
        changed = False
        for name in carried:
            source = recomputing.source(name)
            if source is None or made[source].shape is None:
                continue
            if source in carried or made[source].bytes < made[name].bytes:
                carried = list(dict.fromkeys(source if one == name else one for one in carried))
                changed = True
                break
    return carried


def _frontier(
    place: int, carried: Sequence[str], again: tuple[Call, ...], made: Mapping[str, Made], flops: int
) -> Frontier:
    return Frontier(
        place=place,
        carried=tuple(carried),
        recompute=again,
        bytes=sum(made[name].bytes for name in carried),
        flops_before=flops,
        contiguous=all(made[name].contiguous for name in carried),
    )


def worthwhile(
    found: Sequence[Frontier], program: Program, made: Mapping[str, Made], *, every: bool
) -> list[Frontier]:
    """Between two operators that do real work the best place only; several tensors only in a narrow one.

    Args:
        found: by `frontiers`.
        program: that was searched.
        made: what its calls made.
        every: keep wide places with several tensors too.
    """
    searched = [one for one in found if not set(one.carried) <= set(program.inputs)]
    best = [min(group, key=_preference) for group in _between_work(searched)]
    total = sum(made[call.name].flops for call in program.calls)
    returned = sum(made[leaf.name].bytes for leaf in program.outputs if isinstance(leaf, Ref))
    best = [
        one
        for one in best
        if (one.flops_before > 0 or _embeds(program.calls[: one.place]))
        and (one.flops_before < total or one.bytes < returned)
    ]
    return best if every else [one for place, one in enumerate(best) if _is_narrow(best, place)]


def _embeds(calls: Sequence[Call]) -> bool:
    """Does the head look something up in a table, which counts no operation but may hold half the weights?"""
    return any(packet_of(call.op) == "embedding" for call in calls)


def _between_work(found: Sequence[Frontier]) -> Iterator[list[Frontier]]:
    group: list[Frontier] = []
    for one in found:
        if group and one.flops_before != group[-1].flops_before:
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def _preference(one: Frontier) -> tuple[bool, int, int, int]:
    return (not one.contiguous, len(one.carried), one.bytes, -one.place)


def _is_narrow(best: Sequence[Frontier], place: int) -> bool:
    """One tensor; or several, in a waist that beats one of the nearest places where one tensor is enough."""
    here = best[place]
    if len(here.carried) == 1:
        return True
    around = [*best[max(place - 1, 0) : place], *best[place + 1 : place + 2]]
    return here.bytes <= max(_single(best[:place][::-1]), _single(best[place + 1 :])) and all(
        here.bytes <= other.bytes for other in around
    )


def _single(best: Sequence[Frontier]) -> float:
    """Bytes at the first place where one tensor is enough; no limit where there is none."""
    return next((one.bytes for one in best if len(one.carried) == 1), math.inf)
