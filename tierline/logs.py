"""Logging, set up here and nowhere else: structured events on stderr, so that stdout stays the answer."""

import logging
import sys
from typing import Literal

import structlog


def be_quiet() -> None:
    """Tell only warnings, on stderr, inside a program that has not said how it wants its events.

    Unconfigured, structlog prints everything on stdout, which belongs to the program that uses us.
    """
    if not structlog.is_configured():
        structlog.configure(
            wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
            logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        )


def set_up(level: str, style: Literal["text", "json"]) -> None:
    """Send every event of at least `level` to stderr, as text for people or JSON lines for machines."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.types.Processor] = [
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if style == "json":
        shared += [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    else:
        shared.append(
            structlog.dev.ConsoleRenderer(
                colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
            )
        )
    structlog.configure(
        processors=shared,
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    # Libraries that use the standard module: their warnings concern us, their chatter does not.
    logging.basicConfig(stream=sys.stderr, level=max(number, logging.WARNING), force=True)
