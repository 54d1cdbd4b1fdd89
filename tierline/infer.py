"""`tierline infer`: inputs through a running deployment, and a table of what came back."""

import asyncio
import json
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from rich.table import Table
from rich.text import Text

from tierline.client import Answered, Client, InferenceError, connect
from tierline.errors import FAILED, MISUSED
from tierline.inputs import Input, read_inputs
from tierline.lifetime import run_until_stopped
from tierline.terminal import console, progress

IN_FLIGHT = 16
_INPUT_CODES = frozenset({"bad-input", "too-large"})  # the user's to mend, not the deployment's

Outcome = Answered | InferenceError


def main(args: Namespace) -> int:
    """Run the command."""
    inputs = read_inputs(args.inputs)
    outcomes = run_until_stopped(_infer_all(args, inputs))
    if args.json:
        print(
            json.dumps({"results": [document(one, got) for one, got in zip(inputs, outcomes, strict=True)]})
        )
    else:
        _print_table(inputs, outcomes)
    return exit_code(outcomes)


async def _infer_all(args: Namespace, inputs: Sequence[Input]) -> list[Outcome]:
    """Return one outcome for each input, in their order, some in flight at once."""
    outcomes: list[Outcome | None] = [None] * len(inputs)
    async with connect(args.broker, site=args.site) as client, _required(client, args):
        with progress("inferring", len(inputs)) as done:
            waiting = iter(enumerate(inputs))
            async with asyncio.TaskGroup() as tasks:
                for number in range(min(IN_FLIGHT, len(inputs))):
                    tasks.create_task(
                        _work_off(client, args, waiting, outcomes, done), name=f"infer-{number}"
                    )
    return [outcome for outcome in outcomes if outcome is not None]


def _required(client: Client, args: Namespace) -> AbstractAsyncContextManager[None]:
    """Have plans made for what the command asks for, where it asks that of plans."""
    if not args.require:
        return nullcontext()
    return client.require(
        deadline=args.deadline, accuracy=args.accuracy, priority=args.priority, node=args.node
    )


async def _work_off(
    client: Client,
    args: Namespace,
    waiting: Iterator[tuple[int, Input]],
    outcomes: list[Outcome | None],
    done: Callable[[], None],
) -> None:
    for index, one in waiting:
        try:
            outcomes[index] = await client.infer(
                one.data, deadline=args.deadline, tier=args.tier, node=args.node
            )
        except InferenceError as error:
            outcomes[index] = error
        done()


def exit_code(outcomes: Sequence[Outcome]) -> int:
    """0 when all are answered, 2 when the user's input was refused, 1 when something else went wrong."""
    codes = {outcome.code for outcome in outcomes if isinstance(outcome, InferenceError)}
    if not codes:
        return 0
    return MISUSED if codes <= _INPUT_CODES else FAILED


def document(one: Input, outcome: Outcome) -> dict[str, Any]:
    """Return what `--json` says of one input."""
    if isinstance(outcome, InferenceError):
        return {"input": one.shown, "error": {"code": outcome.code, "message": str(outcome)}}
    return {
        "input": one.shown,
        "label": outcome.label,
        "confidence": outcome.confidence,
        "tier": outcome.tier,
        "node": outcome.node,
        "pool": outcome.pool,
        "degraded": outcome.degraded,
        "seconds": outcome.seconds,
        "why": outcome.why,
        "gain": outcome.gain,
        "margin": outcome.margin,
        "output": outcome.output,
        "steps": [step.model_dump(mode="json") for step in outcome.steps],
        "error": None,
    }


def _print_table(inputs: Sequence[Input], outcomes: Sequence[Outcome]) -> None:
    table = Table("label", "confidence", "tier", "ms", "why", "input", box=None, pad_edge=False)
    for one, outcome in zip(inputs, outcomes, strict=True):
        # As Text, for what others write is not to be read as markup.
        table.add_row(*map(Text, _row(one, outcome)))
    console().print(table)


def _row(one: Input, outcome: Outcome) -> tuple[str, ...]:
    if isinstance(outcome, InferenceError):
        return (f"{outcome.code}!", "", "", "", str(outcome), one.shown)
    why = f"degraded: {outcome.why}" if outcome.degraded else outcome.why
    return (
        outcome.label,
        f"{outcome.confidence:.1%}",
        outcome.tier,
        f"{1000 * outcome.seconds:.0f}",
        why,
        one.shown,
    )
