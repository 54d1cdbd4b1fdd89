"""The flags of the command that makes, measures and looks at bundles."""

from typing import Any

from tierline import values


def add_bundle(command: Any) -> None:
    """Add the flags of `tierline bundle`."""
    command.add_argument("action", choices=("build", "calibrate", "inspect", "verify"), help="what to do")
    command.add_argument("folder", metavar="DIR", help="the bundle; calibrate, inspect: also text or image")
    command.add_argument(
        "--model",
        metavar="FILE.py:NAME",
        help="build: a function that returns model and example inputs, or a split; its code is run",
    )
    command.add_argument("--name", metavar="NAME", help="build: what the bundle is called (the class's name)")
    command.add_argument("--every", action="store_true", help="build: keep wide split points too")
    command.add_argument("--onnx", action="store_true", help="build: write each block as ONNX too")
    command.add_argument(
        "--profile",
        action="store_true",
        help="inspect: time each block on this machine, and keep it in the bundle's profile.json",
    )
    command.add_argument(
        "--batches", type=values.counts, metavar="N,…", help="inspect: batch sizes to time (1,4,16)"
    )
    command.add_argument(
        "--lengths",
        type=values.counts,
        metavar="N,…",
        help="inspect: sequence lengths to time (half, all and twice the example's)",
    )
    command.add_argument("--samples", type=int, metavar="N", help="calibrate: at most so many (all)")
    command.add_argument("--inputs", metavar="FILE", help="calibrate: on these JSON lines of data and label")
    command.add_argument(
        "--seed", type=int, default=0, metavar="N", help="calibrate: order of the samples (0)"
    )
    command.add_argument(
        "--changed",
        type=float,
        default=0.01,
        metavar="SHARE",
        help="calibrate: of the labels, at most so many may change (0.01)",
    )
    command.add_argument(
        "--out", metavar="DIR", help="calibrate, inspect: write there, not beside the bundle"
    )
    command.add_argument("--svg", metavar="FILE", help="inspect: draw the map into this file")
