"""`tierline cartography`: the data maps, the pools, and what each rule shows, from a file of records."""

import json
from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tierline.cartography_fit import fit, priced, prices_of
from tierline.errors import UsageError
from tierline.terminal import console, note

if TYPE_CHECKING:
    from tierline_cartography import Evaluation, Pools, Records


def main(args: Namespace) -> int:
    """Run the command."""
    if args.action == "fit":
        return fit(args)
    from tierline_cartography import check_drawing, load_records

    if args.action == "plot":
        check_drawing()
    records = load_records(Path(args.records))
    exits = args.exits or _thirds(records.exits)
    note(f"{records.task}: {len(records.seeds)} seeds, {len(records.test)} test samples, exits {list(exits)}")
    return _plot(args, records, exits) if args.action == "plot" else _report(args, records, exits)


def _thirds(exits: tuple[int, ...]) -> tuple[int, ...]:
    """One exit a tier."""
    if len(exits) < 3:
        return exits
    return tuple(sorted({exits[round(len(exits) * part / 3) - 1] for part in (1, 2, 3)}))


def _plot(args: Namespace, records: "Records", exits: tuple[int, ...]) -> int:
    from tierline_cartography import draw_map, draw_pareto, evaluate

    out = Path(args.out or ".")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot make {out}: {error.strerror}; choose another with --out") from error
    pools = _pools(args, records, exits)
    written = []
    for layer in exits:
        written.append(out / f"{records.task}-map-{layer}.svg")
        draw_map(written[-1], records, layer, pools)
    written.append(out / f"{records.task}-pareto-{'-'.join(map(str, exits))}.svg")
    draw_pareto(written[-1], evaluate(records, exits))
    if args.json:
        print(json.dumps({"written": [str(path) for path in written]}))
    else:
        print("\n".join(f"wrote {path}" for path in written))
    return 0


def _pools(args: Namespace, records: "Records", exits: tuple[int, ...]) -> "Pools | None":
    """Of the first seed; None where there are no three tiers or every choice is degenerate."""
    from tierline_cartography import PoolError, data_map, find_pools

    if len(exits) != 3:
        return None
    places = records.places(exits)
    true, correct = records.train_true[0], records.train_correct[0]
    try:
        return find_pools(
            data_map(true[:, places[-1]], correct[:, places[-1]]),
            true[-1, places],
            correct[-1, places].astype(float),
            (exits[0], exits[1], exits[2]),
            prices=prices_of(args),
            budget=args.drop,
            reading=args.hard,
        )
    except PoolError as error:
        note(f"no pools are drawn: {error}")
        return None


def _report(args: Namespace, records: "Records", exits: tuple[int, ...]) -> int:
    from tierline_cartography import evaluate, routed, save_records

    found = evaluate(records, exits)
    pools = _pools(args, records, exits)
    if args.out:
        save_records(Path(args.out), routed(records, found))
        note(f"wrote {args.out}: where each test sample was answered, and why")
    if args.json:
        print(json.dumps(_document(found, pools)))
        return 0
    table = Table("rule", "layers saved", "drop", "95 % bound", "", "ahead by", "p", box=None, pad_edge=False)
    for name, one in sorted(found.outcomes.items(), key=lambda pair: -pair[1].saved):
        lead = found.ahead.get(name)
        table.add_row(
            name,
            f"{one.saved:.1%}",
            f"{one.drop.point:.2f}",
            f"{one.drop.upper:.2f}",
            one.drop.word,
            "" if lead is None else f"{lead.points:+.2f}",
            "" if lead is None else f"{found.corrected[name]:.3f}",
        )
    console().print(table)
    print(
        f"all-cloud is {found.all_cloud}, {found.all_cloud_accuracy:.1%} right; "
        f"settings sealed as {found.sealed[:16]}"
    )
    print("ahead by: points of accuracy of ours at equal cost; p after Holm's correction")
    if pools is not None:
        told = ", ".join(f"{name} {share:.0%}" for name, share in _shares(pools))
        lost = f"{pools.drop:.2f} points lost of {pools.budget:g}"
        print(f"pools ({priced(pools.prices)}, {lost}): {told}; {pools.thresholds}")
    return 0


def _shares(pools: "Pools") -> list[tuple[str, float]]:
    return list(zip(("easy", "medium", "hard"), pools.shares, strict=True))


def _document(found: "Evaluation", pools: "Pools | None") -> dict[str, Any]:
    return {
        "task": found.task,
        "exits": found.exits,
        "all_cloud": {"is": found.all_cloud, "accuracy": found.all_cloud_accuracy},
        "accuracy": found.accuracy,
        "sealed": found.sealed,
        "pools": None if pools is None else pools.told(),
        "rules": {
            name: {
                "setting": one.setting,
                "saved": one.saved,
                "drop": one.drop.point,
                "bound": one.drop.upper,
                "shown": one.drop.shown,
                "shares": one.shares,
            }
            for name, one in found.outcomes.items()
        },
        "ahead": {
            name: {"points": one.points, "p": found.corrected[name]} for name, one in found.ahead.items()
        },
    }
