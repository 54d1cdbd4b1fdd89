"""Scale a profile that ships with a bundle to the machine at hand, in a moment."""

import time
from dataclasses import dataclass
from statistics import mean, median

from tierline_models.profiles.measure import Clock, one_pass
from tierline_models.profiles.records import DeviceProfile, SizeProfile
from tierline_models.profiles.subject import Subject

BUDGET_SECONDS = 1.0
LONGEST_SECONDS = 2.5  # even if not every block was reached by then


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """A shipped profile as this machine would have measured it."""

    factor: float  # this machine's seconds over the profile's
    block_seconds: tuple[float, ...]  # median, for the size that the profile was scaled at
    exit_seconds: float  # of one exit, mean over the exits
    passes: int  # that it was scaled by
    seconds: float  # that this took


def scale(
    profile: DeviceProfile,
    subject: Subject,
    *,
    budget_seconds: float = BUDGET_SECONDS,
    clock: Clock | None = None,
) -> Scaled:
    """Run the example for about `budget_seconds` and stretch the whole profile by what that shows.

    At least one pass, or as many of its blocks as LONGEST_SECONDS allows; the first pass, which pays for
    pages and kernels, does not count where there is a second.

    Args:
        profile: of this class of devices, or of one whose blocks compare alike.
        subject: the model that it is of; may hold only its first blocks.
        budget_seconds: when to stop.
        clock: of the seconds that are compared; by default the wall's, for others on this machine count too.
    """
    started = time.perf_counter()
    size = _nearest(profile, subject)
    known = size.quantile(0.5)
    passes: list[list[float]] = []
    longest = 0.0
    while not passes or time.perf_counter() + longest < started + budget_seconds:
        begun = time.perf_counter()
        passes.append(
            one_pass(subject, subject.inputs, clock or time.perf_counter, started + LONGEST_SECONDS)[0]
        )
        longest = time.perf_counter() - begun
    counted = passes[1:] or passes
    # Block by block, so that whoever takes the core in some pass spoils one block of it, not the whole.
    seconds = [median(times) for times in zip(*counted, strict=True)]
    factor = sum(seconds) / max(sum(known[: len(seconds)]), 1e-12)
    return Scaled(
        factor=factor,
        block_seconds=tuple(factor * seconds for seconds in known[: len(subject.blocks)]),
        exit_seconds=factor * _exit_seconds(size, len(subject.blocks)),
        passes=len(counted),
        seconds=time.perf_counter() - started,
    )


def _nearest(profile: DeviceProfile, subject: Subject) -> SizeProfile:
    """What was measured at the size of the example, else the first."""
    shapes = [tuple(one.shape) for one in subject.inputs.values()]
    return next((size for size in profile.sizes if list(size.inputs.values()) == shapes), profile.sizes[0])


def _exit_seconds(size: SizeProfile, blocks: int) -> float:
    exits = [median(rows) for layer, rows in size.exit_seconds.items() if layer <= blocks]
    return mean(exits) if exits else 0.0
