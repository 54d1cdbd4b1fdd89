"""`tierline replay`: recorded links and arrivals through a deployment on this machine, and a report of it."""

import json
from argparse import Namespace
from pathlib import Path

from tierline.demo import console_for, exit_code, watched_run
from tierline.errors import UsageError
from tierline.lifetime import run_until_stopped
from tierline.summary import print_summary
from tierline_replay import (
    Finished,
    Scenario,
    check_plot,
    draw,
    outcome_lines,
    read_arrivals,
    read_link_trace,
)

SUMMARY, OUTCOMES, PLOT = "summary.json", "outcomes.jsonl", "latency.svg"


def main(args: Namespace) -> int:
    """Run the command."""
    scenario = scenario_of(args)
    check_plot()
    out = writable_folder(Path(args.out))
    console = console_for(as_json=args.json)
    finished = run_until_stopped(watched_run(scenario, console, view=not args.no_view))
    write_report(out, finished)
    if args.json:
        print(json.dumps(finished.document))
    else:
        print_summary(console, finished.document)
        console.print(f"wrote {SUMMARY}, {OUTCOMES} and {PLOT} in {out}")
    return exit_code(finished)


def scenario_of(args: Namespace) -> Scenario:
    """Read the traces before anything is started."""
    times = None
    if args.arrivals is not None:
        times = read_arrivals(Path(args.arrivals), count=args.requests, seed=args.seed)
        times = tuple(time * args.stretch for time in times)
    return Scenario(
        bundle=args.bundle,
        requests=args.requests,
        seed=args.seed,
        network=read_link_trace(Path(args.network)),
        times=times,
    )


def writable_folder(path: Path) -> Path:
    """Return the folder, made where it is missing."""
    try:
        path.mkdir(parents=True, exist_ok=True)
        (path / SUMMARY).touch()
    except OSError as error:
        raise UsageError(f"cannot write into {path}: {error.strerror}; choose another with --out") from error
    return path


def write_report(out: Path, finished: Finished) -> None:
    """Write the summary, every outcome and the picture."""
    (out / SUMMARY).write_text(json.dumps(finished.document, indent=1) + "\n")
    (out / OUTCOMES).write_text("".join(outcome_lines(finished.outcomes)))
    draw(
        out / PLOT,
        finished.outcomes,
        finished.changes,
        plans=[row["at"] for row in finished.document["plan_history"]],
        deadline=finished.document["deadline_seconds"],
    )
