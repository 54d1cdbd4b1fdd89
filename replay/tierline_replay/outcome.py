"""One request of a run and how it ended: plain values and questions about them."""

from dataclasses import dataclass

from tierline_broker import Result, Step, Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """A raw input as a client would send it, with its true label where that is known."""

    data: bytes
    label: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One input, to be sent `due` seconds after the start; with `all_cloud` only to be compared with."""

    index: int
    due: float
    sample: Sample
    all_cloud: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one request ended.

    Attributes:
        request: which.
        sent: seconds after the start when it was sent, `due` or later.
        seconds: from when it was due until its outcome.
        result: what came back; None if nothing ever did: lost.
        returned: seconds that the result took back to us, where one clock was shared.
    """

    request: Request
    sent: float
    seconds: float
    result: Result | None
    returned: float | None = None

    @property
    def answered(self) -> bool:
        """Whether an answer came, degraded or not."""
        return self.result is not None and self.result.answer is not None

    @property
    def right(self) -> bool | None:
        """Whether the answer is right; None without an answer or a true label."""
        label = self.request.sample.label
        if label is None or self.result is None or self.result.answer is None:
            return None
        return self.result.answer.label == label

    @property
    def steps(self) -> tuple[Step, ...]:
        """What the nodes on the way did."""
        return () if self.result is None else self.result.steps


def busy_seconds(outcome: Outcome, tier: Tier) -> float:
    """Return the seconds a tier's device computed on a request, its emulated slowness included."""
    return sum(step.compute for step in outcome.steps if step.tier is tier)


def uplink_bytes(outcome: Outcome) -> int:
    """Return the payload bytes that left the mobile node: what the first node beyond it received."""
    return next((step.received_bytes for step in outcome.steps if step.tier is not Tier.MOBILE), 0)


def schedule(samples: list[Sample], times: tuple[float, ...], *, all_cloud: bool) -> list[Request]:
    """Return a request for each time, in order of time, the samples taken in turn.

    With `all_cloud` every input is sent a second time, to be answered in the cloud, half a mean gap after the
    first: both meet the same conditions and neither the other's burst.
    """
    requests = [
        Request(index=index, due=due, sample=samples[index % len(samples)]) for index, due in enumerate(times)
    ]
    if all_cloud:
        half = (times[-1] - times[0]) / max(1, len(times) - 1) / 2
        requests += [
            Request(index=one.index, due=one.due + half, sample=one.sample, all_cloud=True)
            for one in requests
        ]
    return sorted(requests, key=lambda one: (one.due, one.index))
