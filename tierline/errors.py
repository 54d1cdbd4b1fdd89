"""What goes wrong for a user, and the exit code that says so.

0: done. 1: failed while running. 2: wrong usage or input, where the sentence printed names the cure.
"""

import sys

FAILED = 1
MISUSED = 2

# By component and class, so that a component nobody loaded (torch comes with some) stays unloaded.
_CODES: tuple[tuple[str, str, int], ...] = (
    ("tierline_broker", "PublishError", FAILED),
    ("tierline_broker", "CreditError", FAILED),
    ("tierline_broker", "BrokerError", MISUSED),
    ("tierline_models", "FetchError", FAILED),
    ("tierline_models", "ModelError", MISUSED),
    ("tierline_cartography", "TrainingError", FAILED),
    ("tierline_cartography", "CartographyError", MISUSED),
    ("tierline_nodes", "NodeError", MISUSED),
    ("tierline_codecs", "CodecError", FAILED),
    ("tierline_scheduler", "SchedulerError", MISUSED),
    ("tierline_replay", "ChildRefusedError", MISUSED),
    ("tierline_replay", "PlotError", MISUSED),
    ("tierline_replay", "TraceError", MISUSED),
    ("tierline_replay", "ReplayError", FAILED),
)


class UsageError(Exception):
    """The user asked for something that cannot be; the text says what and names the cure."""


class RunError(Exception):
    """A command failed while running; the text says what, where and what to do."""


def explain(error: BaseException) -> tuple[int, str] | None:
    """Return the exit code and the sentence for an error that a user can act on; None for a bug of ours."""
    if isinstance(error, BaseExceptionGroup):
        known = [explain(inner) for inner in error.exceptions]
        return known[0] if all(known) else None
    if isinstance(error, UsageError):
        return MISUSED, str(error)
    if isinstance(error, RunError):
        return FAILED, str(error)
    for component, name, code in _CODES:
        kind = getattr(sys.modules.get(component), name, None)
        if kind is not None and isinstance(error, kind):
            return code, str(error)
    return None
