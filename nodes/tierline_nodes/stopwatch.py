"""Seconds on the wall and in this thread, to emulate a slower device without amplifying noise."""

import time
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spent:
    """Seconds between two moments in one thread."""

    wall: float = 0.0
    cpu: float = 0.0

    def slowed(self, factor: float) -> float:
        """Return the seconds that a device `factor` times slower would have spent.

        Only the thread's own work is stretched: the time in which other processes held the core is not this
        device's.
        """
        return self.wall + max(0.0, factor - 1) * self.cpu


NOTHING = Spent()


class Stopwatch:
    """Measures laps in the calling thread."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.perf_counter(), time.thread_time()

    def lap(self) -> Spent:
        """Return what was spent since the last lap."""
        wall, cpu = time.perf_counter(), time.thread_time()
        spent = Spent(wall - self._wall, cpu - self._cpu)
        self._wall, self._cpu = wall, cpu
        return spent
