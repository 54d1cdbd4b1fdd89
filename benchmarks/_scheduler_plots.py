"""The figures of docs/scheduling.md: deadlines met and cloud work against load, and the knob's curve."""

from pathlib import Path

import matplotlib as mpl
from _rows import Row

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "tierline"
from matplotlib import pyplot as plt  # noqa: E402 - after the choice of how to draw


def plot(rows: list[Row], folder: Path) -> None:
    """Draw both into a folder.

    Args:
        rows: of the benchmark.
        folder: made where it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    load_figure(rows).savefig(folder / "scheduling-load.svg", metadata={"Date": None})
    knob_figure(rows).savefig(folder / "scheduling-knob.svg", metadata={"Date": None})


def load_figure(rows: list[Row]) -> plt.Figure:
    """Draw deadlines met and cloud work of every way to choose against load."""
    figure, (kept, work) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for row in rows:
        if "curve" not in row:
            continue
        name = row["claim"].partition("in time than under ")[2].rpartition(",")[0] or "fleet"
        load, attained, cloud = zip(*row["curve"], strict=True)
        style = {"linewidth": 3, "color": "black"} if name == "fleet" else {"marker": "o"}
        kept.plot(load, attained, label=name, **style)
        work.plot(load, cloud, label=name, **style)
    kept.set(xlabel="edge seconds wanted by those there are", ylabel="devices in time, %", xscale="log")
    work.set(
        xlabel="edge seconds wanted by those there are", ylabel="cloud work, % of all-cloud", xscale="log"
    )
    kept.legend(fontsize="x-small")
    return figure


def knob_figure(rows: list[Row]) -> plt.Figure:
    """Draw mean wait against cloud work at the knob's settings, with all-cloud and all-device."""
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for row in rows:
        if "points" not in row:
            continue
        load = row["claim"].rpartition("at ")[2]
        knob = [row["points"][name] for name in ("knob 0", "knob 0.5, alike", "knob 1")]
        axes.plot(
            [p["cloud s/s"] for p in knob], [p["mean wait s"] for p in knob], "o-", label=f"knob, {load}"
        )
        for name in ("all-cloud", "all-device"):
            point = row["points"][name]
            axes.plot(point["cloud s/s"], point["mean wait s"], "x", label=f"{name}, {load}")
    axes.set(xlabel="cloud seconds a second", ylabel="mean wait, s")
    axes.legend(fontsize="x-small")
    return figure
