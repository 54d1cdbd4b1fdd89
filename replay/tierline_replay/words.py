"""The summary in plain words: what was measured as saved, and what it cost, nothing more. Pure."""

import math
from collections.abc import Mapping
from typing import Any

WORTH_SAYING = 0.02
"""A relative difference below this is not told as one: noise does as much."""
_LARGER = " (an activation is larger than the input that it stands for)"


def verdict(found: Mapping[str, Any]) -> str:
    """Return one sentence about a summary document."""
    changes = [
        _change("the cloud's work", found["cloud_work_saved"]),
        _change("the phone's upload", _less(found["uplink_bytes"], found["uplink_bytes_all_cloud"]), _LARGER),
        _change(
            "the median latency",
            _less(found["latency_seconds"]["p50"], found["all_cloud"]["latency_seconds"]["p50"]),
        ),
    ]
    saved = [text for better, text in filter(None, changes) if better]
    paid = [text for better, text in filter(None, changes) if not better]
    gain = f"saved {_listed(saved)}" if saved else "saved nothing that was measured"
    price = f", but raised {_listed(paid)}" if paid else ""
    result = f"{gain}{price}{_accuracy(found)}{_failures(found)}"
    return f"Against the same inputs all sent to the cloud, this run {result}."


def _less(ours: float, theirs: float) -> float:
    return 1 - ours / theirs if theirs > 0 else 0.0


def _change(what: str, saved: float, why: str = "") -> tuple[bool, str] | None:
    """Return whether it is a saving, and how to say it; None where the difference is too small to tell."""
    if abs(saved) < WORTH_SAYING:
        return None
    if saved > 0:
        return True, f"{math.floor(100 * saved + 1e-9)}% of {what}"
    return False, (
        f"{what} {1 - saved:.1f} times" if saved <= -1 else f"{what} by {math.ceil(-100 * saved - 1e-9)}%"
    ) + why


def _accuracy(found: Mapping[str, Any]) -> str:
    ours, theirs = found["accuracy"], found["accuracy_all_cloud"]
    if ours is None or theirs is None:
        return ""
    return f"; {ours:.1%} of its answers were right, {theirs:.1%} all in the cloud"


def _failures(found: Mapping[str, Any]) -> str:
    if not found["failed"]:
        return ""
    return f"; {found['failed']} of {found['requests']} requests failed"


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
