"""Split at module boundaries that the user lists, for models that cannot be traced."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from tierline_models.errors import SplitError
from tierline_models.graphs.points import SplitPoint, TensorSpec
from tierline_models.graphs.varying import Examples


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What one listed module took and gave for the example, and what that cost."""

    path: str
    module: nn.Module
    takes: tuple[Any, ...]
    gives: Any
    flops: int


class Chain(nn.Sequential):
    """Contiguous blocks of a split model: its own modules, one after the other."""

    def forward(self, *args: Any) -> Any:
        """Run the blocks; returns what the last of them returns."""
        if len(args) == 1 and isinstance(args[0], (tuple, list)):
            args = tuple(args[0])
        for module in self:
            given = module(*args)
            args = given if isinstance(given, tuple) else (given,)
        return given


class Copies:
    """Modules on another device, each copied there once; weights that several share are one there too."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._memo: dict[int, Any] = {}

    def of(self, module: nn.Module) -> nn.Module:
        """That module's copy, made the first time."""
        return copy.deepcopy(module, self._memo).to(self._device)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainSource:
    """Segments made of whole modules."""

    modules: tuple[nn.Module, ...]
    _elsewhere: dict[torch.device, Copies] = field(default_factory=dict)

    @property
    def home(self) -> torch.device:
        """Where the first of its weights is."""
        tensors = (one for module in self.modules for one in module.parameters())
        return next((one.device for one in tensors), torch.device("cpu"))

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return len(self.modules)

    def make(self, first: int, last: int, device: torch.device | None) -> nn.Module:
        """A module of blocks first+1..last; the model itself stays where it is."""
        wanted = self.modules[first:last]
        if device is None or device == self.home:
            return Chain(*wanted)
        copies = self._elsewhere.setdefault(device, Copies(device))
        return Chain(*map(copies.of, wanted))


def chain_of(
    model: nn.Module, examples: Examples, blocks: Sequence[str]
) -> tuple[ChainSource, tuple[SplitPoint, ...]]:
    """Split a model into the modules listed, if running one after the other is all that it does."""
    if isinstance(examples, Mapping):
        raise SplitError("with `blocks=`, give the example inputs in order, not by name")
    steps, result = _watch(model, examples, blocks)
    _check_chain(steps, tuple(examples), result)
    source = ChainSource(modules=tuple(step.module for step in steps))
    return source, tuple(_points(steps))


def _watch(model: nn.Module, examples: Sequence[Tensor], paths: Sequence[str]) -> tuple[list[Step], Any]:
    """Run the example and note what goes in and out of each module listed."""
    seen: dict[str, Step] = {}
    counter = FlopCounterMode(display=False)

    def note(path: str, before: int, module: nn.Module, takes: Any, gives: Any) -> None:
        if path in seen:
            raise SplitError(f"module {path!r} runs more than once, so it cannot be a block; list its parts")
        flops = counter.get_total_flops() - before
        seen[path] = Step(path=path, module=module, takes=tuple(takes), gives=gives, flops=flops)

    started: dict[str, int] = {}
    hooks = []
    for path in paths:
        module = _find(model, path)
        hooks.append(
            module.register_forward_pre_hook(
                lambda _module, _takes, path=path: started.__setitem__(path, counter.get_total_flops())
            )
        )
        hooks.append(
            module.register_forward_hook(
                lambda module, takes, gives, path=path: note(path, started[path], module, takes, gives)
            )
        )
    try:
        with torch.no_grad(), counter:
            result = model(*examples)
    finally:
        for hook in hooks:
            hook.remove()
    unused = [path for path in paths if path not in seen]
    if unused:
        raise SplitError(f"module {unused[0]!r} does not run for these example inputs; leave it out")
    return [seen[path] for path in paths], result


def _find(model: nn.Module, path: str) -> nn.Module:
    try:
        return model.get_submodule(path)
    except AttributeError:
        known = [name for name, _ in model.named_children()]
        raise SplitError(
            f"{type(model).__name__} has no module {path!r}; at its top are {', '.join(known)}"
        ) from None


def _check_chain(steps: Sequence[Step], inputs: tuple[Any, ...], result: Any) -> None:
    """Refuse a model that does something between, before or after its blocks: that would be lost."""
    if not _same(steps[0].takes, inputs):
        raise SplitError(f"the first block, {steps[0].path!r}, does not take what the model takes")
    for one, other in pairwise(steps):
        if not _same(_tuple(one.gives), other.takes):
            raise SplitError(
                f"block {other.path!r} does not take what block {one.path!r} returns: the model does "
                "something in between; put that into a module and list it too"
            )
    if not _same(_tuple(steps[-1].gives), _tuple(result)):
        raise SplitError(f"the model does not return what the last block, {steps[-1].path!r}, returns")


def _same(given: tuple[Any, ...], taken: tuple[Any, ...]) -> bool:
    return len(given) == len(taken) and all(one is other for one, other in zip(given, taken, strict=True))


def _tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def _points(steps: Sequence[Step]) -> list[SplitPoint]:
    points = []
    for layer in range(1, len(steps)):
        before, after = steps[:layer], steps[layer:]
        gives = _tuple(before[-1].gives)
        points.append(
            SplitPoint(
                layer=layer,
                tensors=tuple(spec_of(f"part_{place}", one) for place, one in enumerate(gives)),
                flops_before=sum(step.flops for step in before),
                flops_after=sum(step.flops for step in after),
                weight_bytes_before=_weight_bytes(before),
                weight_bytes_after=_weight_bytes(after),
            )
        )
    return points


def spec_of(name: str, tensor: Any) -> TensorSpec:
    """A tensor as the example made it; raises SplitError for what is none."""
    if not isinstance(tensor, Tensor):
        raise SplitError(f"a block returns a {type(tensor).__name__} where only tensors can travel")
    return TensorSpec(
        name=name,
        shape=tuple(tensor.shape),
        dtype=str(tensor.dtype).removeprefix("torch."),
        bytes=tensor.numel() * tensor.element_size(),
    )


def _weight_bytes(steps: Sequence[Step]) -> int:
    tensors = {id(one): one for step in steps for one in (*step.module.parameters(), *step.module.buffers())}
    return sum(one.numel() * one.element_size() for one in tensors.values())
