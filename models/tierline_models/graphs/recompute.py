"""What a segment makes again at its start instead of receiving it: sizes, positions, masks."""

from collections.abc import Iterable, Mapping
from typing import Any

from tierline_models.graphs.operators import PYTHON, SIZES, is_cheap
from tierline_models.graphs.program import Call, Program, Ref


class Recomputing:
    """Knows of one program which values can be made again from others, and how."""

    def __init__(self, program: Program, sizes: Mapping[str, Any]) -> None:
        self._calls = {call.name: call for call in program.calls}
        self._order = {call.name: place for place, call in enumerate(program.calls)}
        self._sizes = sizes
        self.numbers = {name for name, call in self._calls.items() if _is_number(call, sizes)}
        self.fixed = self._fixed(program)

    def _fixed(self, program: Program) -> set[str]:
        """Values that depend on sizes and weights alone and are cheap to make."""
        fixed: set[str] = set()
        for call in program.calls:
            known = all(name in fixed or name in self.numbers for name in call.uses())
            if known and call.name not in self.numbers and is_cheap(call.op):
                fixed.add(call.name)
        return fixed

    def source(self, name: str) -> str | None:
        """The one value that a cheap call makes `name` from; None if it is made otherwise."""
        call = self._calls.get(name)
        if call is None or not is_cheap(call.op) or name in self.numbers or name in self.fixed:
            return None
        sources = {used for used in call.uses() if used not in self.numbers and used not in self.fixed}
        return sources.pop() if len(sources) == 1 else None

    def calls_for(self, wanted: Iterable[str], carried: Iterable[str]) -> tuple[Call, ...] | None:
        """The calls that make `wanted` from `carried`, in order; None if they cannot."""
        held = frozenset(carried)
        made: dict[str, Call] = {}
        if not all(self._make(name, held, made) for name in wanted):
            return None
        return tuple(sorted(made.values(), key=lambda call: self._order[call.name]))

    def _make(self, name: str, held: frozenset[str], made: dict[str, Call]) -> bool:
        if name in held or name in made:
            return True
        call = self._calls.get(name)
        if call is None:
            return False
        if name in self.numbers:
            read = self._read_off(name, held)
            if read is not None:
                made[name] = read
                return True
        elif not is_cheap(call.op):
            return False
        if not all(self._make(used, held, made) for used in call.uses()):
            return False
        made[name] = call
        return True

    def _read_off(self, name: str, held: frozenset[str]) -> Call | None:
        """The number as a dimension of something held, or a whole fraction of one."""
        wanted = self._sizes.get(name)
        for value in sorted(held):
            for dim, size in enumerate(self._sizes.get(value, ())):
                if size == wanted:
                    return Call(name, "aten.sym_size.int", (Ref(value), dim))
        return None


def _is_number(call: Call, sizes: Mapping[str, Any]) -> bool:
    if call.op in SIZES:
        return True
    return call.op in PYTHON and call.op != "getitem" and not isinstance(sizes.get(call.name), tuple)
