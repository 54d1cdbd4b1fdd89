"""The load driver, with a stand-in for the deployment whose faults a test can choose."""

import asyncio
from typing import Any

import pytest

from tierline_broker import Answer, Failure, Result, Tally, Tier
from tierline_replay import Live, Request, Sample, drive


class Deployment:
    """Answers what it is told to, when it is told to."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked: list[tuple[bytes, float, Tier | None, str | None]] = []
        self.now = self.most = 0
        self.silent: set[bytes] = set()

    async def infer(
        self, data: bytes, *, deadline: float, tier: Tier | None = None, node: str | None = None
    ) -> Result:
        self.asked.append((data, deadline, tier, node))
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.gate.wait()
            if data in self.silent:
                await asyncio.Event().wait()
        finally:
            self.now -= 1
        if data == b"bad":
            return Result(
                id=bytes(16), node="mobile", tier=Tier.MOBILE, error=Failure(code="bad-input", message="no")
            )
        answer = Answer(output=(1.0,), label="good", confidence=0.9, layer=2)
        return Result(id=bytes(16), node="mobile", tier=Tier.MOBILE, answer=answer)


@pytest.fixture
async def deployed() -> Deployment:
    return Deployment()


def requests(*inputs: bytes, gap: float = 0.0) -> list[Request]:
    """One request for each input."""
    return [
        Request(index=index, due=index * gap, sample=Sample(data=data, label="good"))
        for index, data in enumerate(inputs)
    ]


async def driven(deployed: Deployment, wanted: list[Request], **options: Any) -> Live:
    """Drive these requests to their end."""
    live = Live()
    async with asyncio.timeout(20):
        await drive(
            deployed,  # type: ignore[arg-type]
            wanted,
            live,
            entry="mobile",
            **{"patience": 2.0} | options,
        )
    return live


async def test_every_request_has_one_outcome_answers_and_errors_alike(deployed: Deployment) -> None:
    deployed.gate.set()

    live = await driven(deployed, requests(b"a", b"bad", b"c"))

    assert [one.answered for one in sorted(live.outcomes, key=lambda one: one.request.index)] == [
        True,
        False,
        True,
    ]
    assert all(one.result is not None for one in live.outcomes)


async def test_requests_enter_where_told_and_all_cloud_is_pinned(deployed: Deployment) -> None:
    deployed.gate.set()
    plain, pinned = requests(b"a", b"b")
    pinned = Request(index=1, due=0.0, sample=pinned.sample, all_cloud=True)

    await driven(deployed, [plain, pinned])

    assert deployed.asked == [(b"a", 2.0, None, "mobile"), (b"b", 2.0, Tier.CLOUD, "mobile")]


async def test_no_more_are_in_flight_than_allowed_and_the_wait_counts_as_latency(
    deployed: Deployment,
) -> None:
    asyncio.get_running_loop().call_later(0.2, deployed.gate.set)

    live = await driven(deployed, requests(*[bytes([number]) for number in range(10)]), in_flight=3)

    assert deployed.most == 3
    assert len(live.outcomes) == 10
    assert all(one.seconds >= 0.2 for one in live.outcomes)
    assert max(one.sent for one in live.outcomes) >= 0.2


async def test_requests_go_out_at_their_times(deployed: Deployment) -> None:
    deployed.gate.set()

    live = await driven(deployed, requests(b"a", b"b", b"c", gap=0.05))

    assert all(one.sent >= one.request.due for one in live.outcomes)
    assert live.outcomes[-1].sent >= 0.1


async def test_a_request_without_any_outcome_is_noted_as_lost(
    deployed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tierline_replay.driver._GRACE_SECONDS", 0.05)
    deployed.gate.set()
    deployed.silent.add(b"b")

    live = await driven(deployed, requests(b"a", b"b"), patience=0.05)

    lost = [one for one in live.outcomes if one.result is None]
    assert [one.request.sample.data for one in lost] == [b"b"]


async def test_what_is_late_fails_or_is_lost_counts_as_late_and_all_cloud_counts_for_nothing(
    deployed: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tierline_replay.driver._GRACE_SECONDS", 0.05)
    deployed.gate.set()
    deployed.silent.add(b"lost")
    wanted = requests(b"a", b"b", b"bad", b"lost")
    wanted.append(Request(index=4, due=0.0, sample=wanted[0].sample, all_cloud=True))
    patient, hasty = Tally(1.0), Tally(0.0)

    await driven(deployed, wanted, patience=0.05, tally=patient)
    await driven(deployed, wanted, patience=0.05, tally=hasty)

    assert patient.outcomes == {"mobile": (4, 2)}
    assert hasty.outcomes == {"mobile": (4, 4)}
