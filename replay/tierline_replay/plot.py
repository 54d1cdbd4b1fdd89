"""Draws a replay: latency over time, by the tier that answered, over the uplink that it met."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tierline_broker import Tier
from tierline_replay.errors import PlotError
from tierline_replay.outcome import Outcome
from tierline_replay.summary import split_by_kind
from tierline_replay.world import Change

_COLOURS = {Tier.MOBILE: "tab:green", Tier.EDGE: "tab:orange", Tier.CLOUD: "tab:blue"}


def check_plot() -> None:
    """See to it that drawing will be possible.

    Raises:
        PlotError: matplotlib is not installed.
    """
    _pyplot()


def draw(
    path: Path,
    outcomes: Sequence[Outcome],
    changes: Sequence[Change],
    *,
    plans: Sequence[float],
    deadline: float,
) -> None:
    """Write the picture.

    Args:
        path: its ending chooses the format.
        outcomes: of both kinds.
        changes: of the uplink.
        plans: when each plan came, in seconds after the first request.
        deadline: seconds within which answers were wanted.
    """
    figure, (upper, lower) = _pyplot().subplots(
        2, sharex=True, figsize=(10, 6), height_ratios=(3, 1), layout="constrained"
    )
    ours, cloud = split_by_kind(outcomes)
    _scatter(upper, [one for one in cloud if one.answered], "all in the cloud", color="0.8", marker=".")
    for tier, colour in _COLOURS.items():
        there = [one for one in ours if one.answered and one.result is not None and one.result.tier is tier]
        _scatter(upper, there, f"answered on {tier}", color=colour, marker="o")
    _scatter(upper, [one for one in ours if not one.answered], "failed", color="tab:red", marker="x")
    upper.axhline(deadline, color="0.4", linestyle="--", linewidth=1, label="deadline")
    for at in plans:
        upper.axvline(max(0.0, at), color="0.6", linestyle=":", linewidth=1)
    upper.set(ylabel="latency (s)", yscale="log", title="Latency of each request; dotted: a new plan")
    figure.legend(loc="outside lower center", fontsize="small", ncols=6)
    end = max((one.request.due for one in outcomes), default=0.0)
    times = [*(change.at for change in changes), max(end, changes[-1].at)]
    rates = [0.0 if change.world.pause else change.world.uplink * 8e-6 for change in changes]
    lower.step(times, [*rates, rates[-1]], where="post", color="0.3")
    lower.set(xlabel="seconds", ylabel="uplink (Mbit/s)", ylim=(0, None))
    figure.savefig(path)
    _pyplot().close(figure)


def _scatter(axes: Any, outcomes: Sequence[Outcome], label: str, **style: Any) -> None:
    if outcomes:
        times, seconds = zip(*((one.request.due, max(one.seconds, 1e-3)) for one in outcomes), strict=True)
        axes.scatter(times, seconds, s=12, label=label, **style)


def _pyplot() -> Any:
    """Return pyplot without a window; loaded only here, for it takes a second."""
    try:
        import matplotlib
    except ImportError as error:
        raise PlotError(
            "the plot needs matplotlib; install it with `pip install 'tierline[plot]'`"
        ) from error
    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot
