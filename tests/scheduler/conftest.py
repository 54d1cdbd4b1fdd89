"""Deployments made of records, as nodes would publish them, and a model whose routes were really measured."""

from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import combinations, combinations_with_replacement
from random import Random
from typing import Any

import pytest

from tests.scheduler.fleets import Build, make, plans_of
from tierline_broker import (
    Birth,
    LinkReport,
    ModelCard,
    PointCard,
    Profile,
    RouteCard,
    Telemetry,
    Tier,
)
from tierline_scheduler import ClusterState, apply
from tierline_scheduler.fleet import PlanTable

Confidences = dict[int, float]
"""What the exits of a model would say of one sample, by layer."""


@dataclass(frozen=True)
class Population:
    """Made-up samples, and the routes measured on them exactly as a model's card has them."""

    blocks: int
    exits: tuple[int, ...]
    grid: tuple[float, ...] = (0.95, 0.8, 0.65)
    size: int = 200
    seed: int = 1
    frames: dict[str, int] = field(default_factory=lambda: {"raw": 75_000, "fp16": 37_000, "int8": 19_000})
    input_bytes: int = 120

    @cached_property
    def samples(self) -> list[tuple[Confidences, Confidences]]:
        """Pairs of confidence and correctness (0 or 1) by exit; later exits know better."""
        rng, found = Random(self.seed), []
        for _ in range(self.size):
            ease = rng.random()
            confidence = {e: min(0.999, 0.5 + 0.5 * (ease * (0.5 + e / self.blocks))) for e in self.exits}
            right = {e: float(rng.random() < 0.4 + 0.6 * confidence[e]) for e in self.exits}
            found.append((confidence, right))
        return found

    def outcome(self, leave: list[tuple[int, float]]) -> tuple[tuple[float, ...], float]:
        """Shares by exit, and accuracy, when samples leave at each (exit, threshold) in turn."""
        counts, right = [0] * len(leave), 0.0
        for confidence, correct in self.samples:
            k = next(i for i, (e, t) in enumerate(leave) if confidence[e] >= t)
            counts[k] += 1
            right += correct[leave[k][0]]
        return tuple(n / self.size for n in counts), right / self.size

    @cached_property
    def card(self) -> ModelCard:
        routes = []
        for length in (1, 2, 3):
            for exits in combinations(self.exits, length):
                for thresholds in combinations_with_replacement(self.grid, length - 1):
                    leave = list(zip(exits, (*thresholds, 0.0), strict=True))
                    shares, accuracy = self.outcome(leave)
                    routes.append(
                        RouteCard(exits=exits, thresholds=thresholds, shares=shares, accuracy=accuracy)
                    )
        return ModelCard(
            digest=f"digest-{self.seed}-{self.blocks}",
            name="made-up",
            blocks=self.blocks,
            input_bytes=self.input_bytes,
            points=tuple(PointCard(layer=k, frame_bytes=self.frames) for k in range(1, self.blocks)),
            exits=self.exits,
            accuracy=self.outcome([(self.exits[-1], 0.0)])[1],
            routes=tuple(routes),
        )


def image_card() -> ModelCard:
    """A model without early exits whose late split points are narrow, as EfficientNet-Lite0's are."""
    elements = [200_704, 75_264, 75_264, 31_360, 31_360, *[15_680] * 3, *[21_952] * 3, *[9_408] * 4]
    return ModelCard(
        digest="image",
        name="image",
        blocks=16,
        input_bytes=45_000,
        points=tuple(
            PointCard(layer=k, frame_bytes={"raw": 64 + 4 * n, "int8": 64 + n})
            for k, n in enumerate(elements, start=1)
        ),
        exits=(16,),
        accuracy=1.0,
        routes=(RouteCard(exits=(16,), thresholds=(), shares=(1.0,), accuracy=1.0),),
    )


def birth(name: str, tier: Tier | None, **fields: Any) -> Birth:
    return Birth(node=name, tier=tier, **{"state": "ready", "incarnation": 1, **fields})


def profile(name: str, tier: Tier, card: ModelCard, slowdown: float = 1.0, **fields: Any) -> Profile:
    given = {
        "incarnation": 1,
        "block_seconds": (0.004 * slowdown,) * card.blocks,
        "exit_seconds": 0.0003 * slowdown,
        "codec_seconds": 0.0004 * slowdown,
        "max_layer": card.blocks,
        "memory_bytes": 2**30,
        "cores": 4,
    }
    return Profile(node=name, tier=tier, model=card, **{**given, **fields})


def link(peer: str, rate: float = 2.5e6, rtt: float = 0.02, **fields: Any) -> LinkReport:
    return LinkReport(peer=peer, bytes_per_second=rate, rtt=rtt, **{"age": 0.0, "observations": 1, **fields})


def telemetry(name: str, tier: Tier, *links: LinkReport, **fields: Any) -> Telemetry:
    given = {"incarnation": 1, "queue": 0, "speed": 1.0, "busy": 0.0, "arrival_rate": 0.0}
    return Telemetry(node=name, tier=tier, links=links, **{**given, **fields})


SLOWDOWN = {Tier.MOBILE: 10.0, Tier.EDGE: 3.0, Tier.CLOUD: 1.0}


def deployment(
    card: ModelCard,
    *,
    mobiles: int = 1,
    edges: int = 1,
    clouds: int = 1,
    rate: float = 5.0,
    uplink: float = 2.5e6,
    **mobile: Any,
) -> ClusterState:
    """A state at time 0 in which everybody was born, profiled and heard of once."""
    names = {
        Tier.MOBILE: [f"mobile-{k}" for k in range(mobiles)],
        Tier.EDGE: [f"edge-{k}" for k in range(edges)],
        Tier.CLOUD: [f"cloud-{k}" for k in range(clouds)],
    }
    links = {
        Tier.MOBILE: [*(link(e, uplink) for e in names[Tier.EDGE])]
        + [link(c, uplink, 0.04) for c in names[Tier.CLOUD]],
        Tier.EDGE: [link(c, 12.5e6) for c in names[Tier.CLOUD]],
        Tier.CLOUD: [],
    }
    state = ClusterState()
    for tier, members in names.items():
        arriving = {"arrival_rate": rate, **mobile} if tier is Tier.MOBILE else {}
        for name in members:
            state = apply(state, birth(name, tier), 0.0)
            state = apply(state, profile(name, tier, card, SLOWDOWN[tier]), 0.0)
            state = apply(state, telemetry(name, tier, *links[tier], **arriving), 0.0)
    return state


@dataclass(frozen=True)
class Kit:
    """What tests build deployments with; a fixture, since test folders are no packages."""

    population = staticmethod(Population)
    image_card = staticmethod(image_card)
    birth = staticmethod(birth)
    profile = staticmethod(profile)
    link = staticmethod(link)
    telemetry = staticmethod(telemetry)
    deployment = staticmethod(deployment)
    apply = staticmethod(lambda state, record: apply(state, record, state.now))
    text = Population(blocks=6, exits=(2, 4, 6))


@pytest.fixture(scope="session")
def kit() -> Kit:
    return Kit()


@pytest.fixture(scope="session")
def plan_table(kit: Any) -> PlanTable:
    return plans_of(kit.text.card)


@pytest.fixture(scope="session")
def build(plan_table: PlanTable) -> Build:
    return partial(make, plan_table)
