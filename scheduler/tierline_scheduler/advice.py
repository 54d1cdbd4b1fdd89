"""Whether splitting a model helps here, and why, in numbers."""

from collections.abc import Sequence

from tierline_broker import RAW_INPUT
from tierline_scheduler.explain import Alternative


def advice(alternatives: Sequence[Alternative]) -> str:
    """Return in one sentence what splitting brings, or why it does not help.

    Args:
        alternatives: as `explain` yields them, the chosen one first.
    """
    chosen = alternatives[0]
    if is_split(chosen):
        whole = _best(alternatives, split=False)
        return (
            "splitting is all there is here"
            if whole is None
            else f"splitting helps: {_against(chosen, whole)}"
        )
    cut = _best(alternatives, split=True)
    if cut is None:
        return "splitting does not help here, because no split can be carried out"
    return f"splitting does not help here, because {_because(cut, chosen)}"


def is_split(one: Alternative) -> bool:
    """Return whether an activation travels, not the raw input alone."""
    return any(stage.codec != RAW_INPUT for stage in one.route.stages)


def _best(alternatives: Sequence[Alternative], *, split: bool) -> Alternative | None:
    """Return the best of those that split, or of those that do not; what keeps the limits comes first."""
    possible = [
        one
        for one in alternatives
        if is_split(one) == split and not {"memory", "frame"} & set(one.estimate.broken)
    ]
    return min(possible, key=_rank, default=None)


def _rank(one: Alternative) -> tuple[bool, bool, float, float]:
    found = one.estimate
    return not found.feasible, "accuracy" in found.broken, found.expected, found.mean_seconds


def _because(cut: Alternative, chosen: Alternative) -> str:
    """Return what keeps the best split from being better."""
    sent = max(leg.received_bytes for leg in cut.estimate.candidate.legs)
    said = f"the best split hands {sent} bytes on at layer {cut.route.stages[-2].layer}"
    if cut.estimate.broken and not chosen.estimate.broken:
        return f"{said} and breaks a limit ({cut.rejected}), while {_figures(chosen)} does not"
    neither = ", and neither keeps all limits" if chosen.estimate.broken else ""
    return f"{said}: {_against(cut, chosen)}{neither}"


def _against(one: Alternative, other: Alternative) -> str:
    return f"{_figures(one)}, against {_figures(other)} for the best that does {_kind(other)}"


def _kind(one: Alternative) -> str:
    return "split" if is_split(one) else "not"


def _figures(one: Alternative) -> str:
    found = one.estimate
    return (
        f"{found.safe_seconds * 1000:.0f} ms with margin, {found.mean_seconds * 1000:.0f} ms on average and"
        f" {found.cloud_seconds * 1000:.2f} ms of cloud work"
    )
