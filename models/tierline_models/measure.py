"""What each exit of a bundle answers on labelled samples, one sample at a time as a node would."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from tierline_models.bundle import Sample
from tierline_models.calibration import calibration_error
from tierline_models.errors import BundleError
from tierline_models.segmented import SegmentedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitLogits:
    """What every exit says of the same samples."""

    logits: dict[int, Tensor]  # (samples, classes) by layer
    truth: Tensor  # (samples,) class numbers

    def correct(self, layer: int) -> Tensor:
        """(samples,) bool: is the exit's answer right?"""
        return self.logits[layer].argmax(1) == self.truth

    def confidence(self, layer: int, temperature: float) -> Tensor:
        """(samples,) calibrated probability of the exit's answer."""
        return torch.softmax(self.logits[layer].double() / temperature, 1).amax(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitReport:
    """How good one exit is."""

    layer: int
    samples: int
    accuracy: float
    calibration_error: float


def run_exits(model: SegmentedModel, samples: Sequence[Sample]) -> ExitLogits:
    """Run every sample through all blocks and all exits."""
    found: dict[int, list[Tensor]] = {layer: [] for layer in model.exits}
    for sample in samples:
        x, layer = model.preprocess(sample.data), 0
        for exit_layer in model.exits:
            x, layer = model.run(x, layer, exit_layer), exit_layer
            found[layer].append(model.logits(layer, x)[0])
    return ExitLogits(
        logits={layer: torch.stack(rows) for layer, rows in found.items()},
        truth=torch.tensor([_class_of(model, sample) for sample in samples]),
    )


def report_exits(model: SegmentedModel, samples: Sequence[Sample]) -> list[ExitReport]:
    """Accuracy and calibration of each exit on these samples."""
    answers = run_exits(model, samples)
    return [
        ExitReport(
            layer=layer,
            samples=len(samples),
            accuracy=float(answers.correct(layer).double().mean()),
            calibration_error=calibration_error(
                answers.confidence(layer, leave.temperature), answers.correct(layer)
            ),
        )
        for layer, leave in model.exits.items()
    ]


def _class_of(model: SegmentedModel, sample: Sample) -> int:
    if sample.label not in model.labels:
        raise BundleError(
            f"a sample is labelled {sample.label!r}; this model knows {', '.join(model.labels)}"
        )
    return model.labels.index(sample.label)
