"""The exact joint optimum of a fleet, by an integer program for every edge and level, solved by HiGHS.

With room in the cloud edges do not touch each other, so the joint optimum is the sum over edges of the best
over levels; solving each by itself finds the same as one program, and in minutes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_array

from tierline_scheduler import Objective, fleet

CLOSE = 1e-7  # relative gap at which HiGHS may stop
SECONDS = 30.0


def optimum(made: fleet.Fleet, objective: Objective) -> float:
    """Return the least cost, a second."""
    least = np.full(len(made.edges), np.inf)
    with _silent():
        for level in fleet.LEVELS:
            now = fleet.open_round(made, objective, np.full(len(made.edges), level))
            for edge in range(len(made.edges)):
                least[edge] = min(least[edge], _edge(now, edge))
    return float(least.sum())


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what HiGHS writes to the process's own output from it: that belongs to the rows."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def _edge(now: Any, edge: int) -> float:
    _, cost, use, _ = fleet.matrix(now, edge, np.zeros(1))
    if not len(cost):
        return 0.0
    device, option = np.nonzero(np.isfinite(cost))
    one_each = csr_array((np.ones(len(device)), (device, np.arange(len(device)))))
    found = milp(
        cost[device, option],
        constraints=[
            LinearConstraint(one_each, 1, 1),
            LinearConstraint(use[device, option][None, :], -np.inf, now.capacity[edge]),
        ],
        integrality=np.ones(len(device)),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": CLOSE, "time_limit": SECONDS},
    )
    if found.x is None:
        raise RuntimeError(f"HiGHS found nothing for edge {edge}: {found.message}")
    return float(found.fun)
