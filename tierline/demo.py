"""`tierline demo`: everything on this machine, live, ending with a summary."""

import json
import os
from argparse import Namespace
from pathlib import Path

from rich.console import Console

from tierline.errors import FAILED
from tierline.lifetime import run_until_stopped
from tierline.summary import print_summary
from tierline.view import showing
from tierline_replay import Finished, Live, Scenario, read_link_trace, run

PIPED_WIDTH = 140


def main(args: Namespace) -> int:
    """Run the command."""
    scenario = Scenario(
        bundle=args.bundle,
        requests=args.requests,
        seed=args.seed,
        broker=args.broker or os.environ.get("TIERLINE_BROKER") or None,
        network=None if args.network is None else read_link_trace(Path(args.network)),
    )
    console = console_for(as_json=args.json)
    finished = run_until_stopped(watched_run(scenario, console, view=not args.no_view))
    if args.json:
        print(json.dumps(finished.document))
    else:
        print_summary(console, finished.document)
    return exit_code(finished)


def console_for(*, as_json: bool) -> Console:
    """Return where people read: not stdout, if that is for a JSON document."""
    console = Console(stderr=as_json)
    return console if console.is_terminal else Console(stderr=as_json, width=PIPED_WIDTH)


async def watched_run(scenario: Scenario, console: Console, *, view: bool) -> Finished:
    """Run a scenario and show how it goes."""
    live = Live()
    async with showing(live, console, view=view):
        return await run(scenario, live)


def exit_code(finished: Finished) -> int:
    """0 if every request had its outcome and any had an answer, else 1."""
    found = finished.document
    return 0 if found["lost"] == 0 and found["answered"] > 0 else FAILED
