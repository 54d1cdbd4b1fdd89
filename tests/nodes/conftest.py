"""A node with a real model and a stand-in for the network, whose faults a test can choose."""

import asyncio
import itertools
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace

import pytest

from tierline_broker import RAW_INPUT, Birth, LinkReport, Presence, Profile, Result, Tier, Work
from tierline_models import Bundle, load_bundle
from tierline_nodes.coding import make_coder
from tierline_nodes.compute import compute_thread
from tierline_nodes.config import NodeConfig
from tierline_nodes.emulation import Conditions
from tierline_nodes.meter import Meter
from tierline_nodes.samples import MOST_WAITING, Node
from tierline_nodes.selftest import measure_profile

_ids = itertools.count(1)


@pytest.fixture(scope="session")
def text_bundle() -> Bundle:
    """The real text model with its real weights."""
    return load_bundle("text")


CONFIG = NodeConfig(name="phone", tier=Tier.MOBILE, broker="mqtt://nowhere")


@pytest.fixture(scope="session")
def text_profile(text_bundle: Bundle) -> Profile:
    """What this machine measured of itself, once."""
    return measure_profile(text_bundle, CONFIG, 1, 1.0)


@dataclass
class Bus:
    """Stands for session, sender and presence: keeps what is sent, or fails with `fault`."""

    sent: list[tuple[str, Work]] = field(default_factory=list)
    results: list[tuple[str, Result]] = field(default_factory=list)
    fault: Exception | None = None
    hangs: bool = False
    hanging: int = 0
    all_hang: asyncio.Event = field(default_factory=asyncio.Event)
    publish_faults: list[Exception] = field(default_factory=list)
    counters: Counter[str] = field(default_factory=Counter)
    patience: list[float] = field(default_factory=list)

    async def send(self, work: Work, peer: str, *, deadline: float) -> "Bus":
        self.patience.append(deadline)
        if self.fault is not None:
            raise self.fault
        if self.hangs:
            self.hanging += 1
            if self.hanging == MOST_WAITING:
                self.all_hang.set()
            await asyncio.Event().wait()
        self.sent.append((peer, work))
        return self

    sent_bytes = 100
    rate: float | None = None  # of every link; None: nobody knows

    def link(self, peer: str) -> LinkReport | None:
        if self.rate is None:
            return None
        return LinkReport(peer=peer, bytes_per_second=self.rate, rtt=0.01, age=0.0, observations=9)

    stalls: set[str] = field(default_factory=set)

    def stalled(self, peer: str) -> bool:
        return peer in self.stalls

    def credit(self, peer: str) -> int:
        return len(peer)

    async def publish(self, topic: object, node: str, record: Result, *, expiry: float) -> None:
        if self.publish_faults:
            raise self.publish_faults.pop()
        self.results.append((node, record))

    async def connected(self) -> int:
        return 1


@pytest.fixture
async def bus() -> Bus:
    return Bus()


@pytest.fixture
async def node(text_bundle: Bundle, text_profile: Profile, bus: Bus) -> AsyncGenerator[Node]:
    """A mobile node called `phone` that knows an edge and a cloud node."""
    presence = Presence()
    for name, tier in (("phone", Tier.MOBILE), ("edge", Tier.EDGE), ("cloud", Tier.CLOUD)):
        presence.apply(
            Birth(node=name, tier=tier, state="ready", incarnation=1, models=(text_bundle.digest,))
        )
    async with compute_thread(Conditions()) as compute:
        yield Node(
            config=CONFIG,
            bundle=text_bundle,
            profile=text_profile,
            session=bus,  # type: ignore[arg-type]
            sender=bus,  # type: ignore[arg-type]
            receiver=bus,  # type: ignore[arg-type]
            presence=presence,
            compute=compute,
            meter=Meter(),
            coder=make_coder(text_bundle.codings, text_profile.codecs),
        )


def at(node: Node, name: str, tier: Tier) -> Node:
    """The same node in another place."""
    config = replace(node.config, name=name, tier=tier)
    return replace(node, config=config, meter=Meter(), plan=None)


def sample(text: str = "a gorgeous, witty film", **fields: object) -> Work:
    """A raw input as a client would send it."""
    base = {
        "id": next(_ids).to_bytes(16),
        "origin": "client",
        "sender": "client",
        "sender_incarnation": 1,
        "sequence": 1,
        "model": "",
        "layer": 0,
        "codec": RAW_INPUT,
        "deadline": 10.0,
        "payload": text.encode(),
    }
    return Work.model_validate(base | fields)
