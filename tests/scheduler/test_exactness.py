"""The planner against an independent one: every band and tier of every pool, samples followed one by one."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement, pairwise, product
from statistics import NormalDist
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tierline_broker import RAW_INPUT, Pool, Route, Stage, Tier
from tierline_scheduler import ClusterState, Objective, apply, plan

DOUBT = math.sqrt(0.05 / 1.95)  # of a level, in deviations of one observation
SPREAD = 0.25  # of whatever was observed once
ALLOWED = NormalDist().cdf(-1.645)


@dataclass(frozen=True)
class Machine:
    block: float
    leave: float
    codec: float


@dataclass(frozen=True)
class World:
    population: Any
    tiers: dict[str, Tier]
    machines: dict[str, Machine]
    links: dict[tuple[str, str], tuple[float, float]]
    rate: float


@dataclass(frozen=True)
class Step:
    """What one node did to one sample: blocks first+1..last, and what came with it."""

    first: int
    last: int
    exits: bool
    decodes: bool
    encodes: bool


@dataclass(frozen=True)
class Outcome:
    cloud: float
    mean: float
    late: float  # probability
    expected: float
    accuracy: float
    fits: bool


def every_route(world: World) -> Iterator[Route]:
    for names in chains(world):
        for layers in product(range(world.population.blocks + 1), repeat=len(names)):
            if layers[-1] in world.population.exits and all(a < b for a, b in pairwise(layers)):
                for codecs in product((*world.population.frames, RAW_INPUT), repeat=len(names) - 1):
                    if sendable(layers, codecs):
                        yield from banded(world, names, layers, codecs)


def chains(world: World) -> Iterator[tuple[str, ...]]:
    of = {tier: [name for name, found in world.tiers.items() if found is tier] for tier in Tier}
    for tiers in ((), (Tier.EDGE,), (Tier.CLOUD,), (Tier.EDGE, Tier.CLOUD)):
        yield from product(of[Tier.MOBILE], *(of[tier] for tier in tiers))


def sendable(layers: Sequence[int], codecs: Sequence[str]) -> bool:
    at_start = all(codec == RAW_INPUT for layer, codec in zip(layers, codecs, strict=False) if layer == 0)
    return at_start and not any(a != RAW_INPUT and b == RAW_INPUT for a, b in pairwise(codecs))


def banded(
    world: World, names: Sequence[str], layers: Sequence[int], codecs: Sequence[str]
) -> Iterator[Route]:
    stages = tuple(
        Stage(tier=world.tiers[name], node=name, layer=layer, codec=codec)
        for name, layer, codec in zip(names, layers, (RAW_INPUT, *codecs), strict=True)
    )
    end = stages[-1].tier
    for medium, easy in combinations_with_replacement(sorted((1.0, *world.population.grid)), 2):
        for first, second in product([stage.tier for stage in stages], repeat=2):
            if first.rank <= second.rank <= end.rank:
                tiers = {Pool.EASY: first, Pool.MEDIUM: second, Pool.HARD: end}
                yield Route(stages=stages, easy=easy, medium=medium, tiers=tiers)


def follow(world: World, route: Route, confidence: dict[int, float] | None) -> tuple[list[Step], int]:
    """What each node does to a sample, and where it leaves; None is a sample nobody is ever sure of."""
    steps: list[Step] = []
    layer = 0
    for k, stage in enumerate(route.stages):
        layer = 0 if stage.codec == RAW_INPUT else layer
        inside = [e for e in world.population.exits if layer < e <= stage.layer]
        stops = k + 1 == len(route.stages)
        if inside and confidence is not None:
            sure = confidence[inside[-1]]
            pool = Pool.EASY if sure >= route.easy else Pool.MEDIUM if sure >= route.medium else Pool.HARD
            stops = stops or route.tiers[pool].rank <= stage.tier.rank
        again = not stops and route.stages[k + 1].codec == RAW_INPUT
        last = (inside[-1] if inside else layer) if stops or again else stage.layer
        steps.append(
            Step(layer, last, bool(inside), stage.codec != RAW_INPUT, encodes=not stops and not again)
        )
        if stops:
            return steps, inside[-1]
        layer = stage.layer
    raise AssertionError("the last stage always stops")


def judge(world: World, objective: Objective, route: Route) -> Outcome:
    names = [stage.node for stage in route.stages]
    walks = [(follow(world, route, confidence), right) for confidence, right in world.population.samples]
    size = len(walks)

    def service(k: int, step: Step) -> float:
        machine = world.machines[names[k]]
        codec = (step.decodes + step.encodes) * machine.codec / 2
        return (step.last - step.first) * machine.block + step.exits * machine.leave + codec

    at = [[steps[k] for (steps, _), _ in walks if len(steps) > k] for k in range(len(names))]
    sizes = [0.0]
    for stage in route.stages[1:]:
        raw = stage.codec == RAW_INPUT
        sizes.append(world.population.input_bytes if raw else world.population.frames[stage.codec])
    wire = [0.0] + [n / world.links[pair][0] for n, pair in zip(sizes[1:], pairwise(names), strict=True)]
    rtt = [0.0] + [world.links[pair][1] for pair in pairwise(names)]
    busy = [world.rate * sum(service(k, step) for step in steps) / size for k, steps in enumerate(at)]
    sent = [world.rate * len(steps) / size * wire[k] for k, steps in enumerate(at)]
    wait = [
        u * (sum(service(k, step) for step in at[k]) / len(at[k]) if at[k] else 0.0) * longer(u)
        for k, u in enumerate(busy)
    ]
    wire_wait = [u * wire[k] * longer(u) for k, u in enumerate(sent)]

    def elapsed(steps: list[Step]) -> float:
        return sum(
            wait[k] + service(k, step) + wire_wait[k] + wire[k] + rtt[k] for k, step in enumerate(steps)
        )

    deepest, _ = follow(world, route, None)
    first, *onward = [*wire[1:], 0.0]
    parts = [*wait, *wire_wait, *(SPREAD * w for w in onward), *(SPREAD * r for r in rtt)]
    parts += [SPREAD * service(k, step) for k, step in enumerate(deepest)]
    doubt = math.hypot(SPREAD * DOUBT, 2 * 0.5 * DOUBT / max(math.sqrt(world.rate), 0.5))
    cloud = world.machines["cloud-0"]
    in_cloud = at[-1] if route.stages[-1].tier is Tier.CLOUD else []
    late = share_late(elapsed(deepest) - first, math.hypot(*parts), first, objective.deadline)
    work = sum((s.last - s.first) * cloud.block + s.exits * cloud.leave for s in in_cloud) / size
    overrun = 1 + math.log(max(1.0, elapsed(deepest) / objective.deadline))
    return Outcome(
        cloud=work,
        mean=sum(elapsed(steps) for (steps, _), _ in walks) / size,
        late=late,
        expected=work + objective.late_cost * max(0.0, late - ALLOWED) * overrun,
        accuracy=sum(right[leave] for (_, leave), right in walks) / size,
        fits=max(*busy, *sent, 0) * (1 + objective.margin * doubt) <= objective.max_utilisation,
    )


def share_late(rest: float, spread: float, crossing: float, deadline: float) -> float:
    """Of a lognormal with the sum's mean and variance that begins three spreads below the rest."""
    hop = crossing * math.exp(SPREAD**2 / 2) if crossing else 0.0
    mean, variance = hop + 3 * spread, spread**2 + hop**2 * math.expm1(SPREAD**2)
    squared = math.log1p(variance / mean**2)
    beyond = max(deadline - rest + 3 * spread, 1e-12)
    return NormalDist().cdf((math.log(mean / beyond) - squared / 2) / math.sqrt(squared))


