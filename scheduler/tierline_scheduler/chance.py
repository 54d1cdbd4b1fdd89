"""How likely a sample is late: the latency as a distribution, not a point.

A link's rate scatters in its logarithm, so that the time on the first hop has a long tail; everything else
is taken together as one spread. Their sum is matched, by mean and variance, to a lognormal that begins three
spreads below the rest (Fenton, "The sum of log-normal probability distributions", 1960). With nothing but
the link uncertain that is exact: P(late) = Phi((ln rate needed - mean of ln rate) / sd).
"""

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from tierline_scheduler.table import Floats

BEGINS = 3.0
"""Spreads below the mean of everything but the first hop at which the distribution begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tail:
    """The latency of N candidates: `begin` plus a lognormal; columns are (N,).

    Attributes:
        begin: seconds below which none is answered.
        log_mean: of the seconds beyond that, in the logarithm.
        log_sd: of the same.
    """

    begin: Floats
    log_mean: Floats
    log_sd: Floats

    def at(self, rows: slice) -> "Tail":
        """Return some of the candidates."""
        return Tail(begin=self.begin[rows], log_mean=self.log_mean[rows], log_sd=self.log_sd[rows])

    def late(self, deadline: float) -> Floats:
        """Return the probability (N,) that a sample that goes all the way takes longer than `deadline` s."""
        beyond = np.maximum(deadline - self.begin, 1e-12)
        return normal((self.log_mean - np.log(beyond)) / self.log_sd)

    def quantile(self, deviations: float) -> Floats:
        """Return the seconds (N,) that all but the share beyond so many normal deviations keep."""
        found: Floats = self.begin + np.exp(self.log_mean + deviations * self.log_sd)
        return found


def tail(seconds: Floats, sd: Floats, crossing: Floats, rate_sd: float) -> Tail:
    """Return the distribution of latencies.

    Args:
        seconds: (N,) mean, the first hop at the median of its rate.
        sd: (N,) of `seconds`, the first hop's share `crossing * rate_sd` included.
        crossing: (N,) seconds on the first hop at the median of its rate.
        rate_sd: standard deviation of the logarithm of that rate.
    """
    rest = np.sqrt(np.maximum(sd**2 - (crossing * rate_sd) ** 2, 0.0)) + 1e-9
    begin = seconds - crossing - BEGINS * rest
    mean = crossing * np.exp(rate_sd**2 / 2) + BEGINS * rest
    variance = (crossing * np.exp(rate_sd**2 / 2)) ** 2 * np.expm1(rate_sd**2) + rest**2
    squared = np.log1p(variance / mean**2)
    return Tail(begin=begin, log_mean=np.log(mean) - squared / 2, log_sd=np.sqrt(squared))


def slow_share(after: Floats | float, full: Floats, variance: Floats, mean: Floats, deep: Floats) -> Floats:
    """Return the share of samples that take longer than `after`; arguments broadcast.

    Args:
        after: seconds.
        full: mean seconds of samples that go all the way ...
        variance: ... and their variance.
        mean: seconds of all samples on average.
        deep: share that goes all the way.
    """
    width = np.sqrt(np.log1p(variance / np.maximum(full, 1e-12) ** 2)) + 1e-9
    rest = np.maximum(mean - deep * full, 0.0) / np.maximum(1 - deep, 1e-9)
    logs = (np.log(np.maximum(one / np.maximum(after, 1e-12), 1e-12)) for one in (full, rest))
    late, soon = (normal(one / width - width / 2) for one in logs)
    return deep * late + (1 - deep) * soon


def allowed_late(margin: float) -> float:
    """Return the share of samples that a plan with so many deviations of margin lets be late."""
    return NormalDist().cdf(-margin)


def normal(z: Floats) -> Floats:
    """Return the normal distribution function, to 1e-7 (Abramowitz and Stegun, 26.2.17)."""
    x = np.abs(z)
    t = 1 / (1 + 0.2316419 * x)
    series = t * (0.319381530 + t * (-0.356563782 + t * (1.781477937 + t * (-1.821255978 + t * 1.330274429))))
    upper = np.exp(-x * x / 2) / np.sqrt(2 * np.pi) * series
    found: Floats = np.where(z >= 0, 1 - upper, upper)
    return found
