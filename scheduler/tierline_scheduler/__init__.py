"""Telemetry folded into a state, a pure planner over it, and the program that publishes its plans."""

from tierline_scheduler import fleet
from tierline_scheduler.advice import advice, is_split
from tierline_scheduler.config import SchedulerConfig
from tierline_scheduler.errors import ObjectiveError, RefusedError, SchedulerError
from tierline_scheduler.estimate import Estimate
from tierline_scheduler.explain import Alternative, explain
from tierline_scheduler.faring import SlowPrices, slow_prices
from tierline_scheduler.fleet import Guide, guide
from tierline_scheduler.followed import followed
from tierline_scheduler.hysteresis import Standing, Verdict, keep_or_switch
from tierline_scheduler.job import Job
from tierline_scheduler.objective import Objective, Reluctance
from tierline_scheduler.rounds import Round, run_round
from tierline_scheduler.service import route_text, run_scheduler
from tierline_scheduler.sharing import plan
from tierline_scheduler.state import ClusterState, LinkState, NodeState, apply, expire

__all__ = [
    "Alternative",
    "ClusterState",
    "Estimate",
    "Guide",
    "Job",
    "LinkState",
    "NodeState",
    "Objective",
    "ObjectiveError",
    "RefusedError",
    "Reluctance",
    "Round",
    "SchedulerConfig",
    "SchedulerError",
    "SlowPrices",
    "Standing",
    "Verdict",
    "advice",
    "apply",
    "expire",
    "explain",
    "fleet",
    "followed",
    "guide",
    "is_split",
    "keep_or_switch",
    "plan",
    "route_text",
    "run_round",
    "run_scheduler",
    "slow_prices",
]
