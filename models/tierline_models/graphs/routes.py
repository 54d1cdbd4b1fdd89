"""What exits are worth on labelled inputs: their temperatures, and the routes that a planner needs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from tierline_models.calibration import fit_temperature
from tierline_models.card import RouteData
from tierline_models.errors import BundleError, SplitError
from tierline_models.routes import route_table

MOST_EXITS = 8  # the model's own output included: the table has a row for each chain of three of them
MOST_ROUTES = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """What happened to labelled inputs that left at each chain of exits."""

    accuracy: float  # of the unsplit model
    table: tuple[RouteData, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What labelled inputs say of a model's exits; the layer of its last block is its own output."""

    temperatures: Mapping[int, float]
    routes: Routes


def measure_routes(
    blocks: Sequence[nn.Module],
    exits: Mapping[int, nn.Module],
    inputs: Iterable[Tensor | tuple[Tensor, ...]],
    truth: Sequence[int],
) -> Measured:
    """Run every batch through all blocks and exits; raises SplitError where labels do not fit.

    Args:
        blocks: of the model, in order.
        exits: by layer.
        inputs: batches of what the model takes, which no exit was trained on.
        truth: class numbers, over all batches.
    """
    if len(exits) >= MOST_EXITS:
        raise SplitError(
            f"{len(exits)} exits are too many to measure all routes over; {MOST_EXITS - 1} are not"
        )
    logits = _run(blocks, exits, inputs)
    wanted = torch.tensor(list(truth))
    for layer, found in logits.items():
        if found.ndim != 2 or len(found) != len(wanted):
            raise SplitError(
                f"layer {layer} gives {tuple(found.shape)} for {len(wanted)} labels, not one row each"
            )
        if not 0 <= int(wanted.min()) <= int(wanted.max()) < found.shape[1]:
            raise SplitError(f"layer {layer} has {found.shape[1]} classes, the labels go beyond them")
    temperatures = {layer: fit_temperature(found, wanted) for layer, found in logits.items()}
    correct = {layer: found.argmax(1) == wanted for layer, found in logits.items()}
    confidence = {
        layer: torch.softmax(found.double() / temperatures[layer], 1).amax(1)
        for layer, found in logits.items()
    }
    routes = Routes(
        accuracy=float(correct[len(blocks)].double().mean()),
        table=route_table(confidence, correct)[:MOST_ROUTES],
    )
    return Measured(temperatures=temperatures, routes=routes)


def _run(
    blocks: Sequence[nn.Module], exits: Mapping[int, nn.Module], inputs: Iterable[Any]
) -> dict[int, Tensor]:
    """Logits (samples, classes) of each exit, and of the model itself after its last block."""
    found: dict[int, list[Tensor]] = {layer: [] for layer in (*exits, len(blocks))}
    with torch.no_grad():
        for carried in inputs:
            for layer, block in enumerate(blocks, 1):
                carried = block(carried)
                if layer in exits:
                    found[layer].append(exits[layer](carried))
            found[len(blocks)].append(_logits(carried))
    if not found[len(blocks)]:
        raise SplitError("there is no labelled input to measure exits with")
    return {layer: torch.cat(rows) for layer, rows in found.items()}


def _logits(returned: Any) -> Tensor:
    """The one tensor (B, classes) among what a model returns."""
    leaves = [one for one in tree_leaves(returned) if isinstance(one, Tensor)]
    found = [one for one in leaves if one.ndim == 2 and one.is_floating_point()]
    if len(found) != 1:
        raise SplitError(f"the model returns {len(found)} tensors of logits (batch, classes); one is needed")
    return found[0]


def routes_to_json(routes: Routes) -> dict[str, Any]:
    """For a bundle's routes.json."""
    return {"accuracy": routes.accuracy, "routes": [asdict(row) for row in routes.table]}


def routes_from_json(document: Any, exits: Sequence[int]) -> Routes:
    """From a bundle's routes.json; raises BundleError for what no measurement gives.

    Args:
        document: as read from JSON.
        exits: of the model, in order, its own output last.
    """
    try:
        if len(document["routes"]) > MOST_ROUTES:
            raise ValueError(f"there are more than {MOST_ROUTES} routes")
        table = tuple(_route(row, exits) for row in document["routes"])
        return Routes(accuracy=_share(document["accuracy"]), table=table)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"routes.json makes no sense: {error!s:.120}") from error


def _route(row: Mapping[str, Any], exits: Sequence[int]) -> RouteData:
    chain, thresholds, shares = tuple(row["exits"]), row["thresholds"], row["shares"]
    if not set(chain) <= set(exits) or any(a >= b for a, b in pairwise(chain)) or not 1 <= len(chain) <= 3:
        raise ValueError(f"no route leaves at {chain!r:.60}")
    if len(shares) != len(chain) or len(thresholds) != len(chain) - 1:
        raise ValueError("a route has one share an exit and one threshold fewer")
    route = RouteData(
        exits=chain,
        thresholds=tuple(map(_share, thresholds)),
        shares=tuple(map(_share, shares)),
        accuracy=_share(row["accuracy"]),
    )
    if abs(sum(route.shares) - 1) > 1e-3:
        raise ValueError("a route's shares do not sum to 1")
    return route


def _share(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= 1:
        raise ValueError(f"{value!r:.40} is no share")
    return float(value)
