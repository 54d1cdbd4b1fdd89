"""The records by which people, clients and schedulers steer a deployment; all retained."""

from typing import Annotated

from pydantic import Field

from tierline_broker.records import Count, Name, Record, Seconds, Share

LEADER_NAME = "scheduler"
"""The one name under which the leader stands, whoever it is."""


class Order(Record):
    """What an operator wants of a node; taken back by one that wants nothing.

    `drain`: no plan uses it any more. `pin`: plans in force that use it change only when they cannot be
    carried out. `remove`: as drained, and left out of lists.
    """

    node: Name
    drain: bool = False
    pin: bool = False
    remove: bool = False

    @property
    def leaves(self) -> bool:
        """Whether plans are to do without the node."""
        return self.drain or self.remove


class Requirement(Record):
    """What a client asks of the plans that its samples follow; it lapses unless it is repeated."""

    client: Name
    node: Name | None = None  # where its samples enter; None: at any mobile node
    deadline: Annotated[float, Field(ge=0.001, le=86_400, allow_inf_nan=False)] | None = None
    accuracy: Share | None = None  # floor
    priority: Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)] = 1.0
    valid: Seconds = 30.0  # from its arrival; 0 takes it back
    # By the node where they entered: how many answers the client has had under this deadline, how many late.
    outcomes: dict[Name, tuple[Count, Count]] = Field(default_factory=dict, max_length=64)


class Leader(Record):
    """Which scheduler plans: the greatest of (term, incarnation, name); repeated every round as its beat."""

    node: Name
    incarnation: Count
    term: Count


class Price(Record):
    """What a shared node's time costs now, for nodes that must choose for themselves."""

    node: Name
    wait: Seconds  # mean, until a sample is served
    price: Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)] = 0.0  # seconds of work a busy second
    busy: Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)] = 0.0  # share of its time, as planned


class Learnt(Record):
    """What a scheduler has learnt and another, or itself in its next life, is to go on with (retained)."""

    node: Name  # who learnt it
    version: Count  # greater than that of any earlier one
    # Standard deviations kept free before the deadline, by network class.
    margins: dict[
        Annotated[str, Field(max_length=16)], Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]
    ] = Field(default_factory=dict, max_length=16)
    slow_after: Seconds = 0.0  # after which a sample is slow; 0: there is nothing to pay
    # What a slow sample costs in weighted seconds of work, by class of devices.
    slow_prices: dict[
        Annotated[str, Field(max_length=32)], Annotated[float, Field(ge=0, le=1e6, allow_inf_nan=False)]
    ] = Field(default_factory=dict, max_length=32)
