"""What a segment makes again at its start instead of receiving it: sizes, positions, masks."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from tierline_models.graphs.operators import PYTHON, SIZES, is_cheap
from tierline_models.graphs.program import Call, Program, Ref


class Recomputing:
    """Knows of one program which values can be made again from others, and how."""

    def __init__(self, program: Program, sizes: Mapping[str, Any]) -> None:
        self._calls = {call.name: call for call in program.calls}
        self._sizes = sizes
        self.numbers = {name for name, call in self._calls.items() if _is_number(call, sizes)}
        self.fixed = self._fixed(program)
        self.lost: dict[str, Any] = {}  # numbers that some place could not make again: their expressions

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
        return tuple(made.values())

    def _make(self, name: str, held: frozenset[str], made: dict[str, Call]) -> bool:
        if name in held or name in made:
            return True
        call = self._calls.get(name)
        if call is None:
            return False
        if name in self.numbers:
            read = self._read_off(name, held)
            if read:
                made.update({one.name: one for one in read})
                return True
        elif not is_cheap(call.op):
            return False
        if not all(self._make(used, held, made) for used in call.uses()):
            if name in self.numbers:
                self.lost[name] = self._sizes.get(name)
            return False
        made[name] = call
        return True

    def _read_off(self, name: str, held: frozenset[str]) -> tuple[Call, ...]:
        """The number as a dimension of something held, or from one that is a multiple of it and some."""
        wanted = self._sizes.get(name)
        dims = [
            (value, dim, size)
            for value in sorted(held)
            for dim, size in enumerate(self._sizes.get(value, ()))
        ]
        for value, dim, size in dims:
            if size == wanted:
                return (Call(name, "aten.sym_size.int", (Ref(value), dim)),)
        for value, dim, size in dims:
            factor, more = _in_terms_of(size, wanted)
            if factor:
                whole, less = f"{name}_of_{dim}", f"{name}_less"
                return (
                    Call(whole, "aten.sym_size.int", (Ref(value), dim)),
                    Call(less, "sym.sub", (Ref(whole), more)),
                    Call(name, "sym.floordiv", (Ref(less), factor)),
                )
        return ()

    def explain_lost(self, inputs: Iterable[str]) -> str:
        """A number that could not be made again somewhere, in terms of the inputs; empty if there is none."""
        words = next((str(one)[:120] for one in self.lost.values() if one is not None), "")
        for name in inputs:
            for dim, size in enumerate(self._sizes.get(name, ())):
                if not isinstance(size, int):
                    words = re.sub(rf"\b{re.escape(str(size))}\b", f"{name}.shape[{dim}]", words)
        return words


def _in_terms_of(size: Any, wanted: Any) -> tuple[int, int]:
    """`size` as so many times `wanted` and so much; 0 times where it cannot be said so."""
    if isinstance(size, int) or wanted is None or isinstance(wanted, int) or wanted.is_number:
        return 0, 0
    factor = size.coeff(wanted)
    more = (size - factor * wanted).expand()
    if not factor.is_Integer or not more.is_Integer or factor < 1:
        return 0, 0
    return int(factor), int(more)


def _is_number(call: Call, sizes: Mapping[str, Any]) -> bool:
    if call.op in SIZES:
        return True
    return call.op in PYTHON and call.op != "getitem" and not isinstance(sizes.get(call.name), tuple)
