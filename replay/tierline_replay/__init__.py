"""Replay traces through a whole deployment on one machine: shaped links, load, supervision, reports."""

from tierline_replay.arrivals import parse_arrivals, poisson, read_arrivals
from tierline_replay.children import Child, Supervisor, supervise
from tierline_replay.deployment import Deployment, deployment, start_scheduler
from tierline_replay.driver import drive
from tierline_replay.errors import (
    ChildError,
    ChildRefusedError,
    PlotError,
    ReplayError,
    StartError,
    TraceError,
)
from tierline_replay.live import Live, PlanSeen
from tierline_replay.network import LinkTrace, parse_mahimahi, read_link_trace
from tierline_replay.outcome import Outcome, Request, Sample, schedule, uplink_bytes
from tierline_replay.plot import check_plot, draw
from tierline_replay.report import outcome_lines
from tierline_replay.run import Finished, Scenario, run
from tierline_replay.samples import read_samples
from tierline_replay.summary import Summary, document, latency, split_by_kind, summarise, tier_share
from tierline_replay.watch import route_in_words
from tierline_replay.words import verdict
from tierline_replay.world import GOOD, Change, World

__all__ = [
    "GOOD",
    "Change",
    "Child",
    "ChildError",
    "ChildRefusedError",
    "Deployment",
    "Finished",
    "LinkTrace",
    "Live",
    "Outcome",
    "PlanSeen",
    "PlotError",
    "ReplayError",
    "Request",
    "Sample",
    "Scenario",
    "StartError",
    "Summary",
    "Supervisor",
    "TraceError",
    "World",
    "check_plot",
    "deployment",
    "document",
    "draw",
    "drive",
    "latency",
    "outcome_lines",
    "parse_arrivals",
    "parse_mahimahi",
    "poisson",
    "read_arrivals",
    "read_link_trace",
    "read_samples",
    "route_in_words",
    "run",
    "schedule",
    "split_by_kind",
    "start_scheduler",
    "summarise",
    "supervise",
    "tier_share",
    "uplink_bytes",
    "verdict",
]
