"""The flags about planning, which several commands share."""

from argparse import Namespace
from typing import Any

from tierline import values


def objective(command: Any, *, deadline: float | None) -> None:
    """Add the flags that say what a good plan is."""
    command.add_argument(
        "--deadline",
        type=values.seconds,
        default=deadline,
        metavar="S",
        help="seconds that plans must keep (0.5)",
    )
    command.add_argument(
        "--accuracy-drop",
        type=values.share,
        default=0.01,
        metavar="A",
        help="accuracy that plans may give up (0.01)",
    )
    command.add_argument(
        "--edge-weight",
        type=values.share,
        default=0.0,
        metavar="W",
        help="what a second of edge work counts beside one of cloud work (0)",
    )
    _balance(command)
    command.add_argument(
        "--expected-rate",
        type=values.rate,
        default=0.0,
        metavar="R",
        help="requests a second that each mobile node is planned for while it has fewer (0)",
    )


def _balance(command: Any) -> None:
    """Add the flags of the knob between cloud work and waiting."""
    command.add_argument(
        "--balance",
        type=values.share,
        default=0.0,
        metavar="B",
        help="what plans are to save: 0 the most cloud work, 1 the most waiting, or between (0)",
    )
    command.add_argument(
        "--alike",
        type=values.alike,
        metavar="R",
        help="longest p95 of a class of devices by the shortest that plans may come to; 0: any"
        " (1.5 where --balance is between 0 and 1, else 0)",
    )


def alike_of(args: Namespace) -> float:
    """Return the ratio that --alike says, else what goes with --balance; 0: classes fare as it comes.

    At its ends the knob is for one thing alone, least cloud work or least wait.
    """
    if args.alike is not None:
        return float(args.alike)
    return 1.5 if 0 < args.balance < 1 else 0.0


def requirement(command: Any) -> None:
    """Add what a client may require of plans."""
    command.add_argument(
        "--require",
        action="store_true",
        help="while this runs, have plans made for --deadline, --accuracy and --priority",
    )
    command.add_argument(
        "--accuracy", type=values.share, metavar="A", help="with --require: that plans keep (the scheduler's)"
    )
    command.add_argument(
        "--priority",
        type=values.rate,
        default=1.0,
        metavar="P",
        help="with --require: the higher, the earlier served where nodes are short of room (1)",
    )


def orders(command: Any) -> None:
    """Add what an operator may want of a node."""
    command.add_argument(
        "action",
        nargs="?",
        choices=("drain", "pin", "remove"),
        help="drain: make plans without NAME; pin: keep the plans that use it; remove: drain and forget it",
    )
    command.add_argument("name", nargs="?", type=values.name, metavar="NAME", help="of which node")
    command.add_argument("--undo", action="store_true", help="take the order back")


def plan(command: Any) -> None:
    """Add where `tierline plan` has its state from, and how much it shows."""
    command.add_argument(
        "--profile", action="append", metavar="P", help="a node's profile (JSON); one for each tier at most"
    )
    command.add_argument(
        "--links", metavar="L", help='with --profile: [{"sender", "peer", "bytes_per_second", "rtt"}] (JSON)'
    )
    command.add_argument(
        "--rate", type=values.rate, default=1.0, metavar="R", help="with --profile: requests a second (1)"
    )
    command.add_argument("--state", metavar="FILE", help="a deployment as --save wrote it")
    command.add_argument("--save", metavar="FILE", help="write what is planned for into this file")
    command.add_argument("--node", type=values.name, metavar="NAME", help="which mobile node (the only one)")
    command.add_argument("--all", action="store_true", help="print every alternative")
