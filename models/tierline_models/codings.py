"""What was measured of coding at a bundle's split points: files beside its weights, checked when read."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from tierline_models.arrays import Array
from tierline_models.card import ModelCardData, PointData
from tierline_models.errors import BundleError
from tierline_models.graphs.files import Files

BUDGETS, CALIBRATIONS = "budgets.json", "calibrations.safetensors"
FORMAT = 1
PARTS = ("mean", "scale", "outliers")
_MOST_BYTES = 64 * 2**20

Calibrations = Mapping[int, Mapping[str, Array]]
"""By split point: mean and scale of each channel (C,), and the numbers of the outlier channels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CodecReport:
    """What one codec does at one split point.

    Attributes:
        error: the largest of any sample, relative (L2).
        frame_bytes: mean.
        changed: share of labels that changed, at the worst exit after the split point.
        lost: share of right answers lost on balance, at the worst exit; below 0 where some were won.
        cosine: the smallest of any sample, between the last block's activations with and without coding.
        samples: that it was tried on, which ends where it, or one of a smaller error, fails the limit.
    """

    error: float
    frame_bytes: int
    changed: float
    lost: float
    cosine: float
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PointBudget:
    """What coding may and does do at one split point.

    Attributes:
        layer: blocks before it.
        error_budget: the largest error, relative (L2), up to which all codecs kept to the limit.
        codecs: all that were tried, by name.
    """

    layer: int
    error_budget: float
    codecs: dict[str, CodecReport]


@dataclass(frozen=True, slots=True, kw_only=True)
class Codings:
    """Error budgets and channel calibrations of a bundle; empty where nobody measured them."""

    budgets: tuple[PointBudget, ...] = ()
    calibrations: Calibrations


NOTHING = Codings(calibrations={})


def codings_to_files(
    codings: Codings, limit: Mapping[str, float | None], made: Mapping[str, str]
) -> dict[str, bytes]:
    """The contents of both files by name.

    Args:
        codings: what was measured.
        limit: that the budgets keep.
        made: by which command, of how many samples, with which versions; for people.
    """
    document = {
        "format": FORMAT,
        "made": dict(made),
        "limit": dict(limit),
        "points": [asdict(budget) for budget in codings.budgets],
    }
    tensors = {
        f"{layer}.{part}": np.ascontiguousarray(parts[part])
        for layer, parts in sorted(codings.calibrations.items())
        for part in PARTS
    }
    return {BUDGETS: (json.dumps(document, indent=1) + "\n").encode(), CALIBRATIONS: save(tensors)}


def codings_beside(files: Files) -> Codings:
    """What was measured of coding and stands beside a bundle's own files, if anything."""
    if BUDGETS not in files or CALIBRATIONS not in files:
        return NOTHING
    return codings_from_files(*(files.check(name).read_bytes() for name in (BUDGETS, CALIBRATIONS)))


def codings_from_files(budgets: bytes, calibrations: bytes) -> Codings:
    """Read both files back.

    Raises:
        BundleError: one of them is not what `codings_to_files` writes.
    """
    if max(len(budgets), len(calibrations)) > _MOST_BYTES:
        raise BundleError(f"{BUDGETS} or {CALIBRATIONS} is larger than any bundle needs; make them again")
    return Codings(budgets=_budgets(budgets), calibrations=_calibrations(calibrations))


def shipped_codings(bundle: str) -> Codings:
    """What the catalogue's bundle comes with; nothing where it was not measured yet."""
    found = [_shipped(bundle, name) for name in (BUDGETS, CALIBRATIONS)]
    if not all(one.is_file() for one in found):
        return NOTHING
    return codings_from_files(*(one.read_bytes() for one in found))


def write_codings(bundle: str, contents: Mapping[str, bytes], into: Path | None = None) -> list[Path]:
    """Write both files of a catalogue's bundle where releases have them, or into a folder; return where.

    Raises:
        BundleError: this installation is no folder that can be written to.
    """
    paths = [Path(str(_shipped(bundle, name))) if into is None else into / name for name in contents]
    try:
        for path, content in zip(paths, contents.values(), strict=True):
            path.write_bytes(content)
    except OSError as error:
        raise BundleError(
            f"{error.filename} cannot be written ({error.strerror}); work in a checkout"
        ) from error
    return paths


def with_codings(card: ModelCardData, codings: Codings) -> ModelCardData:
    """A card whose split points have measured frames, errors and budgets in place of estimates."""
    measured = {budget.layer: budget for budget in codings.budgets}
    points = tuple(
        point if point.layer not in measured else _measured(point, measured[point.layer], codings)
        for point in card.points
    )
    return replace(card, points=points)


def _measured(point: PointData, budget: PointBudget, codings: Codings) -> PointData:
    parts = codings.calibrations.get(point.layer)
    return replace(
        point,
        frame_bytes={name: report.frame_bytes for name, report in budget.codecs.items()},
        errors={name: report.error for name, report in budget.codecs.items()},
        error_budget=budget.error_budget,
        calibration="" if parts is None else _digest(parts),
    )


def _digest(parts: Mapping[str, Array]) -> str:
    return hashlib.sha256(b"".join(parts[part].tobytes() for part in PARTS)).hexdigest()[:16]


def _shipped(bundle: str, name: str) -> Traversable:
    return files("tierline_models").joinpath("data", f"{bundle}_{name}")


def _budgets(content: bytes) -> tuple[PointBudget, ...]:
    try:
        document = json.loads(content)
        if document["format"] != FORMAT:
            raise ValueError(f"format {document['format']!r:.20}")
        return tuple(_budget(point) for point in document["points"])
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise BundleError(
            f"{BUDGETS} is not what calibration writes ({error!r:.120}); make it again"
        ) from error


def _budget(point: dict[str, Any]) -> PointBudget:
    codecs = {str(name): CodecReport(**report) for name, report in point["codecs"].items()}
    budget = PointBudget(layer=int(point["layer"]), error_budget=float(point["error_budget"]), codecs=codecs)
    figures = [budget.error_budget, *(one.error for one in codecs.values())]
    sizes = [one.frame_bytes for one in codecs.values()]
    if not all(0 <= one <= 1e6 for one in figures) or not all(0 < int(one) < 2**40 for one in sizes):
        raise ValueError("an error or a size makes no sense")
    return budget


def _calibrations(content: bytes) -> Calibrations:
    found: dict[int, dict[str, Array]] = {}
    try:
        for name, array in load(content).items():
            layer, _, part = name.partition(".")
            if part not in PARTS or array.ndim != 1:
                raise ValueError(f"{name!r:.40} is no part of a calibration")
            found.setdefault(int(layer), {})[part] = array
        if any(set(parts) != set(PARTS) for parts in found.values()):
            raise ValueError("a split point lacks its mean, scale or outliers")
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        text = f"{CALIBRATIONS} is not what calibration writes ({error!r:.120}); make it again"
        raise BundleError(text) from error
    return found
