"""The one table of topics: which record lives where, at which QoS, retained or not."""

import re
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tierline_broker.cards import Profile
from tierline_broker.errors import RecordError
from tierline_broker.records import Birth, Credit, Plan, Record, Result, Telemetry, Work
from tierline_broker.steering import Leader, Learnt, Order, Price, Requirement

R = TypeVar("R", bound=Record)

ROOT = "tierline/1"
_WORD = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")


@dataclass(frozen=True, slots=True)
class Topic(Generic[R]):
    """A kind of topic bound to its record type, so that publishing the wrong record is a type error."""

    kind: str
    record: type[R]
    qos: int
    retain: bool
    owner: str | None = None  # the record's field that must name the topic's node

    def of(self, site: str, node: str) -> str:
        """Return the topic of one node, or the filter for all nodes where `node` is `+`."""
        return f"{ROOT}/{site}/{self.kind}/{node}"


NODE = Topic("node", Birth, qos=1, retain=True, owner="node")
PROFILE = Topic("profile", Profile, qos=1, retain=True, owner="node")
TELEMETRY = Topic("telemetry", Telemetry, qos=0, retain=False, owner="node")
PLAN = Topic("plan", Plan, qos=1, retain=True, owner="node")
ORDER = Topic("order", Order, qos=1, retain=True, owner="node")
REQUIREMENT = Topic("requirement", Requirement, qos=1, retain=True, owner="client")
LEADER = Topic("leader", Leader, qos=1, retain=True)
PRICE = Topic("price", Price, qos=1, retain=True, owner="node")
LEARNT = Topic("learnt", Learnt, qos=1, retain=True)
CREDIT = Topic("credit", Credit, qos=0, retain=False, owner="sender")
WORK = Topic("work", Work, qos=1, retain=False)
RESULT = Topic("result", Result, qos=1, retain=False)

TOPICS: tuple[Topic[Any], ...] = (
    NODE,
    PROFILE,
    TELEMETRY,
    PLAN,
    ORDER,
    REQUIREMENT,
    LEADER,
    PRICE,
    LEARNT,
    CREDIT,
    WORK,
    RESULT,
)


def is_name(text: str) -> bool:
    """Say whether `text` may name a node or a site: lower case, digits and hyphens, at most 63."""
    return _WORD.match(text) is not None


def node_of(topic: str) -> str:
    """Return the node a topic belongs to.

    Raises:
        RecordError: the topic is not `tierline/1/<site>/<kind>/<node>`.
    """
    levels = topic.split("/")
    if len(levels) != 5 or not all(is_name(level) for level in levels[2:]):
        raise RecordError("bad-topic", f"topic {topic!r} is not {ROOT}/<site>/<kind>/<node>")
    return levels[4]
