"""The planner for whole fleets: the price of every shared edge, and what the plans lose at most."""

from tierline_scheduler.fleet.alike import Alike, class_p95, settle_alike
from tierline_scheduler.fleet.calibrate import calibrated
from tierline_scheduler.fleet.devices import LEVELS, Fleet, Servers, Sites, device_features, make_fleet
from tierline_scheduler.fleet.features import Feature, PlanTable, compile_plans
from tierline_scheduler.fleet.guide import Guide, guide
from tierline_scheduler.fleet.predict import Waits
from tierline_scheduler.fleet.reattach import Attached, Reach, reattach
from tierline_scheduler.fleet.reference import plan_table
from tierline_scheduler.fleet.round import Decision, matrix, open_round, waits_at
from tierline_scheduler.fleet.solve import improve, settle, solve
from tierline_scheduler.fleet.toll import BEST_EFFORT, SHED, Outlook, Toll, misses, outlook, toll

__all__ = [
    "BEST_EFFORT",
    "LEVELS",
    "SHED",
    "Alike",
    "Attached",
    "Decision",
    "Feature",
    "Fleet",
    "Guide",
    "Outlook",
    "PlanTable",
    "Reach",
    "Servers",
    "Sites",
    "Toll",
    "Waits",
    "calibrated",
    "class_p95",
    "compile_plans",
    "device_features",
    "guide",
    "improve",
    "make_fleet",
    "matrix",
    "misses",
    "open_round",
    "outlook",
    "plan_table",
    "reattach",
    "settle",
    "settle_alike",
    "solve",
    "toll",
    "waits_at",
]