def longer(utilisation: float) -> float:
    return 1 / (1 - utilisation) if utilisation <= 0.95 else 20 + 400 * (utilisation - 0.95)


def state_of(kit: Any, world: World) -> ClusterState:
    state = ClusterState()
    for name, tier in world.tiers.items():
        machine, card = world.machines[name], world.population.card
        links = [kit.link(b, rate, rtt) for (a, b), (rate, rtt) in world.links.items() if a == name]
        profile = kit.profile(
            name,
            tier,
            card,
            block_seconds=(machine.block,) * card.blocks,
            exit_seconds=machine.leave,
            codec_seconds=machine.codec,
        )
        rate = world.rate if tier is Tier.MOBILE else 0.0
        for record in (kit.birth(name, tier), profile, kit.telemetry(name, tier, *links, arrival_rate=rate)):
            state = apply(state, record, 0.0)
    return state


@pytest.mark.no_cover
@pytest.mark.slow
@pytest.mark.timeout(180)
@given(data=st.data())
@settings(max_examples=10, phases=(Phase.generate,))  # shrinking would take minutes
def test_the_plan_is_as_good_as_the_best_of_all_routes_that_nodes_could_follow(kit: Any, data: Any) -> None:
    population = kit.population(
        blocks=4,
        exits=data.draw(st.sampled_from([(2, 4), (1, 3, 4), (4,)])),
        grid=(0.8, 0.65),
        size=40,
        seed=data.draw(st.integers(1, 50)),
        frames={"raw": 40_000, "int8": 10_000},
        input_bytes=data.draw(st.sampled_from([100, 30_000])),
    )
    tiers = {"mobile-0": Tier.MOBILE, "edge-0": Tier.EDGE, "cloud-0": Tier.CLOUD}
    speed = {"mobile-0": st.floats(0.005, 0.08), "edge-0": st.floats(0.003, 0.03), "cloud-0": st.just(0.003)}
    machines = {name: Machine(data.draw(speed[name]), 0.0005, 0.001) for name in tiers}
    rate = st.floats(2e5, 5e6)
    links = {
        ("mobile-0", "edge-0"): (data.draw(rate), 0.01),
        ("mobile-0", "cloud-0"): (data.draw(rate), 0.04),
        ("edge-0", "cloud-0"): (data.draw(rate), 0.02),
    }
    world = World(population, tiers, machines, links, data.draw(st.floats(0, 15)))
    objective = Objective(
        deadline=data.draw(st.floats(0.03, 0.6)),
        accuracy_drop=data.draw(st.sampled_from([0.0, 0.05, 0.2])),
    )

    found = plan(state_of(kit, world), objective)["mobile-0"]
    ours = judge(world, objective, found.route)
    outcomes = [judge(world, objective, route) for route in every_route(world)]

    card = population.card
    floor = min(card.accuracy - objective.accuracy_drop, max(r.accuracy for r in card.routes)) - 1e-9
    allowed = [one for one in outcomes if one.accuracy >= floor]
    feasible = [one for one in allowed if one.late <= ALLOWED and one.fits]
    assert found.predicted_cloud_seconds == pytest.approx(ours.cloud)
    assert found.predicted_mean_seconds == pytest.approx(ours.mean)
    assert found.predicted_accuracy == pytest.approx(ours.accuracy)
    if feasible:
        best = min((round(one.cloud, 9), one.mean) for one in feasible)
        assert (round(ours.cloud, 9), ours.mean) == pytest.approx(best, rel=1e-6)
        assert ours in feasible
        assert "nothing meets" not in found.reason
    else:
        assert ours.expected == pytest.approx(min(one.expected for one in allowed), rel=1e-4)
        assert found.reason.startswith("nothing meets the deadline")
