"""`tierline train`: fine-tune early exits and write down how every sample fared."""

import json
import time
from argparse import Namespace
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from tierline.cartography_fit import FILE
from tierline.errors import UsageError
from tierline.terminal import note, waiting

if TYPE_CHECKING:
    from tierline_cartography import Progress, Records, Task

log = structlog.get_logger()

_SECONDS_BETWEEN_LINES = 30.0


def main(args: Namespace) -> int:
    """Run the command."""
    from tierline_cartography import bundle_run, gather, save_records

    if not set(args.rival_seeds) <= set(args.seeds):
        raise UsageError("--rival-seeds are among the --seeds")
    task = _task(args)
    if args.bundle:
        _check_bundle(task, Path(args.bundle))
    runs = [_run(args, task, "seed", args.exits, seed) for seed in args.seeds]
    rivals = [_run(args, task, "rival", args.exits[-1:], seed) for seed in args.rival_seeds]
    records = gather(task, runs, rivals=rivals)
    path = Path(args.out) / f"{task.name}.npz"
    save_records(path, records)
    if args.bundle:
        with waiting("making the bundle"):
            bundle_run(task, runs[0], Path(args.bundle), made={"command": f"tierline train {args.task}"})
        _tell_bundle(task, Path(args.bundle))
    _tell(args, path, records)
    return 0


def _task(args: Namespace) -> "Task":
    from tierline_cartography import Columns, load_task

    task = load_task(
        args.task,
        glue=Path(args.glue) if args.glue else None,
        rows=args.rows,
        table=Path(args.table) if args.table else None,
        columns=Columns(text=args.text_column, label=args.label_column, pair=args.pair_column),
    )
    if task.left_out:
        note(
            f"{task.left_out} rows of {args.table} are left out: they say what an earlier row says, whatever "
            "its label, are part of a text that is held out or hold one, or hold no word"
        )
    return task


def _check_bundle(task: "Task", folder: Path) -> None:
    """Before anything is trained, not after hours of it."""
    if any(row.pair for row in task.validation):
        raise UsageError(f"{task.name} is of pairs of texts, and a bundle takes one; leave --bundle out")
    if folder.exists() and not (folder / "bundle.json").is_file():
        raise UsageError(f"{folder} exists and is no bundle; choose another --bundle or remove it")


def _tell_bundle(task: "Task", folder: Path) -> None:
    note(f"wrote the bundle {folder}; `tierline node --bundle {folder}` serves it")
    if not (folder / FILE).is_file():
        note(
            f"{len(task.validation)} rows to validate on are too few to fit its routing; "
            f"`tierline cartography fit {folder} --inputs FILE` does so with more"
        )


def _run(args: Namespace, task: "Task", kind: str, exits: tuple[int, ...], seed: int) -> Path:
    """Train one network with these exits; return its folder."""
    from tierline_cartography import Recipe, train_task

    recipe = Recipe(
        seed=seed,
        epochs=args.epochs,
        weighting=args.weighting,
        distil=_below_one(args.distil),
        dropout=args.dropout,
        alternate=args.alternate,
        adapter=args.adapter,
        attentive=args.attentive,
    )
    with _told(f"{task.name}, {kind} {seed}") as report:
        return train_task(task, exits, recipe, Path(args.out) / f"{kind}-{seed}", report).parent


def _below_one(share: float) -> float:
    if share >= 1:
        raise UsageError("--distil is below 1: the early exits need something of the true labels")
    return share


def _tell(args: Namespace, path: Path, records: "Records") -> None:
    said = records.test.logits.argmax(-1)  # (S, X, N)
    right = (said == records.test.labels).mean((0, 2))
    accuracy = {layer: float(one) for layer, one in zip(records.exits, right, strict=True)}
    if args.json:
        document: dict[str, Any] = {
            "task": records.task,
            "records": str(path),
            "seeds": records.seeds,
            "rows": records.document["rows"],
            "accuracy": accuracy,
            "cpu_seconds": records.document["cpu_seconds"],
        }
        print(json.dumps(document))
        return
    told = ", ".join(f"{100 * one:.1f} % after block {layer}" for layer, one in accuracy.items())
    print(f"{records.task}: {told} (test, mean of {len(records.seeds)} seeds)")
    print(f"wrote {path}; weights are in the folders beside it")


@contextmanager
def _told(about: str) -> Generator[Callable[["Progress"], None]]:
    """Show steps, loss and the time left: a bar on a terminal, a line now and then elsewhere."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _lines(about)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(about, total=None)

        def show(progress: "Progress") -> None:
            described = f"{about}, loss {progress.loss:.3f}"
            bar.update(task, completed=progress.step, total=progress.steps, description=described)

        yield show


def _lines(about: str) -> Callable[["Progress"], None]:
    last = time.monotonic()

    def show(progress: "Progress") -> None:
        nonlocal last
        if time.monotonic() - last > _SECONDS_BETWEEN_LINES:
            last = time.monotonic()
            log.info(
                "training",
                run=about,
                step=progress.step,
                of=progress.steps,
                loss=round(progress.loss, 3),
                seconds_left=round(progress.seconds_left),
            )

    return show
