"""`tierline bundle calibrate`: measure which codecs leave a bundle's answers alone, and keep it beside it."""

import json
import platform
import random
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from tierline.errors import UsageError
from tierline.labelled import read_labelled
from tierline.terminal import note
from tierline_codecs import CALIBRATED, CODECS, Calibration, calibrate, decode, encode

if TYPE_CHECKING:
    from tierline_models import Bundle, CodecReport, Codings, Limit, Sample

OUTLIERS = 2  # channels that go as half floats: more cost bytes and bring nothing (docs/codecs.md)
CHANNEL_SAMPLES = 100  # of the train split, to measure channels on; budgets are measured on others
_TOLD_SECONDS = 10.0

Array = NDArray[Any]


def run(args: Namespace) -> int:
    """Measure, write, tell."""
    from tierline_models import Limit, codings_to_files, load_bundle

    _make_room(args.out)
    bundle = load_bundle(args.folder)
    measure, channels = _samples(bundle, args)
    # Where the model labelled the samples itself, a changed label and a lost one are the same.
    limit = Limit(changed=args.changed, lost=None if bundle.card.accuracy == 1 else Limit().lost)
    codings = measure_codings(bundle, measure, channels, limit)
    made = _made(args, len(measure), len(channels))
    files = codings_to_files(codings, asdict(limit), made)
    written = _write(args, files)
    if args.json:
        points = [asdict(budget) for budget in codings.budgets]
        print(json.dumps({"made": made, "limit": asdict(limit), "points": points}))
    else:
        _show(codings)
    note(f"written to {', '.join(map(str, written))}")
    return 0


def _make_room(out: str | None) -> None:
    """Make the folder that is asked for now, not after minutes of measuring."""
    if out is None:
        return
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {out} cannot be made ({error.strerror}); give another folder") from error


def _write(args: Namespace, files: Mapping[str, bytes]) -> list[Path]:
    """Put both files where they are asked for: else beside a saved bundle's, or where releases have them."""
    from tierline_models import attach, write_codings

    if args.out is None and (Path(args.folder) / "bundle.json").is_file():
        attach(args.folder, files)
        return [Path(args.folder) / name for name in files]
    return write_codings(args.folder, files, None if args.out is None else Path(args.out))


def measure_codings(
    bundle: "Bundle", measure: Sequence["Sample"], channels: Sequence["Sample"], limit: "Limit"
) -> "Codings":
    """Return a bundle's calibrations, made on some samples, and its error budgets, measured on others."""
    from tierline_models import Codings, activations, measure_budgets

    found = activations(bundle.model, channels)
    calibrations = {layer: calibrate(arrays, outliers=OUTLIERS) for layer, arrays in found.items()}
    coders = {layer: coders_of(calibration) for layer, calibration in calibrations.items()}
    budgets = measure_budgets(bundle.model, measure, coders, limit, _progress(len(measure)))
    arrays = {layer: calibration.to_arrays() for layer, calibration in calibrations.items()}
    return Codings(budgets=budgets, calibrations=arrays)


def coders_of(calibration: Calibration) -> Mapping[str, Callable[[Array], tuple[Array, int]]]:
    """Return what each codec makes of an activation on its way, with the bytes of its frame."""
    known = {name: partial(_across, name) for name in CODECS}
    return known | {name: partial(_across_known, calibration, name) for name in CALIBRATED}


def _across(codec: str, array: Array) -> tuple[Array, int]:
    frame = encode(array, codec)
    return decode(frame), len(frame)


def _across_known(calibration: Calibration, codec: str, array: Array) -> tuple[Array, int]:
    frame = calibration.encode(array, CALIBRATED[codec])
    return calibration.decode(frame), len(frame)


def _samples(bundle: "Bundle", args: Namespace) -> tuple[Sequence["Sample"], Sequence["Sample"]]:
    """Return what budgets are measured on, and what channels are calibrated on: never the same."""
    if args.inputs is None:
        measure = bundle.samples("validation", args.seed)[: args.samples]
        return measure, bundle.samples("train", args.seed)[:CHANNEL_SAMPLES]
    from tierline_models import Sample

    found = [Sample(data=data, label=label) for data, label in read_labelled(args.inputs)]
    if len(found) < 2:
        raise UsageError(f"{args.inputs} holds {len(found)} inputs; calibration takes some hundreds")
    random.Random(args.seed).shuffle(found)
    channels = min(CHANNEL_SAMPLES, len(found) // 4 + 1)
    return found[channels:][: args.samples], found[:channels]


def _made(args: Namespace, samples: int, channels: int) -> dict[str, str]:
    given = "" if args.inputs is None else f" --inputs {Path(args.inputs).name}"
    which = "the validation split" if args.inputs is None else "the inputs given"
    others = "the train split" if args.inputs is None else "them, not among those"
    return {
        "command": f"tierline bundle calibrate {Path(args.folder).name}{given} --seed {args.seed}"
        f" --samples {samples} --changed {args.changed:g}",
        "samples": f"{samples} of {which}, channels on {channels} of {others}",
        "torch": version("torch"),
        "machine": platform.machine(),
    }


def _progress(total: int) -> Callable[[int], None]:
    """Return what tells on stderr, every ten seconds, how many samples are done."""
    told = time.monotonic()

    def tell(done: int) -> None:
        nonlocal told
        if time.monotonic() - told >= _TOLD_SECONDS or done == total:
            told = time.monotonic()
            print(f"{done} of {total} samples", file=sys.stderr)

    return tell


def _cell(report: "CodecReport | None", budget: float) -> str:
    """Return bytes, error and changed labels of one codec, in brackets where it is beyond the budget."""
    if report is None:
        return ""
    words = f"{report.frame_bytes} B {report.error:.2%} {report.changed:.2%}"
    return words if report.error <= budget else f"({words})"


def _show(codings: "Codings") -> None:
    from rich.table import Table

    from tierline.terminal import console

    names = sorted({name for budget in codings.budgets for name in budget.codecs})
    table = Table("after block", "budget", *names, box=None)
    for budget in codings.budgets:
        cells = [_cell(budget.codecs.get(name), budget.error_budget) for name in names]
        table.add_row(str(budget.layer), f"{budget.error_budget:.2%}", *cells)
    console().print(table)
