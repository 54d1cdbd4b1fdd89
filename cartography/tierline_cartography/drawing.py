"""Pictures of records: the data map of an exit, and accuracy against layers saved."""

from pathlib import Path
from typing import Any

import numpy as np

from tierline_cartography.analysis.data_map import data_map
from tierline_cartography.analysis.evaluate import Evaluation
from tierline_cartography.analysis.pools import EASY, HARD, MEDIUM, Pools
from tierline_cartography.analysis.stopping import OURS
from tierline_cartography.errors import DrawingError
from tierline_cartography.records import Records

MOST_DOTS = 4000
_MARKS = {EASY: ("o", "easy"), MEDIUM: ("^", "medium"), HARD: ("s", "hard")}


def draw_map(path: Path, records: Records, layer: int, pools: Pools | None) -> None:
    """Draw every trained sample by variability and confidence at one exit, for the first seed.

    Args:
        path: its ending chooses the format.
        records: of a task.
        layer: of the exit.
        pools: gives samples their marks; correctness gives them their colours.

    Raises:
        DrawingError: matplotlib is not installed, or the file cannot be written.
    """
    place = records.places((layer,))[0]
    found = data_map(records.train_true[0][:, place], records.train_correct[0][:, place])
    shown = np.random.default_rng(0).permutation(len(found.confidence))[:MOST_DOTS]
    marks = np.full(len(found.confidence), MEDIUM) if pools is None else pools.pools
    figure, axes = _pyplot().subplots(figsize=(7, 5), layout="constrained")
    for pool, (mark, name) in _MARKS.items():
        some = shown[marks[shown] == pool]
        dots = axes.scatter(
            found.variability[some],
            found.confidence[some],
            c=found.correctness[some],
            cmap="coolwarm_r",
            vmin=0,
            vmax=1,
            s=9,
            marker=mark,
            linewidths=0,
            rasterized=True,  # thousands of dots
            label=None if pools is None else f"{name}, {pools.shares[pool]:.0%}",
        )
    figure.colorbar(dots, label="correctness")
    axes.set(
        xlabel="variability",
        ylabel="confidence",
        title=f"{records.task}, exit after block {layer}, {len(found.confidence)} samples, one seed",
    )
    if pools is not None:
        axes.legend(fontsize="small")
    _save(figure, path)


def draw_pareto(path: Path, evaluation: Evaluation) -> None:
    """Draw every rule's accuracy against the layers it saves, on test; settings chosen on validation."""
    figure, axes = _pyplot().subplots(figsize=(8, 5.5), layout="constrained")
    for name, curve in evaluation.curves.items():
        points = sorted(curve.points)
        style: dict[str, Any] = {"linewidth": 2.5, "color": "black", "zorder": 3} if name == OURS else {}
        axes.plot([100 * x for x, _ in points], [100 * y for _, y in points], marker=".", label=name, **style)
    axes.axhline(100 * evaluation.all_cloud_accuracy, color="0.5", linestyle="--", linewidth=1)
    axes.set(
        xlabel="layers saved (%)",
        ylabel="accuracy on test (%)",
        title=f"{evaluation.task}, exits after {', '.join(map(str, evaluation.exits))}; dashed: all-cloud",
    )
    lowest = 100 * min(evaluation.accuracy)
    highest = 100 * max(*evaluation.accuracy, evaluation.all_cloud_accuracy)
    axes.set_ylim(lowest - 1, highest + 4)
    axes.legend(fontsize="x-small", ncols=2)
    _save(figure, path)


def check_drawing() -> None:
    """See to it that drawing will be possible; raises DrawingError."""
    _pyplot()


def _save(figure: Any, path: Path) -> None:
    kind = path.suffix.removeprefix(".")
    scratch = path.with_name(f".{path.name}")
    try:
        figure.savefig(scratch, format=kind, metadata={"Date": None} if kind == "svg" else None)
        scratch.replace(path)
    except (OSError, ValueError) as error:
        scratch.unlink(missing_ok=True)
        raise DrawingError(f"cannot write {path} ({error}); choose another folder or ending") from error
    finally:
        _pyplot().close(figure)


def _pyplot() -> Any:
    try:
        import matplotlib as mpl
    except ModuleNotFoundError as error:
        raise DrawingError(
            "drawing needs matplotlib, which is not installed: pip install 'tierline[plot]'"
        ) from error
    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "tierline"
    import matplotlib.pyplot as plt

    return plt
