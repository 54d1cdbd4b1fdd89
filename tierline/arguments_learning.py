"""The flags of the commands that train and look at what training left."""

import argparse
from collections.abc import Callable
from typing import Any

from tierline import values

TASKS = ("sst2", "cola", "rte", "snippets", "csv")


def add_learning(commands: Any, command: Callable[..., Any]) -> None:
    """Add these commands, each begun as all are."""
    about = "fine-tune early exits, and write down how every sample fared"
    example = "tierline train --task snippets --seeds 0,1,2,3,4 --out runs"
    _train(command(commands, "train", about, example, levels="info"))
    about = (
        "draw data maps, compare what each rule saves at which drop, and fit what a bundle's nodes route by"
    )
    _cartography(command(commands, "cartography", about, "tierline cartography report runs/snippets.npz"))


def _cartography(command: Any) -> None:
    command.add_argument("action", choices=("fit", "plot", "report"), help="what to do")
    command.add_argument(
        "records", metavar="RECORDS", help="what `tierline train` wrote: TASK.npz; fit: the bundle"
    )
    command.add_argument(
        "--exits", type=layers, metavar="K,K", help="the tiers' exits (after each third of the blocks)"
    )
    command.add_argument(
        "--out",
        metavar="PATH",
        help="plot: folder of the pictures (.); fit: write there, not into the bundle; report: the records"
        " again, with where each test sample was answered and why",
    )
    command.add_argument(
        "--inputs",
        metavar="FILE",
        help="fit: on these JSON lines of data and label, all or none labelled (validation split)",
    )
    command.add_argument("--seed", type=int, default=0, metavar="N", help="fit: order of the samples (0)")
    _pools(command)


def _pools(command: Any) -> None:
    command.add_argument(
        "--drop",
        type=values.points,
        default=0.5,
        metavar="POINTS",
        help="what pools may lose; fit: show what loses so much (0.5)",
    )
    command.add_argument(
        "--hard",
        choices=("ambiguous", "hard-to-learn"),
        default="ambiguous",
        help="report, plot: which of the unsure samples are hard, varying or steady ones (ambiguous)",
    )
    for of in ("layer", "offload"):
        command.add_argument(
            f"--{of}-price",
            type=values.price,
            default=0.1,
            metavar="P",
            help="by which pools are found, in right answers (0.1)",
        )


def _train(command: Any) -> None:
    command.add_argument("--task", required=True, choices=TASKS, help="what to learn")
    command.add_argument(
        "--out", required=True, metavar="DIR", help="where runs and records go; resumes there"
    )
    command.add_argument(
        "--bundle", metavar="DIR", help="make a bundle of the first seed's run, ready for nodes, there"
    )
    _data(command.add_argument_group("data"))
    _recipe(command.add_argument_group("recipe"))


def _data(data: Any) -> None:
    data.add_argument("--glue", metavar="DIR", help="folder that holds SST-2, CoLA, RTE (TIERLINE_GLUE)")
    data.add_argument("--table", metavar="FILE", help="of the task csv: .csv or .tsv, also .xz")
    data.add_argument("--text-column", default="text", metavar="NAME", help="of that table (text)")
    data.add_argument("--pair-column", metavar="NAME", help="of that table: a second text (none)")
    data.add_argument("--label-column", default="label", metavar="NAME", help="of that table (label)")
    data.add_argument("--rows", type=values.count, metavar="N", help="train on at most so many (all)")


def _recipe(recipe: Any) -> None:
    recipe.add_argument("--seeds", type=seeds, default=(0,), metavar="S,S", help="one run for each (0)")
    recipe.add_argument(
        "--epochs", type=values.count, default=5, metavar="N", help="passes over the data (5)"
    )
    recipe.add_argument(
        "--exits",
        type=layers,
        default=tuple(range(1, 7)),
        metavar="K,K",
        help="after which blocks (1,2,3,4,5,6)",
    )
    recipe.add_argument(
        "--rival-seeds",
        type=seeds,
        default=(),
        metavar="S,S",
        help="of these, train the last exit alone too: all-cloud is then the better one (none)",
    )
    recipe.add_argument("--attentive", action="store_true", help="heads learn which words to look at")
    recipe.add_argument("--adapter", action="store_true", help="train small matrices beside the encoder")
    recipe.add_argument(
        "--weighting", choices=("depth", "equal"), default="depth", help="of the exits' losses (depth)"
    )
    recipe.add_argument(
        "--dropout", type=values.share, default=0.1, metavar="P", help="share of values dropped (0.1)"
    )
    recipe.add_argument(
        "--distil",
        type=values.share,
        default=0.0,
        metavar="A",
        help="share of the last exit's answer in the others' targets (0)",
    )
    recipe.add_argument(
        "--alternate", action="store_true", help="every other step trains the last exit alone"
    )


def seeds(text: str) -> tuple[int, ...]:
    """Whole numbers, separated by commas."""
    return _numbers(text, "seeds as in 0,1,2")


def layers(text: str) -> tuple[int, ...]:
    """Numbers of blocks, separated by commas."""
    return tuple(sorted(set(_numbers(text, "blocks as in 2,4,6"))))


def _numbers(text: str, wanted: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of {wanted}")
    return tuple(dict.fromkeys(map(int, parts)))
