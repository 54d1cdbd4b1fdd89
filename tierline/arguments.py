"""The command line: every command's flags, help and example."""

import argparse
from typing import Any, NoReturn

from tierline import arguments_planning as planning
from tierline import values
from tierline.arguments_bundle import add_bundle
from tierline.arguments_learning import add_learning
from tierline.settings import DEFAULT_BROKER, DEFAULT_PORT

TIERS = ("mobile", "edge", "cloud")
LEVELS = ("debug", "info", "warning", "error")


class _Parser(argparse.ArgumentParser):
    """Says a mistake in one sentence, with where to read more."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see `{self.prog} --help`\n")


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; `command` names the module that runs it."""
    parser = _Parser(
        prog="tierline",
        description="One PyTorch model across phone, edge and cloud, over MQTT.",
        epilog="example: tierline demo",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="say which version this is, and end")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    operating = (_demo, _broker, _node, _scheduler, _infer, _nodes, _plan, _doctor)
    for add in (*operating, _replay, _bench, _bundle):
        add(commands)
    add_learning(commands, _command)
    return parser


def _command(commands: Any, name: str, about: str, example: str, *, levels: str = "error") -> Any:
    """Add a command with the flags that all have."""
    command = commands.add_parser(
        name,
        help=about,
        description=f"{about[0].upper()}{about[1:]}.",
        epilog=f"example: {example}",
        allow_abbrev=False,
    )
    shared = command.add_argument_group("common")
    shared.add_argument("--json", action="store_true", help="print exactly one JSON document on stdout")
    shared.add_argument(
        "--log-level", choices=LEVELS, default=levels, help=f"which events to tell on stderr ({levels})"
    )
    shared.add_argument(
        "--log-format", choices=("text", "json"), default="text", help="how to tell them (text)"
    )
    return command


def _attached(command: Any) -> None:
    """Add the flags of commands that attach to a deployment."""
    command.add_argument(
        "--broker", metavar="URL", help=f"MQTT broker (TIERLINE_BROKER, else {DEFAULT_BROKER})"
    )
    command.add_argument(
        "--site", default="default", type=values.name, help="deployment on that broker (default)"
    )


def _demo(commands: Any) -> None:
    command = _command(
        commands,
        "demo",
        "show everything on this machine, ending with a summary",
        "tierline demo --requests 400 --seed 1",
    )
    command.add_argument(
        "--requests", type=values.count, metavar="N", help="how many inputs (a minute's worth, at least 400)"
    )
    command.add_argument("--bundle", default="text", metavar="text|image|DIR", help="which model (text)")
    command.add_argument("--network", metavar="TRACE", help="shape the uplink by a mahimahi trace")
    command.add_argument("--seed", type=int, default=0, metavar="S", help="of the inputs and their times (0)")
    command.add_argument("--no-view", action="store_true", help="no live view")
    command.add_argument("--broker", metavar="URL", help="use this broker instead of one of our own")


def _broker(commands: Any) -> None:
    command = _command(
        commands, "broker", "run an MQTT broker until stopped", "tierline broker --open", levels="info"
    )
    command.add_argument(
        "--port",
        type=values.port,
        default=DEFAULT_PORT,
        metavar="P",
        help=f"TCP port, 0 for a free one ({DEFAULT_PORT})",
    )
    command.add_argument(
        "--listen", default="127.0.0.1", metavar="ADDR", help="address to bind (127.0.0.1: this machine only)"
    )
    command.add_argument("--open", action="store_true", help="no password; loopback only")
    command.add_argument(
        "--embedded", action="store_true", help="run rumqttd (extra `embedded`), not Mosquitto"
    )
    command.add_argument("--password-file", metavar="FILE", help="who may connect, in Mosquitto's format")
    command.add_argument(
        "--make-password-file",
        metavar="FILE",
        help="make such a file with one user and a fresh password, shown once, and end",
    )


