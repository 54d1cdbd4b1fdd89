"""`tierline cartography fit`: what a bundle's nodes route by, fitted on some inputs and kept with it."""

import json
import platform
import random
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from tierline.errors import UsageError
from tierline.labelled import read_labelled
from tierline.terminal import console, note, progress

if TYPE_CHECKING:
    from tierline_cartography import Prices
    from tierline_models import Bundle, Cartography, Sample, SettingData

FILE = "cartography.json"
MOST_SAMPLES = 5000  # more say little more, and take minutes


def fit(args: Namespace) -> int:
    """Fit, write, tell."""
    from tierline_cartography import chart_bundle
    from tierline_models import cartography_from_json, cartography_to_json, load_bundle

    bundle = load_bundle(args.records)
    samples = _samples(bundle, args)
    with progress("asking every exit", len(samples)) as done:
        found = chart_bundle(
            bundle, samples, made=_made(args, samples), prices=prices_of(args), report=lambda _: done()
        )
    content = cartography_to_json(found)
    written = _write(args, content)
    _tell(args, cartography_from_json(content, bundle.card.exits), written)
    return 0


def prices_of(args: Namespace) -> "Prices":
    """Return the prices by which pools are found."""
    from tierline_cartography import Prices

    return Prices(layer=args.layer_price, offload=args.offload_price)


def priced(prices: "Prices") -> str:
    """Say them."""
    return f"{prices.layer:g} a layer, {prices.offload:g} a transfer"


def _samples(bundle: "Bundle", args: Namespace) -> Sequence["Sample"]:
    from tierline_models import Sample

    if args.inputs is None:
        if (Path(args.records) / "bundle.json").is_file():
            raise UsageError(
                "fit needs inputs that the bundle was not trained on, best labelled: --inputs FILE"
            )
        return bundle.samples("validation", args.seed)[:MOST_SAMPLES]
    found = [Sample(data=data, label=label) for data, label in read_labelled(args.inputs)]
    random.Random(args.seed).shuffle(found)
    return found[:MOST_SAMPLES]


def _made(args: Namespace, samples: Sequence["Sample"]) -> dict[str, str]:
    given = "" if args.inputs is None else f" --inputs {Path(args.inputs).name}"
    which = "the validation split" if args.inputs is None else "the inputs given"
    labelled = any(one.label is not None for one in samples)
    return {
        "command": f"tierline cartography fit {Path(args.records).name}{given} --seed {args.seed}",
        "samples": f"{len(samples)} of {which}",
        "labels": "given" if labelled else "none, the last exit's word stands in",
        "prices": priced(prices_of(args)),
        "torch": version("torch"),
        "machine": platform.machine(),
    }


def _write(args: Namespace, content: bytes) -> Path:
    """Put it beside a saved bundle's files, or where releases have it, or where --out says."""
    from tierline_models import attach, write_codings

    if args.out is None and (Path(args.records) / "bundle.json").is_file():
        attach(args.records, {FILE: content})
        return Path(args.records) / FILE
    return write_codings(args.records, {FILE: content}, None if args.out is None else Path(args.out))[0]


def cheapest(found: "Cartography", drop: float) -> list["SettingData"]:
    """Return, for each chain of exits, the setting that lets most go early within a drop in points."""
    floor = found.accuracy - drop / 100
    best: dict[tuple[int, ...], Any] = {}
    for one in found.settings:
        known = best.get(one.exits)
        if one.accuracy >= floor - 1e-9 and (known is None or one.shares > known.shares):
            best[one.exits] = one
    return list(best.values())


def _tell(args: Namespace, found: "Cartography", written: Path) -> None:
    settings = cheapest(found, args.drop)
    if args.json:
        prices = asdict(prices_of(args))
        print(json.dumps(_document(found, settings, args.drop, written) | {"prices": prices}))
        return
    table = Table("exits", "leave there", "accuracy", "gain wanted", box=None, pad_edge=False)
    for one in settings:
        table.add_row(
            ", ".join(map(str, one.exits)),
            "  ".join(f"{share:.0%}" for share in one.shares),
            f"{one.accuracy:.2%}",
            "  ".join(f"{gain:.1%}" for gain in one.gains),
        )
    console().print(table)
    pools = ", ".join(f"{pool} {share:.0%}" for pool, share in found.pools.items())
    believed = "is" if found.made["labels"] == "given" else "takes itself to be"
    print(
        f"the last exit {believed} right on {found.accuracy:.2%}; "
        f"shown is what loses at most {args.drop:g} points"
    )
    print(f"pools ({priced(prices_of(args))}): {pools}")
    note(
        f"{found.made['samples']}, labels {found.made['labels']}; written to {written}; "
        "nodes that are started now route by it"
    )


def _document(
    found: "Cartography", settings: Sequence["SettingData"], drop: float, written: Path
) -> dict[str, Any]:
    return {
        "digest": found.digest,
        "labels": found.made["labels"],
        "written": str(written),
        "accuracy": found.accuracy,
        "pools": dict(found.pools),
        "caution": found.caution,
        "exits": [
            {"layer": one.layer, "temperature": one.temperature, "accuracy": one.accuracy}
            for one in found.exits
        ],
        "drop": drop,
        "settings": [
            {"exits": one.exits, "gains": one.gains, "shares": one.shares, "accuracy": one.accuracy}
            for one in settings
        ],
    }
