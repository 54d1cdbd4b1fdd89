"""What a good plan is: the limits it keeps, the work it saves, and how reluctantly it is changed."""

from dataclasses import dataclass

from tierline_scheduler.errors import ObjectiveError

HORIZON = 10.0
"""Seconds that a gain is expected to last when it is first seen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objective:
    """Minimise what counts, each with its weight, subject to limits; the defaults count cloud work alone.

    Attributes:
        deadline: seconds within which a sample that goes all the way is answered.
        accuracy_drop: how far a plan's accuracy may fall below the unsplit model's.
        max_utilisation: share of its time that a node or link may be busy, other mobile nodes' load included.
        margin: normal deviations of the predicted latency kept free before the deadline: 1.645 allows for
            5 % of samples to be late.
        late_cost: seconds of weighted work that a late sample beyond those is worth.
        cloud_weight: what a second of cloud work costs.
        edge_weight: what a second of edge work costs.
        latency_weight: what a second of mean latency costs.
        slow_after: seconds after which a sample is slow, whatever its device and deadline; 0: none is.
        slow_weight: what a slow sample costs.
        energy_weight: what a joule that the mobile node spends costs.
        miss_cost: what a sample costs whose deadline cannot be kept; where servers are short of room, this
            times the priority decides who goes without.
        compute_watts: what a mobile node draws more while it computes.
        radio_watts: what it draws more while it sends.
        expected_rate: samples a second that every mobile node is planned for even while it sends fewer.
        max_frame_bytes: largest hand-off that a receiver reassembles.
        battery_floor: a mobile node with less charge than this computes nothing if others can.
    """

    deadline: float = 0.5
    accuracy_drop: float = 0.01
    max_utilisation: float = 0.8
    margin: float = 1.645
    late_cost: float = 0.2
    cloud_weight: float = 1.0
    edge_weight: float = 0.0
    latency_weight: float = 0.0
    slow_after: float = 0.0
    slow_weight: float = 0.0
    energy_weight: float = 0.0
    miss_cost: float = 1.0
    compute_watts: float = 3.0
    radio_watts: float = 1.2
    expected_rate: float = 0.0
    max_frame_bytes: int = 64 * 2**20
    battery_floor: float = 0.1

    def __post_init__(self) -> None:
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ObjectiveError(f"objective {name} is {value}; give a number from {low:g} to {high:g}")

    @classmethod
    def balanced(cls, knob: float, *, deadline: float = 0.5, accuracy_drop: float = 0.01) -> "Objective":
        """Return an objective between least cloud work (0) and least wait (1).

        Both have a price: whatever the knob, no plans within the limits that keep as many deadlines have both
        less cloud work and less mean latency than those chosen. The price of a wait rises slowly at first,
        since there a little cloud work buys most of it.

        Args:
            knob: from 0 to 1.
            deadline: seconds.
            accuracy_drop: how far accuracy may fall.

        Raises:
            ObjectiveError: the knob is out of range.
        """
        if not 0 <= knob <= 1:
            raise ObjectiveError(f"objective knob is {knob}; give a number from 0 to 1")
        # In the middle a second of wait weighs a 25th of a second of cloud work: a request's 0.1 s of the one
        # and 0.004 s of the other, a fifth of what it takes there, then weigh alike. A miss weighs as much as
        # 0.1 s of cloud work at the one end, some five requests' whole, and 1.2 s of wait at the other.
        return cls(
            cloud_weight=1 - 0.999 * knob,
            latency_weight=0.08 * knob**2,
            miss_cost=0.1,
            deadline=deadline,
            accuracy_drop=accuracy_drop,
        )


_RANGES = (
    ("deadline", 0.001, 86_400.0),
    ("accuracy_drop", 0.0, 1.0),
    ("max_utilisation", 0.01, 1.0),
    ("margin", 0.0, 10.0),
    ("late_cost", 0.0, 1e6),
    ("cloud_weight", 0.0, 1e9),
    ("edge_weight", 0.0, 1e9),
    ("latency_weight", 0.0, 1e9),
    ("slow_after", 0.0, 86_400.0),
    ("slow_weight", 0.0, 1e9),
    ("energy_weight", 0.0, 1e9),
    ("miss_cost", 0.0, 1e9),
    ("compute_watts", 0.0, 1e6),
    ("radio_watts", 0.0, 1e6),
    ("expected_rate", 0.0, 1e9),
    ("max_frame_bytes", 1, 2**40),
    ("battery_floor", 0.0, 1.0),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reluctance:
    """When a plan is kept although another looks better.

    Attributes:
        horizon: seconds that a gain is expected to last when it is first seen.
        trust: a gain of half the cost that has lasted is expected to last on for this many times as long.
        switch_seconds: what a change costs: as much as if all samples were late for so long.
        gain: least share of the expected cost that is worth a change.
        speed_gain: least share of the mean latency that is worth a change where the cost is the same.
        utilisation_slack: a plan in force may exceed the objective's utilisation by this.
    """

    horizon: float = HORIZON
    trust: float = 20.0
    switch_seconds: float = 0.5
    gain: float = 0.1
    speed_gain: float = 0.25
    utilisation_slack: float = 0.1
