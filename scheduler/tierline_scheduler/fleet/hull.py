"""The multiple-choice knapsack of each edge, its linear relaxation solved exactly in one pass.

A row has options with a use of its edge and a cost. Only the corners of the lower convex hull of (use, cost)
can be chosen at a price; going from corner to corner buys cost for use, at an efficiency that falls. All
rows' steps sorted by efficiency and cut at the edge's capacity are the optimum of the linear relaxation, and
the efficiency at the cut is the price of the edge (Sinha and Zoltners 1979; Kellerer, Pferschy and Pisinger
2004, chapter 11).
"""

from dataclasses import dataclass

import numpy as np

from tierline_scheduler.table import Floats, Ints

_NEVER = 1e300  # a cost that arithmetic survives
QUEUE = 40
"""Steps beyond the cut that are tried with what room is left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Walk:
    """The corners of R rows and the K steps between them, for one unit of weight each; row by row, in order.

    Attributes:
        corners: (R, V) name of the option at each corner; the first uses nothing. Unused places repeat the
            last corner.
        row: (K,) of each step.
        level: (K,) which of the row's corners it leads to.
        use: (K,) that it takes more ...
        saved: (K,) ... and cost that it saves.
    """

    corners: Ints
    row: Ints
    level: Ints
    use: Floats
    saved: Floats


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The same of all rows with their weights, as they are sorted and cut.

    Attributes:
        corners: as in `Walk`.
        row: as in `Walk`.
        level: as in `Walk`.
        use: of the edge, by all that the row stands for.
        saved: the same.
        efficiency: `saved` / `use`.
    """

    corners: Ints
    row: Ints
    level: Ints
    use: Floats
    saved: Floats
    efficiency: Floats

    @classmethod
    def joined(cls, parts: "list[Steps]") -> "Steps":
        """Return several as one."""
        if len(parts) == 1:
            return parts[0]
        width = max((steps.corners.shape[1] for steps in parts), default=1)
        wide = [_widened(steps.corners, width) for steps in parts]
        columns = ("row", "level", "use", "saved", "efficiency")
        empty = np.zeros((0, width), dtype=np.int64)
        return cls(
            corners=np.concatenate([empty, *wide]),
            **{name: np.concatenate([[], *(getattr(s, name) for s in parts)]) for name in columns[2:]},
            **{
                name: np.concatenate([empty[:, 0], *(getattr(s, name) for s in parts)])
                for name in columns[:2]
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """Where the sorted steps are cut, M edges.

    Attributes:
        level: (R,) corner of each row, whole steps only.
        price: (M,) cost that one more unit of capacity would save; 0 where there is room for all.
        room: (M,) capacity left by the whole steps.
        broken: (M,) step that no longer fits whole, -1 if all do ...
        queue: ... and it and the next best ones at each edge, for single devices of theirs may fit.
    """

    level: Ints
    price: Floats
    room: Floats
    broken: Ints
    queue: list[Ints]


def walk(cost: Floats, use: Floats, names: Ints) -> Walk:
    """Return the steps along the hull of each row.

    Args:
        cost: (R, P) of each option; infinite where the row may not have it. Each row may have one that uses
            nothing.
        use: (P,) of the edge.
        names: (P,) what the options are called in the corners.
    """
    idle, busy = np.flatnonzero(use <= 0), np.flatnonzero(use > 0)
    first = cost[:, idle].argmin(axis=1)
    rows, spent, used = np.arange(len(cost)), cost[np.arange(len(cost)), idle[first]], np.zeros(len(cost))
    now = idle[first]
    corners: list[Ints] = [names[now]]
    steps: list[tuple[Ints, Ints, Floats, Floats]] = []
    left, need = np.minimum(cost[:, busy], _NEVER), use[busy]
    while len(rows) and len(busy):
        more = need[None, :] - used[:, None]
        more[more <= 0] = np.inf
        worth = spent[:, None] - left
        with np.errstate(over="ignore"):  # an option that is not admitted, and needs next to nothing more
            worth /= more
        best = worth.argmax(axis=1)
        going = np.flatnonzero(worth[np.arange(len(rows)), best] > 0)
        rows, best, left = rows[going], best[going], left[going]
        paid = left[np.arange(len(rows)), best]
        level = np.full(len(rows), len(corners))
        steps.append((rows, level, need[best] - used[going], spent[going] - paid))
        spent, used, now = paid, need[best], now.copy()
        now[rows] = busy[best]
        corners.append(names[now])
    return _by_row(corners, steps)


def _by_row(corners: list[Ints], steps: list[tuple[Ints, Ints, Floats, Floats]]) -> Walk:
    """Return the walk of these steps, each row's together."""
    none = np.zeros(0)
    every = steps or [(none.astype(np.int64), none.astype(np.int64), none, none)]
    row, level, gone, gain = (np.concatenate(part) for part in zip(*every, strict=True))
    order = np.argsort(row, kind="stable")
    return Walk(
        corners=np.column_stack(corners),
        row=row[order],
        level=level[order],
        use=gone[order],
        saved=gain[order],
    )


def spread(walks: list[Walk], same: Ints, weight: Floats, slowness: Floats, first: int) -> Steps:
    """Return the steps of R rows that share the walks of fewer.

    Args:
        walks: one after the other.
        same: (R,) whose walk each row takes.
        weight: (R,) how often the row counts.
        slowness: (R,) what the use is multiplied by.
        first: number of the first row.
    """
    one = _one(walks)
    count = np.bincount(one.row, minlength=len(one.corners))
    begins = np.cumsum(count) - count
    row = np.repeat(np.arange(len(same)), count[same])
    own = np.arange(len(row)) - np.repeat(np.cumsum(count[same]) - count[same], count[same])
    step = np.repeat(begins[same], count[same]) + own
    use = one.use[step] * slowness[row]
    return Steps(
        corners=one.corners[same],
        row=row + first,
        level=one.level[step],
        use=use * weight[row],
        saved=one.saved[step] * weight[row],
        efficiency=one.saved[step] / use,
    )


def _widened(corners: Ints, width: int) -> Ints:
    """Return the corners with so many places, the last one repeated."""
    return corners[:, np.minimum(np.arange(width), corners.shape[1] - 1)]


def _one(walks: list[Walk]) -> Walk:
    if len(walks) == 1:
        return walks[0]
    width = max(one.corners.shape[1] for one in walks)
    starts = np.cumsum([0, *(len(one.corners) for one in walks)])
    return Walk(
        corners=np.concatenate([_widened(one.corners, width) for one in walks]),
        row=np.concatenate([one.row + start for one, start in zip(walks, starts, strict=False)]),
        level=np.concatenate([one.level for one in walks]),
        use=np.concatenate([one.use for one in walks]),
        saved=np.concatenate([one.saved for one in walks]),
    )


def cut(steps: Steps, rows: int, edge: Ints, capacity: Floats) -> Cut:
    """Return the steps that fit, best first.

    Args:
        steps: of all rows.
        rows: how many rows there are.
        edge: (R,) whose capacity a row uses.
        capacity: (M,) left when every row is at its first corner; a negative one counts as none.
    """
    of = edge[steps.row]
    order = np.lexsort((steps.level, steps.row, -steps.efficiency, of))
    of, total = of[order], np.cumsum(steps.use[order])
    begins = np.searchsorted(of, np.arange(len(capacity)))
    ends = np.searchsorted(of, np.arange(len(capacity)), side="right")
    before = np.concatenate([[0.0], total])[begins]
    fits = total - before[of] <= np.maximum(capacity, 0.0)[of] * (1 + 1e-12)
    taken = np.bincount(of[fits], minlength=len(capacity))
    stops = begins + taken
    broken = np.where(stops < ends, order[np.minimum(stops, len(order) - 1)] if len(order) else -1, -1)
    price = np.where(broken >= 0, steps.efficiency[broken] if len(order) else 0.0, 0.0)
    used = np.concatenate([[0.0], total])[stops] - before
    return Cut(
        level=np.bincount(steps.row[order[fits]], minlength=rows),
        price=price,
        room=np.maximum(capacity, 0.0) - used,
        broken=broken,
        queue=[order[a : min(a + QUEUE, b)] for a, b in zip(stops, ends, strict=True)],
    )
