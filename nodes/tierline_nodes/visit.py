"""One sample's visit to a node, and the records that tell of it: its step, its result, the work sent on."""

import time
from dataclasses import dataclass

from tierline_broker import Failure, Plan, Result, Route, Stage, Step, Tier, Work
from tierline_nodes.compute import Ran
from tierline_nodes.config import NodeConfig
from tierline_nodes.routing import Answered, own_route
from tierline_nodes.stage import Passed

LONGEST_WIRE = 3600.0  # seconds; a stamp further off was made by another clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """A sample at a node: what arrived, when, until when, and which route it follows from here."""

    config: NodeConfig
    work: Work
    route: Route
    plan: int  # version of the plan that the route comes from
    arrived: float  # monotonic seconds
    due: float  # monotonic seconds

    @property
    def remaining(self) -> float:
        """Seconds until the deadline, 0 when it has passed."""
        return max(0.0, self.due - time.monotonic())


def visit_of(config: NodeConfig, work: Work, plan: Plan | None, layers: int) -> Visit:
    """Return the visit that begins now, of a sample that follows its own route, else this node's plan."""
    arrived = time.monotonic()
    planned = plan is not None and work.route is None and work.tier is None
    return Visit(
        config=config,
        work=work,
        route=own_route(work, plan, node=config.name, tier=config.tier, layers=layers),
        plan=plan.version if plan is not None and planned else work.plan,
        arrived=arrived,
        due=arrived + work.deadline,
    )


def step_of(visit: Visit, ran: Ran[Passed] | None) -> Step:
    """Return what this node did to the sample, in emulated seconds where it emulates a slower device."""
    work, here = visit.work, time.monotonic() - visit.arrived
    step = Step(
        node=visit.config.name,
        tier=visit.config.tier,
        first=work.layer,
        last=work.layer,
        other=here,
        wire=_wire_seconds(work, visit.arrived),
        received_bytes=len(work.payload),
        codec=work.codec,
        plan=visit.plan,
    )
    if ran is None:
        return step
    passed, factor = ran.value, ran.slowdown
    spent = {
        "queue": ran.queue,
        "decode": passed.decode.slowed(factor),
        "compute": passed.compute.slowed(factor),
        "encode": passed.encode.slowed(factor),
    }
    gain = None if passed.sight is None else passed.sight.judged.gain
    return step.model_copy(
        update={"last": passed.layer, "other": max(0.0, here - sum(spent.values())), "gain": gain, **spent}
    )


def _wire_seconds(work: Work, arrived: float) -> float | None:
    """Return the seconds since the sender's stamp; None without one, or with one of another host's clock."""
    if work.sent_clock is None:
        return None
    seconds = arrived - work.sent_clock
    return seconds if 0 <= seconds <= LONGEST_WIRE else None


def onward_work(visit: Visit, route: Route, passed: Passed, model: str, step: Step) -> Work:
    """Return the work that takes the sample to the first stage of `route`."""
    update = {
        "model": model,
        "layer": passed.payload_layer,
        "codec": passed.codec,
        "plan": visit.plan,
        "route": route,
        "deadline": visit.remaining,
        "steps": (*visit.work.steps, step),
        "best": passed.best,
        "pool": visit.work.pool if passed.sight is None else passed.sight.pool,
        "sent_clock": time.monotonic() if visit.config.bench_clock else None,
        "payload": passed.payload,
    }
    return visit.work.model_copy(update=update)


def untouched(work: Work) -> Passed:
    """Return a sample that this node passes on as it came."""
    return Passed(
        decision=None, layer=work.layer, best=work.best,
        payload=work.payload, codec=work.codec, payload_layer=work.layer,
    )  # fmt: skip


def pinned_route(tier: Tier, node: str, layers: int, codec: str) -> Route:
    """Return the one-stage route of a sample that is pinned to a tier."""
    return Route(stages=(Stage(tier=tier, node=node, layer=layers, codec=codec),))


def answered(
    visit: Visit,
    step: Step,
    found: Answered,
    *,
    degraded: bool = False,
) -> Result:
    """Return the result of a sample that is answered here, with what nodes before expected of going on."""
    result = _result(visit, (*visit.work.steps, step))
    update = {
        "answer": found.answer,
        "why": f"{_hoped(visit.work)}{found.why}"[:1000],
        "pool": found.pool,
        "gain": found.gain,
        "margin": found.margin,
        "degraded": degraded,
    }
    return result.model_copy(update=update)


def _hoped(work: Work) -> str:
    """Return in words why the sample came here, where a node on its way said so."""
    hoped = [f"{step.tier} hoped to mend {step.gain:.1%}" for step in work.steps if step.gain is not None]
    return "".join(f"{one}; " for one in hoped)


def failed(visit: Visit, code: str, message: str) -> Result:
    """Return the result of a sample that ends here without an answer."""
    failure = Failure(code=code, message=message[:1000])
    return _result(visit, visit.work.steps).model_copy(update={"error": failure})


def _result(visit: Visit, steps: tuple[Step, ...]) -> Result:
    return Result(
        id=visit.work.id,
        node=visit.config.name,
        tier=visit.config.tier,
        plan=visit.plan,
        steps=steps,
        sent_clock=time.monotonic() if visit.config.bench_clock else None,
    )
