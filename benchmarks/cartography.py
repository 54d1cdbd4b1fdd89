"""What is saved at which drop, for every task whose records are in `results/cartography`.

Nothing is trained here: `make cartography` makes the records anew.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tierline_cartography import (
    Evaluation,
    Outcome,
    PoolError,
    RecordError,
    Records,
    evaluate,
    load_records,
    pooled,
    promises,
    published_costs,
    shifts,
)
from tierline_models import Spoken, judge, load_bundle

FOLDER = Path(__file__).parent / "results" / "cartography"
TIERS, EVERY = (2, 4, 6), (1, 2, 3, 4, 5, 6)
OFFLOADS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
OURS = "gain of depth (ours)"
THRESHOLDS = ("confidence, one threshold", "confidence, two thresholds")
DIMEC = ("DIMEC-DC (ambiguous)", "DIMEC-DC (hard-to-learn)")
PROMISED = 1.0  # points, of the guarantee
SHIFTED = 1.0  # points, under a shift of the source
SAVED = {("sst2", TIERS): 57, ("sst2", EVERY): 70, ("snippets", TIERS): 57}
LEAST_SEEDS = 5
WALLED = ("cola", "rte")  # this encoder is near the majority class there: shown, and nothing claimed
PUBLISHED_REACH = {0.1: 61.0, 0.6: 71.0}  # by o: the literature's range

Row = dict[str, Any]


def main() -> None:
    """Compute, and print rows."""
    each_task(of_task, __doc__)


def each_task(of_task: Callable[..., list[Row]], about: str | None) -> None:
    """Print what is to be said of every task whose records are there, as rows."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    rows: list[Row] = []
    for path in sorted(FOLDER.glob("*.npz")):
        records = load_records(path)
        print(
            f"{records.task}: {len(records.seeds)} seeds, {len(records.test)} test samples", file=sys.stderr
        )
        rows += of_task(records, quick=quick)
    if not rows:
        print(f"there are no records in {FOLDER}; `make cartography` makes them", file=sys.stderr)
    print(json.dumps(rows or None, indent=1))


def of_task(records: Records, *, quick: bool) -> list[Row]:
    """Return every row of one task."""
    if records.task in WALLED:
        return of_wall(records)
    if len(records.seeds) < LEAST_SEEDS:
        raise RecordError(f"{records.task} has {len(records.seeds)} seeds; a verdict needs {LEAST_SEEDS}")
    found = {exits: evaluate(records, exits) for exits in (TIERS, EVERY)}
    rows = [row for one in found.values() for row in of_evaluation(one)]
    rows += of_published(records, (0.1, 0.6) if quick else OFFLOADS)
    rows += of_promises(records, sets=20 if quick else 200)
    rows += of_shifts(records)
    return [*rows, of_routing(records.task, runs=20 if quick else 200)]


def of_wall(records: Records) -> list[Row]:
    """Return what a task shows on which the encoder hardly learns more than which class is common."""
    one, runs = evaluate(records, TIERS), len(records.seeds)
    ours = one.outcomes[OURS]
    common = 100 * np.bincount(records.test.labels).max() / len(records.test)
    about = f"{records.task}, {len(records.test)} test samples"
    told = f"drop {ours.drop.point:.2f}, bound {ours.drop.upper:.2f}, {ours.drop.word}"
    wall = f"{about}: accuracy of all-cloud above the common class's {common:.1f} %"
    return [
        row(wall, 100 * one.all_cloud_accuracy - common, 0.0, "points", runs),
        row(f"{about}: layers saved ({told})", 100 * ours.saved, 0.0, "%", runs),
        row(f"{about}: layers that the oracle saves at that drop", 100 * one.oracle_saved, 0.0, "%", runs),
    ]


def of_evaluation(one: Evaluation) -> list[Row]:
    """Return the rows of one choice of exits."""
    about = f"{one.task}, exits after {'every block' if one.exits == EVERY else '2, 4, 6'}"
    ours = one.outcomes[OURS]
    runs = len(ours.chosen)
    reach = SAVED.get((one.task, one.exits))
    rows = [] if reach is None else [of_saving(about, ours, reach, runs)]
    share = 100 * ours.saved / one.oracle_saved
    rows.append(row(f"{about}: saving as a share of the oracle's at equal drop", share, 90, "%", runs))
    named = [name for name in (*DIMEC, "confidence, two thresholds") if name in one.ahead]
    least = min((one.ahead[name].points, name) for name in named)
    rows.append(
        row(
            f"{about}: accuracy at equal cost above {_short(least[1])}, the best rival",
            least[0],
            0.0,
            "points",
            runs,
        )
    )
    worst = max(one.corrected.items(), key=lambda pair: pair[1])
    claim = f"{about}: less cost than every baseline, largest p after Holm ({_short(worst[0])})"
    rows.append(row(claim, worst[1], 0.05, "", runs, better="lower"))
    return rows


