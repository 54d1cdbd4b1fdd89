"""The records that cross the wire, as frozen validated models.

Sizes are bytes (int), durations seconds (float). A record names no wall-clock time: durations travel,
timestamps of another machine do not. `tierline_broker.wire` turns records into bytes and back.
"""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

WIRE_VERSION = 1

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Seconds = Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)]
Bytes = Annotated[int, Field(ge=0, le=2**40)]
Layer = Annotated[int, Field(ge=0, le=4096)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Change = Annotated[float, Field(ge=-1, le=1, allow_inf_nan=False)]
Total = Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, le=1e15, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
RequestId = Annotated[bytes, Field(min_length=16, max_length=16)]
Text = Annotated[str, Field(max_length=1000)]
Error = Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]

RAW_INPUT = "input"
"""The `codec` of a work message whose payload is the raw input (layer 0), not an activation."""
PROBE = "probe"
"""The `codec` of a work message that only measures the link: the receiver grants credit and drops it."""


class Tier(StrEnum):
    """Where a node stands; also its order, from the device outwards."""

    MOBILE = "mobile"
    EDGE = "edge"
    CLOUD = "cloud"

    @property
    def rank(self) -> int:
        """0 for mobile, 1 for edge, 2 for cloud."""
        return list(Tier).index(self)


class Pool(StrEnum):
    """How hard a sample looks at an exit: a band of its calibrated confidence."""

    EASY = "easy"
    MEDIUM = "medium"
    HARD = "hard"


class Record(BaseModel):
    """Base of all records: frozen, unknown fields ignored so that newer senders are understood."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Birth(Record):
    """A node is here (retained); the same record with state `lost` is its last will."""

    node: Name
    tier: Tier | None = None  # None: a scheduler or a client
    role: Literal["node", "scheduler"] = "node"
    state: Literal["ready", "draining", "lost"]
    incarnation: Count
    window: Annotated[int, Field(ge=0, le=1000)] = 16  # work each sender may send before any grant
    models: tuple[str, ...] = Field(default=(), max_length=64)
    version: Text = ""


class LinkReport(Record):
    """A sender's estimate of its link to one peer, from real traffic."""

    peer: Name
    bytes_per_second: Positive
    rtt: Seconds
    age: Seconds  # since the last observation
    observations: Count
    stalled: bool = False  # the rate is only the most that it can be: what is under way has not arrived yet


class CodecUse(Record):
    """What a node did with one codec; counts are absolute since its incarnation."""

    sent: Count = 0  # activations coded to be sent on
    sent_bytes: Count = 0  # their frames
    array_bytes: Count = 0  # they themselves
    encode_seconds: Annotated[float, Field(ge=0, le=1e12)] = 0.0
    received: Count = 0  # activations that arrived
    decode_seconds: Annotated[float, Field(ge=0, le=1e12)] = 0.0


class ExitReport(Record):
    """How samples looked at one exit; counts and sums are absolute since the node's incarnation."""

    layer: Layer
    pools: dict[Pool, Count] = Field(default_factory=dict)  # samples that no exit had seen before
    confidence: Total = 0.0  # sum over these
    answered: Count = 0  # samples answered here
    checked: Count = 0  # samples that this exit let go on, by here or by another node, and a later exit saw
    agreed: Count = 0  # of these, with the same answer
    claimed: Total = 0.0  # sum of the confidences that this exit had in them
    granted: Total = 0.0  # sum of what the later exit gave to the same answers


class Telemetry(Record):
    """What a node sees right now; counts are absolute since its incarnation, so a lost report heals."""

    node: Name
    tier: Tier
    incarnation: Count
    queue: Count
    speed: Positive  # measured seconds per block divided by the profile's; 2.0 is twice as slow
    busy: Share  # of the last interval
    arrival_rate: Annotated[float, Field(ge=0, le=1e9)]  # requests per second over the last interval
    links: tuple[LinkReport, ...] = Field(default=(), max_length=1024)
    early: bool = False  # sent between two reports for its links: of busy and arrival_rate it says nothing
    served: Count = 0
    answered: Count = 0
    work_seconds: Annotated[float, Field(ge=0, le=1e12)] = 0.0
    sent_bytes: Count = 0
    memory_free_bytes: Bytes | None = None
    battery: Share | None = None
    plan: Count = 0  # version that is followed
    pools: dict[Pool, Count] = Field(default_factory=dict)
    drops: dict[str, Count] = Field(default_factory=dict, max_length=256)  # by reason
    codecs: dict[str, CodecUse] = Field(default_factory=dict, max_length=32)
    notes: dict[str, Count] = Field(default_factory=dict, max_length=256)  # frames not coded as planned
    exits: tuple[ExitReport, ...] = Field(default=(), max_length=64)


class Stage(Record):
    """One tier's part of a plan: it brings a sample to `layer`, having received it as `codec`."""

    tier: Tier
    node: Name
    layer: Layer  # blocks computed when this stage is done
    codec: Text  # how the sample arrives here: a codec's name, or `input`


