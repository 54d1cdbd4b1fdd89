"""A model as the planner sees it: checked, hashable, and free of choices that can never be the best."""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

from tierline_broker import ModelCard, PointCard, Pool, RouteCard
from tierline_codecs import CALIBRATED, CODECS

KNOWN = tuple(sorted({*CODECS, *CALIBRATED}))
"""The codecs that we know, in the order in which everything here numbers them."""
MAX_ROWS = 500_000
"""Largest enumeration that we take on; a card that asks for more is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """What can be cut where, and what leaves at which exit; equal when the cards are.

    Attributes:
        frames: for each split point, in order, the bytes of a hand-off by codec, within its error budget.
        allowed: the same, and still whole in a model that `prune` made.
        array_bytes: for each split point, the bytes of the float32 array that is coded.
        routes: measured outcomes by the exits they use; thresholds never rise, for the nodes' confidence
            bands cannot express that.
        router: digest of what gains in the routes are of.
        pools: share of the samples that were measured, by how hard they looked.
        overclaims: by exit, how much surer of its answers it was than the next, of those samples.
    """

    key: str
    digest: str = field(compare=False)
    name: str = field(compare=False)
    blocks: int = field(compare=False)
    input_bytes: int = field(compare=False)
    frames: Mapping[int, Mapping[str, int]] = field(compare=False)
    allowed: Mapping[int, Mapping[str, int]] = field(compare=False)
    array_bytes: Mapping[int, int] = field(compare=False)
    exits: tuple[int, ...] = field(compare=False)
    accuracy: float = field(compare=False)
    routes: Mapping[tuple[int, ...], tuple[RouteCard, ...]] = field(compare=False)
    router: str = field(default="", compare=False)
    pools: Mapping[Pool, float] = field(default_factory=dict, compare=False)
    overclaims: Mapping[int, float] = field(default_factory=dict, compare=False)

    @property
    def best_accuracy(self) -> float:
        """The highest accuracy that any route was measured at."""
        return max(route.accuracy for routes in self.routes.values() for route in routes)


def read_card(card: ModelCard) -> Model:
    """Return the model that a card describes, with the codecs that we know: newer nodes may have more.

    Raises:
        ValueError: the card contradicts itself, or is too large to be enumerated; the text says where.
    """
    _check_points(card)
    for route in card.routes:
        _check_route(card, route)
    routes = defaultdict(list)
    for route in card.routes:
        if sorted(route.thresholds, reverse=True) == list(route.thresholds):
            routes[route.exits].append(route)
    if not routes:
        raise ValueError("the model card has no usable route; add at least the last exit alone")
    points = [point for point in sorted(card.points, key=_layer) if point.layer < card.blocks]
    frames = {point.layer: sizes for point in points if (sizes := _allowed(point))}
    model = Model(
        key=hashlib.sha256(card.model_dump_json().encode()).hexdigest(),
        digest=card.digest,
        name=card.name,
        blocks=card.blocks,
        input_bytes=card.input_bytes,
        frames=frames,
        allowed=frames,
        array_bytes={point.layer: _array_bytes(point) for point in points if point.layer in frames},
        exits=card.exits,
        accuracy=card.accuracy,
        routes={exits: tuple(cards) for exits, cards in sorted(routes.items())},
        router=card.router,
        pools=card.pools,
        overclaims={one.layer: one.overclaim for one in card.exit_cards},
    )
    _check_size(model)
    return model


def prune(model: Model, floor: float | None) -> Model:
    """Return the model without what is beaten everywhere: the optimum among its plans is the same.

    Each hop chooses its codec by itself (`hop_coding`), so one stands for all of them at each split point.
    Of two routes over the same exits that both reach the accuracy floor, the one that sends fewer samples
    past each exit wins: every cost and every load rises with these shares. Without a floor all routes stay.
    """
    frames = {layer: _smallest(sizes) for layer, sizes in model.frames.items()}
    if floor is None:
        return replace(model, key=f"{model.key}/", frames=frames)
    routes = {
        exits: _front(route for route in routes if route.accuracy >= floor)
        for exits, routes in model.routes.items()
    }
    return replace(
        model, key=f"{model.key}/{floor!r}", frames=frames, routes={e: r for e, r in routes.items() if r}
    )


def _smallest(sizes: Mapping[str, int]) -> dict[str, int]:
    codec = min(sizes, key=lambda name: (sizes[name], name))
    return {codec: sizes[codec]}


def _front(routes: Iterable[RouteCard]) -> tuple[RouteCard, ...]:
    """Return the routes that no other beats in the shares sent past each exit, ties to higher accuracy."""
    front: list[tuple[tuple[float, ...], RouteCard]] = []
    for passed, route in sorted(
        ((_passed(r), r) for r in routes), key=lambda one: (one[0], -one[1].accuracy)
    ):
        if not any(all(a <= b for a, b in zip(kept, passed, strict=True)) for kept, _ in front):
            front.append((passed, route))
    return tuple(route for _, route in front)


def _passed(route: RouteCard) -> tuple[float, ...]:
    """The share of samples sent past each exit but the last."""
    return tuple(1 - sum(route.shares[: i + 1]) for i in range(len(route.exits) - 1))


def _allowed(point: PointCard) -> dict[str, int]:
    """Return the frames of the codecs that we know and whose error is within the budget, if there is one."""
    known = {codec: point.frame_bytes[codec] for codec in KNOWN if codec in point.frame_bytes}
    if point.error_budget is None:
        return known
    budget = point.error_budget
    return {codec: size for codec, size in known.items() if _error(point, codec) <= budget}


def _error(point: PointCard, codec: str) -> float:
    return 0.0 if codec == "raw" else point.errors.get(codec, math.inf)


def _array_bytes(point: PointCard) -> int:
    """Return the bytes of the array: those of its raw frame, which adds little, or of the largest."""
    return max(1, point.frame_bytes.get("raw", max(point.frame_bytes.values())))


def _layer(point: PointCard) -> int:
    return point.layer


def _check_points(card: ModelCard) -> None:
    layers = [point.layer for point in card.points]
    if len(set(layers)) != len(layers) or any(not 1 <= layer <= card.blocks for layer in layers):
        raise ValueError(f"split points must be different layers from 1 to {card.blocks}, not {layers[:20]}")
    rising = all(a < b for a, b in pairwise(card.exits))
    if not rising or card.exits[0] < 1 or card.exits[-1] != card.blocks:
        raise ValueError(f"exits must rise from 1 or later to {card.blocks}, not {card.exits[:20]}")


def _check_route(card: ModelCard, route: RouteCard) -> None:
    rising = all(a < b for a, b in pairwise(route.exits))
    if not rising or not set(route.exits) <= set(card.exits):
        raise ValueError(f"a route leaves at {route.exits}, which are no rising choice of {card.exits[:20]}")
    if len(route.thresholds) != len(route.exits) - 1 or len(route.shares) != len(route.exits):
        raise ValueError(f"the route over {route.exits} needs one share an exit, and one threshold fewer")
    if len(route.gains) not in (0, len(route.thresholds)):
        raise ValueError(f"the route over {route.exits} needs as many gains as thresholds, or none")
    for shares in (route.shares, *(one.shares for one in route.pools.values())):
        if len(shares) != len(route.exits) or abs(sum(shares) - 1) > 1e-3:
            raise ValueError(f"the shares of the route over {route.exits} sum to {sum(shares):.4f}, not 1")


def _check_size(model: Model) -> None:
    """Refuse what would take seconds to enumerate: pairs of cuts x hand-offs x the longest list of routes."""
    cuts, codecs = len(model.frames) + 1, 1 + max((len(sizes) for sizes in model.frames.values()), default=0)
    longest = max(len(routes) for routes in model.routes.values())
    rows = cuts * cuts // 2 * 4 * min(longest, 64)
    if rows > MAX_ROWS or codecs > 32:
        raise ValueError(
            f"{cuts - 1} split points and {longest} routes over the same exits make about {rows} plans, more"
            f" than the {MAX_ROWS} that are enumerated exactly; publish fewer split points"
        )
