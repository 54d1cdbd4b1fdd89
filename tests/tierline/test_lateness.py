"""What a client with a deadline tells the scheduler of its answers, with a stand-in for the connection."""

from typing import Any

import pytest

from tierline import InferenceError
from tierline.client import Client
from tierline_broker import Answer, Failure, Requirement, Result, Step, Tier

STEP = Step(node="phone-1", tier=Tier.MOBILE, first=0, last=2)
GOOD = Result(
    id=bytes(16), node="edge-1", tier=Tier.EDGE, steps=(STEP,),
    answer=Answer(output=(1.0,), label="good", confidence=0.9, layer=2),
)  # fmt: skip
FAILED = GOOD.model_copy(update={"answer": None, "error": Failure(code="overloaded", message="no")})
NOWHERE = FAILED.model_copy(update={"steps": ()})


class Connection:
    """Answers with what it is given, and keeps what the scheduler is told."""

    name = "app"

    def __init__(self) -> None:
        self.told: list[Requirement] = []
        self.results: list[Result] = []

    @property
    def session(self) -> Any:
        return self

    async def infer(self, data: bytes, **options: Any) -> Result:
        return self.results.pop(0)

    async def retain(self, topic: Any, name: str, record: Requirement, *, again: bool = True) -> None:
        self.told.append(record)


@pytest.mark.parametrize(
    ("result", "node", "outcomes"),
    [
        (GOOD, None, {"phone-1": (1, 0)}),
        (FAILED, None, {"phone-1": (1, 1)}),  # at once, and yet no answer in time
        (NOWHERE, "phone-2", {"phone-2": (1, 1)}),
        (NOWHERE, None, {}),  # nobody knows whose plan it would have followed
    ],
)
async def test_a_request_without_an_answer_is_late_at_the_node_where_it_entered(
    result: Result, node: str | None, outcomes: dict[str, tuple[int, int]]
) -> None:
    inner = Connection()
    client = Client(inner)  # type: ignore[arg-type]
    async with client.require(deadline=60.0):
        inner.results = [result, result]
        for tier in ("cloud", None):  # one that is pinned follows no plan
            try:
                await client.infer("x", node=node, tier=tier)
            except InferenceError:
                assert result.answer is None
        counted = [tally.outcomes for tally in client._tallies]

    assert counted == [outcomes]
    assert inner.told[-1].valid == 0
