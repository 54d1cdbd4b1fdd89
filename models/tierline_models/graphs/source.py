"""Where segments come from: the graph of a model and its weights, one copy for all segments of a device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn

from tierline_models.graphs.build import Range, Segment, make_range
from tierline_models.graphs.program import Argument, Call, Program, Ref, Structure


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where blocks meet: after `place` calls, what is carried and what is made again from it."""

    place: int
    carried: tuple[str, ...]
    recompute: tuple[Call, ...]


class Source(Protocol):
    """Makes segments."""

    @property
    def blocks(self) -> int:
        """How many blocks there are."""

    @property
    def home(self) -> torch.device:
        """Where segments are made if nobody says where."""

    def make(self, first: int, last: int, device: torch.device | None) -> nn.Module:
        """A module of blocks first+1..last."""


class Weights:
    """The weights of one model by name; each is there once per device, however many segments use it."""

    def __init__(self, names: Sequence[str], fetch: Callable[[Sequence[str]], dict[str, Tensor]]) -> None:
        self.names = tuple(names)
        self._fetch = fetch
        self._held: dict[torch.device, dict[str, Tensor]] = {}

    def on(self, device: torch.device, names: Sequence[str]) -> dict[str, Tensor]:
        """These weights on that device, fetched the first time."""
        held = self._held.setdefault(device, {})
        lacking = [name for name in names if name not in held]
        if lacking:
            held.update({name: _moved(tensor, device) for name, tensor in self._fetch(lacking).items()})
        return {name: held[name] for name in names}


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    if tensor.device == device:
        return tensor
    moved = tensor.detach().to(device)
    return nn.Parameter(moved, requires_grad=False) if isinstance(tensor, nn.Parameter) else moved


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSource:
    """Segments of a program."""

    program: Program
    cuts: tuple[Cut, ...]
    weights: Weights
    home: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return len(self.cuts) + 1

    def make(self, first: int, last: int, device: torch.device | None) -> Segment:
        """A module of blocks first+1..last."""
        part = self.range(first, last)
        where = device or self.home
        return Segment(part, self.weights.on(where, part.weights()), where)

    def range(self, first: int, last: int) -> Range:
        """What that module computes."""
        inputs, start, prelude = self.program.inputs, 0, tuple[Call, ...]()
        if first > 0:
            cut = self.cuts[first - 1]
            inputs, start, prelude = cut.carried, cut.place, cut.recompute
        outputs, end, structure = self._end(last)
        return make_range(inputs, (*prelude, *self.program.calls[start:end]), outputs, structure)

    def _end(self, last: int) -> tuple[tuple[Argument, ...], int, Structure | None]:
        if last == self.blocks:
            return self.program.outputs, len(self.program.calls), self.program.structure
        cut = self.cuts[last - 1]
        return tuple(Ref(name) for name in cut.carried), cut.place, None