def _node(commands: Any) -> None:
    command = _command(
        commands, "node", "run one node until stopped", "tierline node --tier edge", levels="info"
    )
    command.add_argument("--tier", required=True, choices=TIERS, help="where this node stands")
    command.add_argument(
        "--name", type=values.name, metavar="ID", help="what it is called (host, tier and four digits, kept)"
    )
    _attached(command)
    command.add_argument("--bundle", default="text", metavar="NAME|DIR", help="which model (text)")
    command.add_argument(
        "--runtime",
        choices=("torch", "onnx"),
        default="torch",
        help="what computes: onnx needs no torch, but a bundle with ONNX (torch)",
    )
    command.add_argument(
        "--slowdown",
        type=values.slowness,
        default=1.0,
        metavar="F",
        help="emulate a device F times slower (1)",
    )
    command.add_argument(
        "--emulate",
        choices=("-",),
        help="read changing conditions as JSON lines from stdin; its end ends the node",
    )
    command.add_argument(
        "--max-layer", type=values.count, metavar="N", help="hold only blocks 1..N in memory (all)"
    )
    command.add_argument(
        "--bench-clock",
        action="store_true",
        help="stamp messages with this host's clock, to measure the wire",
    )
    command.add_argument(
        "--mirror-headers",
        action="store_true",
        help="repeat routing headers as MQTT user properties, to debug",
    )


def _scheduler(commands: Any) -> None:
    command = _command(
        commands,
        "scheduler",
        "run the scheduler until stopped",
        "tierline scheduler --broker mqtt://127.0.0.1:21883",
        levels="info",
    )
    command.add_argument(
        "--name", type=values.name, metavar="ID", help="what it is called (host, role and four digits, kept)"
    )
    _attached(command)
    planning.objective(command, deadline=0.5)


def _plan(commands: Any) -> None:
    command = _command(
        commands,
        "plan",
        "show what the scheduler would do for one device, every alternative, and why it is rejected",
        "tierline plan --profile phone.json --links lte.json",
    )
    planning.plan(command)
    _attached(command)
    planning.objective(command, deadline=None)


def _infer(commands: Any) -> None:
    command = _command(
        commands,
        "infer",
        "send inputs through a running deployment",
        'tierline infer "a gorgeous, witty film" --deadline 0.5',
    )
    command.add_argument(
        "inputs",
        nargs="+",
        metavar="INPUT",
        help="text, a file, a folder for the images in and below it, or - for lines of stdin",
    )
    _attached(command)
    command.add_argument(
        "--deadline", type=values.seconds, default=5.0, metavar="S", help="seconds within which to answer (5)"
    )
    command.add_argument("--tier", choices=TIERS, help="answer there and nowhere else")
    command.add_argument("--node", type=values.name, metavar="NAME", help="enter at this node")
    planning.requirement(command)


def _nodes(commands: Any) -> None:
    command = _command(
        commands, "nodes", "list the nodes of a deployment, and manage them", "tierline nodes drain edge-1"
    )
    planning.orders(command)
    _attached(command)


def _doctor(commands: Any) -> None:
    command = _command(
        commands,
        "doctor",
        "check this machine and a deployment, and name the first thing that is wrong and its cure",
        "tierline doctor --wait 60",
    )
    _attached(command)
    command.add_argument(
        "--wait", type=values.seconds, metavar="S", help="look again for up to S seconds until all is well"
    )


def _replay(commands: Any) -> None:
    command = _command(
        commands,
        "replay",
        "replay network and arrival traces through the demo's deployment",
        "tierline replay --network lte.up --out replay-out",
    )
    command.add_argument(
        "--network", required=True, metavar="FILE", help="mahimahi trace that shapes the uplink"
    )
    command.add_argument(
        "--arrivals",
        metavar="FILE",
        help="when requests come: csv with arrival_s, or a count for each second",
    )
    command.add_argument(
        "--stretch",
        type=values.positive,
        default=1.0,
        metavar="F",
        help="make the gaps between arrivals F times longer (1)",
    )
    command.add_argument("--out", required=True, metavar="DIR", help="where summary.json and the plot go")
    command.add_argument(
        "--requests", type=values.count, default=400, metavar="N", help="at most this many (400)"
    )
    command.add_argument("--bundle", default="text", metavar="NAME|DIR", help="which model (text)")
    command.add_argument("--seed", type=int, default=0, metavar="S", help="of the inputs (0)")
    command.add_argument("--no-view", action="store_true", help="no live view")


def _bench(commands: Any) -> None:
    command = _command(
        commands,
        "bench",
        "measure the figures of the documentation again, one row each",
        "tierline bench hop --quick",
    )
    command.add_argument("names", nargs="*", metavar="NAME", help="which benchmarks (all)")
    command.add_argument("--quick", action="store_true", help="fewer repetitions; results are not kept")


def _bundle(commands: Any) -> None:
    add_bundle(
        _command(
            commands,
            "bundle",
            "make a bundle of a model, show where it can be cut, prove that split equals unsplit",
            "tierline bundle inspect bundle/ --svg map.svg",
        )
    )
