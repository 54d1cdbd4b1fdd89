"""Taking turns at the clock, and rows of results."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
Call = Callable[[], object]
Turns = dict[str, list[float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Effort:
    """How thoroughly to measure.

    Attributes:
        quick: whether to take few samples too.
        rounds: in which everything takes its turn.
        turn_elements: how many elements a call codes in its turn, in as many repetitions as that takes.
    """

    quick: bool
    rounds: int
    turn_elements: int

    @property
    def lighter(self) -> "Effort":
        """Half of it, where a figure needs no more."""
        return Effort(
            quick=self.quick, rounds=max(3, self.rounds // 2), turn_elements=self.turn_elements // 2
        )


THOROUGH = Effort(quick=False, rounds=15, turn_elements=1_500_000)
QUICK = Effort(quick=True, rounds=3, turn_elements=200_000)


def take_turns(calls: Mapping[str, Call], elements: int, effort: Effort) -> Turns:
    """Return each call's CPU seconds, round by round; a first round, and a call before each turn, warm up.

    Args:
        calls: by name, each coding so many elements.
        elements: of the array.
        effort: how many rounds, and how long a turn.
    """
    found: Turns = {name: [] for name in calls}
    times = max(2, effort.turn_elements // elements)
    for call in calls.values():
        call()
    for _ in range(effort.rounds):
        for name, call in calls.items():
            call()  # what ran before has left its own data in the caches
            found[name].append(seconds_of(call, times))
    return found


def seconds_of(call: Call, times: int) -> float:
    """Return the mean CPU seconds of one call."""
    start = time.thread_time()
    for _ in range(times):
        call()
    return (time.thread_time() - start) / times


def medians(turns: Turns) -> dict[str, float]:
    """Return each call's median seconds."""
    return {name: statistics.median(seconds) for name, seconds in turns.items()}


def row(claim: str, values: Sequence[float], reach: float, *, better: str, unit: str, **more: Any) -> Row:
    """Return a row of results: the median of the values, and how they spread."""
    return {
        "claim": claim,
        "value": statistics.median(values),
        "reach": reach,
        "better": better,
        "unit": unit,
        "spread": [min(values), max(values)],
        "runs": len(values),
        **more,
    }