class Route(Record):
    """The stages still ahead and the confidence bands that say where a sample stops."""

    stages: tuple[Stage, ...] = Field(max_length=3)
    easy: Share = 1.0  # calibrated confidence from which a sample is easy
    medium: Share = 1.0  # ... from which it is medium; below, hard
    tiers: dict[Pool, Tier] = Field(default_factory=dict)  # where each pool is answered
    # Gains of going on up to which samples leave where easy ones may, and where medium ones may; a node that
    # knows this router goes by them instead of the bands.
    gains: tuple[Change, ...] = Field(default=(), max_length=2)
    router: Text = ""


class Fallback(Record):
    """Another way that a plan allows, for a node that must choose for itself; seconds are of one sample.

    A sample that goes all the way takes `seconds`, the wait for each node in `uses`, and the time of
    `sent_bytes` on the link to the second stage.
    """

    route: Route
    seconds: Seconds
    sent_bytes: Bytes = 0
    cost: Annotated[float, Field(ge=0, le=1e15, allow_inf_nan=False)] = 0.0  # weighted seconds of work
    uses: dict[Name, Seconds] = Field(default_factory=dict, max_length=3)  # of each shared node's time
    wait: Seconds = 0.0  # of `seconds`: until the node itself has a turn for it, as planned


class Plan(Record):
    """What one mobile node shall do (retained, complete, never a delta)."""

    node: Name
    model: Text
    version: Count
    route: Route
    predicted_seconds: Seconds = 0.0  # of a sample that goes all the way
    predicted_mean_seconds: Seconds = 0.0
    predicted_cloud_seconds: Seconds = 0.0  # mean cloud work a sample
    predicted_accuracy: Share = 0.0
    predicted_shares: dict[Tier, Share] = Field(default_factory=dict)
    reason: Text = ""
    deadline: Seconds = 0.0  # that it was made for
    wait: Seconds = 0.0  # of `predicted_seconds`: until the node itself has a turn for it
    fallbacks: tuple[Fallback, ...] = Field(default=(), max_length=16)
    mix: dict[Pool, Share] = Field(default_factory=dict)  # that it was made for; empty: as measured


class Credit(Record):
    """A receiver's grant to one sender: absolute numbers, so a lost grant heals with the next."""

    receiver: Name
    receiver_incarnation: Count
    sender: Name
    sender_incarnation: Count
    granted: Count  # the sender may send work up to this sequence number
    received: Count  # highest sequence number that has arrived
    # Latest arrivals as (sequence, seconds ago): receipts that the sender times its link by.
    arrivals: tuple[tuple[Count, Seconds], ...] = Field(default=(), max_length=64)


class Step(Record):
    """What one node did to a sample."""

    node: Name
    tier: Tier
    first: Layer  # blocks first+1..last were computed here
    last: Layer
    queue: Seconds = 0.0  # for the worker thread, and for the loop to take its result
    decode: Seconds = 0.0
    compute: Seconds = 0.0
    encode: Seconds = 0.0
    other: Seconds = 0.0  # here, but in none of these
    wire: Seconds | None = None  # from the sender's encode to arrival here; only on a shared clock
    received_bytes: Bytes = 0
    codec: Text = RAW_INPUT
    plan: Count = 0
    gain: Change | None = None  # expected of going on from the exit here; None where nobody asked


class Answer(Record):
    """What an exit says of a sample."""

    output: tuple[float, ...] = Field(max_length=100_000)  # logits
    label: Text
    confidence: Share  # calibrated probability of `label`
    layer: Layer


class Part(Record):
    """This payload is part `index` of `count` of one whole of `total` bytes."""

    index: Annotated[int, Field(ge=0, lt=4096)]
    count: Annotated[int, Field(ge=1, le=4096)]
    total: Bytes


class Work(Record):
    """A sample on its way: routing headers and one opaque payload."""

    id: RequestId
    origin: Name  # who gets the result
    sender: Name
    sender_incarnation: Count
    sequence: Count  # per sender and receiver, for flow control
    model: Text  # bundle digest; empty: whatever the receiver runs
    layer: Layer  # blocks already computed; 0 is the raw input
    codec: Text
    plan: Count = 0
    route: Route | None = None  # the receiver's own stage first; None: the receiver's plan decides
    tier: Tier | None = None  # pinned: answer there and nowhere else
    attempt: Annotated[int, Field(ge=1, le=100)] = 1
    deadline: Seconds  # what remains of it
    traceparent: Annotated[str, Field(max_length=128)] = ""
    steps: tuple[Step, ...] = Field(default=(), max_length=16)
    best: Answer | None = None  # the best exit reached so far, for a degraded answer
    pool: Pool | None = None  # how hard it looked to the first exit that saw it
    part: Part | None = None
    sent_clock: float | None = None  # the sender's monotonic clock; only set in bench mode on one host
    payload: bytes = b""


class Failure(Record):
    """Why a request has no answer; `message` says what, where and what to do."""

    code: Text
    message: Text


class Result(Record):
    """The one outcome of a request, sent straight to its origin."""

    id: RequestId
    node: Name
    tier: Tier
    answer: Answer | None = None
    error: Failure | None = None
    pool: Pool | None = None
    degraded: bool = False
    why: Text = ""  # why it was answered where it was
    plan: Count = 0
    steps: tuple[Step, ...] = Field(default=(), max_length=16)
    sent_clock: float | None = None
    gain: Change | None = None  # expected of going on; None where the way ended
    margin: Annotated[float, Field(ge=-2, le=2)] | None = None  # below the gain that was wanted
