"""Outcomes as values, without a run."""

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tierline_broker import Answer, Failure, Result, Step, Tier
from tierline_replay.outcome import Outcome, Request, Sample

MakeStep = Callable[..., Step]
MakeOutcome = Callable[..., Outcome]

_ids = itertools.count(1)


@pytest.fixture
def step() -> MakeStep:
    """Make what a node of a tier did."""

    def make(tier: Tier, first: int, last: int, *, compute: float = 0.0, received: int = 0) -> Step:
        return Step(
            node=tier.value, tier=tier, first=first, last=last, compute=compute, received_bytes=received
        )

    return make


@pytest.fixture
def ended() -> MakeOutcome:
    """Make an outcome: answered on `tier` with `answer`, failed with `error`, or lost without either."""

    def make(
        index: int = 0,
        *steps: Step,
        tier: Tier | None = Tier.CLOUD,
        answer: str = "positive",
        label: str | None = "positive",
        error: str | None = None,
        all_cloud: bool = False,
        degraded: bool = False,
        due: float = 0.0,
        seconds: float = 0.1,
    ) -> Outcome:
        request = Request(
            index=index, due=due, sample=Sample(data=b"a film", label=label), all_cloud=all_cloud
        )
        result = None
        if tier is not None:
            result = Result(
                id=next(_ids).to_bytes(16),
                node=tier.value,
                tier=tier,
                answer=None if error else Answer(output=(0.0, 1.0), label=answer, confidence=0.9, layer=6),
                error=Failure(code=error, message="no") if error else None,
                degraded=degraded,
                steps=steps,
            )
        return Outcome(request=request, sent=due, seconds=seconds, result=result)

    return make


@pytest.fixture(scope="session")
def traces() -> Path:
    """The folder of recorded traces, which are not ours to ship."""
    folder = os.environ.get("TIERLINE_TRACES")
    if folder is None:
        pytest.skip("TIERLINE_TRACES names no folder of recorded network and arrival traces")
    return Path(folder)
