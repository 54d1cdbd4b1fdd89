"""An early exit of a split model: its head's own small graph, from what travels at a point to logits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from tierline_models.errors import SplitError
from tierline_models.graphs.build import Range, Segment, make_range
from tierline_models.graphs.capture import capture
from tierline_models.graphs.measure import measure
from tierline_models.graphs.points import SplitExit, SplitPoint
from tierline_models.graphs.program import Program
from tierline_models.graphs.source import Weights


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitGraph:
    """What an exit computes, and with which weights."""

    about: SplitExit
    program: Program
    weights: Weights

    def make(self, device: torch.device) -> Segment:
        """A module from the activation to logits (B, classes)."""
        part = self.range()
        return Segment(part, self.weights.on(device, part.weights()), device)

    def range(self) -> Range:
        """What that module computes."""
        program = self.program
        return make_range(program.inputs, program.calls, program.outputs, program.structure)

    def calibrated(self, temperature: float) -> "ExitGraph":
        """The same exit with another temperature."""
        return replace(self, about=replace(self.about, temperature=checked_temperature(temperature)))


def capture_exit(
    point: SplitPoint, carried: Sequence[Tensor], head: nn.Module, temperature: float
) -> tuple[ExitGraph, Tensor]:
    """Trace a head as models are traced; also returns its logits for the example.

    Args:
        point: where it is attached.
        carried: what travels there for the example.
        head: takes these tensors in order, returns logits (B, classes).
        temperature: divides its logits.
    """
    where = f"the exit at layer {point.layer}"
    temperature = checked_temperature(temperature)
    head.eval()
    with torch.no_grad():
        logits = _logits_of(head, carried, where)
    varies = {str(place): one.varies for place, one in enumerate(point.tensors)}
    captured = capture(head, list(carried), varies)
    for name, one in zip(captured.program.inputs, point.tensors, strict=True):
        fixed = [dim for dim in one.varies if isinstance(captured.sizes[name][dim], int)]
        if fixed:
            raise SplitError(
                f"{where} insists that dimension {fixed[0]} of {one.name} is {one.shape[fixed[0]]}, but it "
                "varies with the input; pool over it (TokenHead and ImageHead do)"
            )
    made, _ = measure(captured.program, captured.weights, carried)
    weights = captured.weights
    about = SplitExit(
        layer=point.layer,
        classes=logits.shape[1],
        temperature=temperature,
        flops=sum(one.flops for one in made.values()),
        weight_bytes=sum(one.numel() * one.element_size() for one in weights.values()),
    )
    held = Weights(tuple(weights), lambda names: {name: weights[name] for name in names})
    return ExitGraph(about=about, program=captured.program, weights=held), logits


def _logits_of(head: Callable[..., object], carried: Sequence[Tensor], where: str) -> Tensor:
    wanted = " and ".join(str(tuple(one.shape)) for one in carried)
    try:
        logits = head(*carried)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        first = str(error).strip().partition("\n")[0][:160]
        raise SplitError(f"{where} does not take what travels there, of shape {wanted} ({first})") from error
    batch = carried[0].shape[0] if carried[0].ndim else 0
    if not isinstance(logits, Tensor) or logits.ndim != 2 or logits.shape[0] != batch:
        given = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise SplitError(f"{where} returns {given}; it must return logits, here ({batch}, classes)")
    if not logits.is_floating_point():
        raise SplitError(f"{where} returns {logits.dtype}; logits are floating-point numbers")
    return logits


def checked_temperature(value: float) -> float:
    """A temperature that logits can be divided by."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not 1e-3 <= value <= 1e3:
        raise SplitError(f"a temperature of {value!r:.40} makes no sense; it lies between 0.001 and 1000")
    return float(value)