def of_saving(about: str, ours: Outcome, reach: float, runs: int) -> Row:
    """Return the row of what is saved; nothing counts as saved where the drop is not shown."""
    drop = f"drop {ours.drop.point:.2f}, bound {ours.drop.upper:.2f}"
    if ours.drop.shown:
        low, high = (100 * one for one in ours.spread)
        claim = f"{about}: layers saved with the drop shown ≤ 0.5 ({drop})"
        return row(claim, 100 * ours.saved, reach, "%", runs, spread=(low, high))
    told = f"point only: saves {100 * ours.saved:.1f} %, {drop}"
    claim = f"{about}: layers saved with the drop shown ≤ 0.5 ({told})"
    return row(claim, 0.0, reach, "%", runs)


def of_published(records: Records, offloads: tuple[float, ...]) -> list[Row]:
    """Return the rows in the literature's unit, transfers priced, samples resumed at the cut."""
    found = {offload: published_costs(records, TIERS, offload) for offload in offloads}
    runs = len(records.seeds)
    rows = [_at_offload(records.task, offload, found[offload][OURS], runs) for offload in PUBLISHED_REACH]
    lead = [100 * (one[OURS].saved - max(one[name].saved for name in THRESHOLDS)) for one in found.values()]
    about = f"{records.task}, published cost, every o from {offloads[0]} to {offloads[-1]}"
    claim = f"{about}: saved above plain thresholds, at the least"
    rows.append(row(claim, min(lead), 0.0, "points", runs, spread=(min(lead), max(lead))))
    published = [(one[name], offload) for offload, one in found.items() for name in DIMEC if name in one]
    if published:
        best, offload = max(published, key=lambda pair: pair[0].saved if pair[0].drop.shown else -1.0)
        drop = f"drop {best.drop.point:.2f}, {best.drop.word}"
        claim = f"{about}: DIMEC-DC as published, its best, at {offload} ({drop})"
        rows.append(row(claim, 100 * best.saved, 43, "%", runs))
    return rows


def _at_offload(task: str, offload: float, ours: Outcome, runs: int) -> Row:
    about = f"{task}, published cost, o = {offload}"
    drop = f"drop {ours.drop.point:.2f}, bound {ours.drop.upper:.2f}"
    reach = PUBLISHED_REACH[offload]
    if ours.drop.shown:
        low, high = (100 * one for one in ours.spread)
        return row(f"{about}: saved ({drop}, shown)", 100 * ours.saved, reach, "%", runs, spread=(low, high))
    claim = f"{about}: saved with the drop shown (point only: {100 * ours.saved:.1f} %, {drop})"
    return row(claim, 0.0, reach, "%", runs)


def of_promises(records: Records, *, sets: int) -> list[Row]:
    """Return how often a guarantee is broken."""
    certain, expected = promises(records, TIERS, PROMISED, sets=sets)
    about = f"{records.task}, guarantee of {PROMISED:g} point"
    return [
        row(
            f"{about}, {certain.method}: promise broken (saves {certain.saved:.0%} of layers, "
            f"certifies nothing in {certain.unable:.0%} of the sets)",
            100 * certain.broken,
            5.0,
            "%",
            sets,
            better="lower",
        ),
        row(
            f"{about}, {expected.method}: expected drop (saves {expected.saved:.0%})",
            expected.drop,
            PROMISED,
            "points",
            sets,
            better="lower",
        ),
    ]


def of_shifts(records: Records) -> list[Row]:
    """Return the verdict with other sources, and the drop under a shift, where there are other sources."""
    try:
        found, whole = shifts(records, TIERS, budget=SHIFTED), pooled(records, TIERS)
    except PoolError:
        return []
    about = f"{records.task}, pooled with the other sources, {whole.chosen.shape[1]} samples"
    verdict = of_saving(about, whole, SAVED[(records.task, TIERS)], len(records.seeds))
    return [
        verdict,
        *(
            row(
                f"{records.task}, {one.stream}: bound of the drop after 500 samples (saves {one.saved:.0%})",
                one.drop.upper,
                SHIFTED,
                "points",
                len(records.seeds),
                better="lower",
            )
            for one in found
        ),
    ]


def of_routing(task: str, *, runs: int) -> Row:
    """Return what a node takes to decide at the mobile's exit, beside the mobile's two blocks."""
    bundle = load_bundle("text")
    assert bundle.cartography is not None
    model, first = bundle.model, TIERS[0]
    x = model.preprocess(b"It starts slowly, and the jokes are old, but two fine actors make it a pleasure.")
    deciding, computing = [], []
    for _ in range(runs):
        began = time.perf_counter()
        said = Spoken(layer=first, logits=model.exit(first, model.run(x, 0, first)).logits)
        middle = time.perf_counter()
        judge(bundle.cartography, said, None, TIERS[-1])
        computing.append(middle - began)
        deciding.append(time.perf_counter() - middle)
    share = 100 * statistics.median(deciding) / statistics.median(computing)
    claim = f"{task}: time to route one sample, of the mobile's compute"
    return row(claim, share, 2.0, "%", runs, better="lower")


def row(
    claim: str,
    value: float,
    reach: float,
    unit: str,
    runs: int,
    *,
    better: str = "higher",
    spread: tuple[float, float] | None = None,
) -> Row:
    """Return one row."""
    low, high = spread or (value, value)
    return {
        "claim": claim,
        "value": value,
        "reach": reach,
        "better": better,
        "unit": unit,
        "spread": [low, high],
        "runs": runs,
    }


def _short(name: str) -> str:
    return name.replace("confidence, ", "")


if __name__ == "__main__":
    main()
