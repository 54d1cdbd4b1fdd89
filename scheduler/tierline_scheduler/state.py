"""What is known of a deployment: records folded one by one into a frozen value, time passed in."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tierline_broker import Birth, LinkReport, Order, Plan, Profile, Requirement, Telemetry, Tier
from tierline_scheduler.counting import Count, count
from tierline_scheduler.crowds import Crowd, raised, settled
from tierline_scheduler.crowds import watch as watch_crowd
from tierline_scheduler.errors import RefusedError
from tierline_scheduler.mix import Mix, Watch, watch
from tierline_scheduler.model import Model, read_card
from tierline_scheduler.smoothing import Level, average, observe, restart

MAX_NODES = 4096
MAX_PLAN_VERSION = 2**62
"""Highest that a plan may come with out of the blue: half of what a record can say is left to go on."""
FORGET_SECONDS = 600.0
"""How long a node that said goodbye is remembered."""
BUSY_GAIN = 0.2
CROWDED = 3
"""Samples that wait on a mobile node from which on more requests than usual are believed sooner."""

# Whatever a peer claims, figures stay where arithmetic is safe.
_SPEED = (1e-3, 1e4)
_RATE = (1.0, 1e12)  # bytes per second
_RTT = (1e-5, 3600.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkState:
    """The link from one node to one peer, as the sender measured it."""

    rate: Level  # bytes per second
    rtt: Level  # seconds
    observed: float  # when the last observation was made, on our clock
    observations: int


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeState:
    """One node: what it said of itself, and what it measures."""

    name: str
    birth: Birth | None = None
    profile: Profile | None = None
    model: Model | None = None  # that is planned with
    base: Model | None = None  # as its card has it
    mix: Mix = field(default_factory=Mix)  # in which the two differ
    watch: Watch = field(default_factory=Watch)  # how samples look at its exits
    heard: float = 0.0
    silent: bool = False
    speed: Level | None = None
    arrivals: Count | None = None  # samples per second
    busy: float | None = None
    queue: float | None = None  # smoothed
    waiting: int = 0  # samples at its last report
    battery: float | None = None
    memory_free_bytes: int | None = None
    plan: int = 0  # version that it follows
    links: Mapping[str, LinkState] = field(default_factory=dict)

    @property
    def tier(self) -> Tier | None:
        """Where the node stands; None until it is born."""
        return None if self.birth is None else self.birth.tier

    @property
    def usable(self) -> bool:
        """Whether a plan may count on the node: ready, heard of lately, and profiled in this life."""
        return (
            self.birth is not None
            and self.birth.state == "ready"
            and not self.silent
            and self.profile is not None
            and self.model is not None
            and self.profile.incarnation == self.birth.incarnation
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterState:
    """Everything a plan is made from.

    Attributes:
        now: on our clock.
        nodes: by name.
        plans: the ones in force, by mobile node.
        orders: what operators want of nodes.
        requirements: what clients ask for, and until when on our clock.
        crowd: the evidence that more requests than usual come to all.
        crowds: how many came so far.
    """

    now: float = 0.0
    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    plans: Mapping[str, Plan] = field(default_factory=dict)
    orders: Mapping[str, Order] = field(default_factory=dict)
    requirements: Mapping[str, tuple[Requirement, float]] = field(default_factory=dict)
    crowd: Crowd = field(default_factory=Crowd)
    crowds: int = 0


FoldedRecord = Birth | Profile | Telemetry | Plan | Order | Requirement


def apply(state: ClusterState, record: FoldedRecord, now: float) -> ClusterState:
    """Return the state after one record.

    Args:
        state: what was known.
        record: what a node says, or a plan in force.
        now: when it arrived, in seconds on any monotonic clock, always the same one.

    Raises:
        RefusedError: the record cannot be planned with; the state stays as it was.
    """
    state = replace(state, now=max(now, state.now))
    match record:
        case Plan():
            return _with_plan(state, record)
        case Order():
            return _ordered(state, record)
        case Requirement():
            return _required(state, record, now)
        case Birth():
            if record.role != "node" or record.tier is None:
                return state
            node = _born(_known(state, record.node), record, now)
        case Profile():
            node = _profiled(_known(state, record.node), record)
        case Telemetry():
            known = state.nodes.get(record.node)
            if known is None or known.birth is None or known.birth.incarnation != record.incarnation:
                # Of a life whose birth is still under way, or has ended: the next report comes in a second.
                return state
            node = _reported(known, record, now)
            if node.tier is Tier.MOBILE and not record.early:
                watched = watch_crowd(state.crowd, node.name, known.arrivals, record.arrival_rate)
                state = replace(state, crowd=watched)
    state = replace(state, nodes={**state.nodes, record.node: node})
    return _crowded(state) if state.crowd.here else state


def _crowded(state: ClusterState) -> ClusterState:
    """Return the state in which a crowd has come to all mobile nodes that had requests before."""
    nodes = {
        name: replace(node, arrivals=raised(node.arrivals, state.crowd))
        if node.tier is Tier.MOBILE and node.arrivals is not None and settled(node.arrivals)
        else node
        for name, node in state.nodes.items()
    }
    return replace(state, nodes=nodes, crowd=Crowd(), crowds=state.crowds + 1)


def expire(state: ClusterState, now: float, *, silence: float) -> ClusterState:
    """Return the state in which nodes silent for `silence` seconds do not count, until they speak again."""
    nodes = {}
    for name, node in state.nodes.items():
        gone = node.birth is None or node.birth.state == "lost"
        if gone and now - node.heard > FORGET_SECONDS:
            continue
        silent = now - node.heard > silence
        nodes[name] = node if silent == node.silent else replace(node, silent=silent)
    asked = {client: one for client, one in state.requirements.items() if one[1] > now}
    return replace(state, now=max(now, state.now), nodes=nodes, requirements=asked)


def _ordered(state: ClusterState, order: Order) -> ClusterState:
    if order.node not in state.orders and len(state.orders) >= MAX_NODES:
        raise RefusedError(order.node, f"its order is left out, for {MAX_NODES} are known; take some back")
    return replace(state, orders={**state.orders, order.node: order})


def _required(state: ClusterState, asked: Requirement, now: float) -> ClusterState:
    if asked.client not in state.requirements and len(state.requirements) >= MAX_NODES:
        raise RefusedError(asked.client, f"its requirement is left out, for {MAX_NODES} are known already")
    known = {**state.requirements, asked.client: (asked, now + asked.valid)}
    return replace(state, requirements={name: one for name, one in known.items() if one[1] > now})


def _known(state: ClusterState, name: str) -> NodeState:
    node = state.nodes.get(name)
    if node is None and len(state.nodes) >= MAX_NODES:
        raise RefusedError(name, f"left out, for {MAX_NODES} nodes are known already; remove some")
    return node or NodeState(name=name, heard=state.now)


def _with_plan(state: ClusterState, plan: Plan) -> ClusterState:
    known = state.plans.get(plan.node)
    if known is None and len(state.plans) >= MAX_NODES:
        raise RefusedError(plan.node, f"its plan is left out, for {MAX_NODES} are known; clear old ones")
    if known is not None and plan.version <= known.version:
        return state
    follows = known is not None and plan.version == known.version + 1
    if plan.version > MAX_PLAN_VERSION and not follows:
        raise RefusedError(
            plan.node,
            f"plan refused: version {plan.version} is over {MAX_PLAN_VERSION}; clear the retained one",
        )
    return replace(state, plans={**state.plans, plan.node: plan})


def _born(node: NodeState, birth: Birth, now: float) -> NodeState:
    """A new life starts without measurements; the will of an earlier life says nothing of this one."""
    if node.birth is not None and node.birth.incarnation == birth.incarnation:
        return replace(node, birth=birth, heard=now, silent=False)
    if birth.state == "lost" and node.birth is not None:
        return node
    return NodeState(
        name=node.name, birth=birth, profile=node.profile, model=node.base, base=node.base, heard=now
    )


def _profiled(node: NodeState, profile: Profile) -> NodeState:
    blocks, measured = profile.model.blocks, len(profile.block_seconds)
    if measured != blocks and not measured == profile.max_layer < blocks:
        held = "" if profile.max_layer >= blocks else f", of which {profile.max_layer} are held"
        raise RefusedError(
            profile.node,
            f"profile refused: {measured} block times for {blocks} blocks{held}; send one for each",
        )
    try:
        model = read_card(profile.model)
    except ValueError as error:
        raise RefusedError(profile.node, f"profile refused: {error}") from error
    if node.base is not None and node.base.key == model.key:
        return replace(node, profile=profile)
    return replace(node, profile=profile, model=model, base=model, mix=Mix())


def _reported(node: NodeState, telemetry: Telemetry, now: float) -> NodeState:
    links = {report.peer: _observed(node.links.get(report.peer), report, now) for report in telemetry.links}
    if telemetry.early:
        return replace(node, heard=now, silent=False, links=links)
    return replace(
        node,
        heard=now,
        silent=False,
        links=links,
        speed=observe(node.speed, _within(telemetry.speed, _SPEED)),
        arrivals=count(node.arrivals, telemetry.arrival_rate, crowded=telemetry.queue >= CROWDED),
        busy=average(node.busy, telemetry.busy, BUSY_GAIN),
        waiting=min(telemetry.queue, 1_000_000),
        queue=average(node.queue, min(telemetry.queue, 1_000_000), BUSY_GAIN),
        battery=telemetry.battery,
        plan=min(telemetry.plan, MAX_PLAN_VERSION),
        memory_free_bytes=telemetry.memory_free_bytes,
        watch=watch(node.watch, telemetry.exits) if telemetry.exits else node.watch,
    )


def _observed(link: LinkState | None, report: LinkReport, now: float) -> LinkState:
    """A report that counts no new observation only repeats itself: it makes nothing more certain."""
    if link is not None and report.observations == link.observations:
        return link
    rate = _within(report.bytes_per_second, _RATE)
    refuted = report.stalled and link is not None and link.rate.value > rate
    return LinkState(
        # What is still on its way is no noisy reading but a bound, whatever was believed before.
        rate=restart(rate) if refuted else observe(link.rate if link else None, rate),
        rtt=observe(link.rtt if link else None, _within(report.rtt, _RTT)),
        observed=now - report.age,
        observations=report.observations,
    )


def _within(value: float, bounds: tuple[float, float]) -> float:
    return min(max(value, bounds[0]), bounds[1])
