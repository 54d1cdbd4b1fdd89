"""A plan table from one measured profile, for fleets that are made up around it."""

from collections.abc import Collection
from dataclasses import replace
from itertools import combinations

from tierline_broker import Profile, Tier
from tierline_scheduler.coding import hop_coding
from tierline_scheduler.fleet.features import PlanTable, compile_plans
from tierline_scheduler.model import read_card
from tierline_scheduler.objective import Objective
from tierline_scheduler.options import accuracy_floor
from tierline_scheduler.servers import Hop, Load
from tierline_scheduler.state import NodeState
from tierline_scheduler.table import tables
from tierline_scheduler.view import DEFAULT_RATE, Traffic, device

_NO_HOP = Hop(rate=1.0, rate_sd=0.0, doubt=0.0, rtt=0.0, rtt_sd=0.0, others=Load())


def plan_table(
    profile: Profile, objective: Objective, *, rate: float = DEFAULT_RATE, without: Collection[Tier] = ()
) -> PlanTable:
    """Return the plans of a profile's model at the objective's accuracy, its node standing for every tier.

    Args:
        profile: measured on one node; slowness 1 means as fast as that.
        objective: the accuracy floor and the largest hand-off.
        rate: bytes a second of the links that codecs are chosen for.
        without: tiers that no plan may use.
    """
    model = read_card(profile.model)
    node = NodeState(name=profile.node, profile=profile, model=model)
    links = {}
    for a, b in combinations(Tier, 2):
        coding = hop_coding(model, node, node, rate, objective.max_frame_bytes)
        links[a, b] = replace(_NO_HOP, coding=coding)
    found = tables(model, accuracy_floor(model, objective))
    used = {chain: table for chain, table in found.items() if not set(chain) & set(without)}
    same = device(node, Traffic())
    return compile_plans(used, dict.fromkeys(Tier, same), links, objective.max_frame_bytes)
