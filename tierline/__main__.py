"""`tierline COMMAND`: parse, run the command's module, turn errors into sentences and exit codes."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from typing import NoReturn

from tierline.arguments import build_parser
from tierline.errors import FAILED, explain
from tierline.lifetime import Stopped

# Each is imported only when it is asked for, as is logging: help is quick, and only a node loads torch.
_MODULES = {
    "bench": "tierline.bench",
    "broker": "tierline.broker",
    "bundle": "tierline.bundle",
    "cartography": "tierline.cartography",
    "demo": "tierline.demo",
    "doctor": "tierline.doctor",
    "infer": "tierline.infer",
    "node": "tierline.node",
    "nodes": "tierline.nodes",
    "plan": "tierline.plan",
    "replay": "tierline.replay",
    "scheduler": "tierline.scheduler",
    "train": "tierline.train",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 done, 1 failed while running, 2 wrong usage or input."""
    parser = build_parser()
    args = parser.parse_args(arguments)
    if args.version:
        print(version("tierline"))
        return 0
    if args.command is None:
        parser.error("which command? One of " + ", ".join(sorted(_MODULES)))
    try:
        import_module("tierline.logs").set_up(args.log_level, args.log_format)
        code: int = import_module(_MODULES[args.command]).main(args)
        sys.stdout.flush()
    except (Stopped, KeyboardInterrupt):
        return FAILED
    except BrokenPipeError:
        # Whoever read our output has had enough; let the interpreter's own flush at exit find no pipe.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        told = explain(error)
        if told is None:
            raise
        code, sentence = told
        print(f"tierline {args.command}: {sentence}", file=sys.stderr)
    return code


def run() -> NoReturn:
    """Run one command and end the process with its exit code."""
    code = main()
    if "torch" in sys.modules:
        # Unloading torch takes most of a second, and there is nothing left that needs it.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    run()
