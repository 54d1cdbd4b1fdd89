"""What was learnt outlives the scheduler that learnt it, and nobody puts anything else in its place."""

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from tests.scheduler.test_service import SECONDS, config, fakes
from tierline_broker import LEADER_NAME, LEARNT, REQUIREMENT, Learnt, Requirement, Session, connect, running
from tierline_scheduler import run_scheduler
from tierline_scheduler.faring import SlowPrices
from tierline_scheduler.leadership import Office
from tierline_scheduler.margins import LEAST, MOST, Margins
from tierline_scheduler.memory import MAX_VERSION, Memory, prices_told
from tierline_scheduler.service import _Desk
from tierline_scheduler.slowloop import SlowLoop

NAME = "mobile-0"


def told(version: int, node: str = "other", **margins: float) -> Learnt:
    return Learnt(node=node, version=version, margins=margins)


def kept(
    memory: Memory, name: str = "us", prices: SlowPrices | None = None, **margins: float
) -> Learnt | None:
    found = memory.to_keep(name, Margins(by_class=margins), prices or SlowPrices())
    if found is not None:
        memory.known = found
    return found


def test_what_is_learnt_is_kept_once_and_under_rising_versions() -> None:
    memory = Memory()

    assert kept(memory) is None
    assert kept(memory, unknown=1.91234) == told(1, "us", unknown=1.912)
    assert kept(memory, unknown=1.91239) is None
    assert kept(memory, unknown=2.0) == told(2, "us", unknown=2.0)


def test_prices_of_slow_samples_are_kept_with_the_margins_and_their_noise_is_no_news() -> None:
    memory, found = Memory(), {"1 times slower": 0.0, "16 times slower": 0.123456}

    first = kept(memory, prices=SlowPrices(after=0.30001, by_class=found))
    assert first is not None
    assert (first.slow_after, first.slow_prices) == (0.3, {"1 times slower": 0.0, "16 times slower": 0.123})
    assert kept(memory, prices=SlowPrices(after=0.3, by_class=found | {"16 times slower": 0.12349})) is None
    assert prices_told(first) == SlowPrices(after=0.3, by_class=first.slow_prices)
    gone = kept(memory, prices=SlowPrices())
    assert gone is not None
    assert (gone.version, gone.slow_prices) == (2, {})


def test_whoever_does_not_lead_goes_on_with_the_newest_and_who_leads_with_its_own() -> None:
    memory, ours = Memory(), Margins(by_class={"unknown": 1.0}, open={"unknown": (3, 1)})

    assert memory.hear(told(4, unknown=2.0), ours, leading=False).by_class == {"unknown": 2.0}
    assert memory.hear(told(3, unknown=3.0), ours, leading=False) == ours
    assert memory.hear(told(5, unknown=3.0), ours, leading=True) == ours
    assert kept(memory, unknown=1.0) == told(6, "us", unknown=1.0)


def test_what_nobody_can_have_learnt_is_left_out_or_limited() -> None:
    found = Memory().hear(told(1, unknown=9.0, **{"1e5": 0.0, "1e99": 2.0}), Margins(), leading=False)

    assert found.by_class == {"unknown": MOST, "1e5": LEAST}


@pytest.mark.parametrize(
    "fields",
    [
        {"margins": {"1e5": float("nan")}},
        {"margins": {"1e5": -1.0}},
        {"margins": {"x" * 17: 1.0}},
        {"margins": {f"k{n}": 1.0 for n in range(17)}},
        {"slow_prices": {"1 times slower": float("inf")}},
        {"slow_prices": {f"{n} times slower": 1.0 for n in range(33)}},
        {"slow_after": -1.0},
    ],
)
def test_a_record_beyond_its_limits_is_no_record(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Learnt(node="other", version=1, **fields)


async def test_who_takes_over_goes_on_at_the_prices_told_and_who_leads_or_needs_none_does_not() -> None:
    def desk(alike: float) -> _Desk:
        settings = config("mqtt://nowhere", "here", alike=alike)
        return _Desk(Office(name="us", incarnation=1), settings.objective, SlowLoop(settings))

    record = Learnt(node="other", version=3, slow_after=0.3, slow_prices={"16 times slower": 0.5})
    follows, leads, careless = desk(1.5), desk(1.5), desk(0)
    leads.leading = True
    for one in (follows, leads, careless):
        one.fold(record)

    assert follows.slow.prices == SlowPrices(after=0.3, by_class={"16 times slower": 0.5})
    assert leads.slow.prices == careless.slow.prices == SlowPrices()


async def test_a_version_without_successors_is_refused_and_ours_is_put_back(
    broker_url: str, site: str
) -> None:
    memory, ours = Memory(known=told(2, "us", unknown=2.0)), Margins(by_class={"unknown": 2.0})
    assert memory.hear(told(MAX_VERSION + 1, unknown=0.5), ours, leading=True) == ours
    assert (memory.refused, memory.displaced) == (1, True)

    async with connect(broker_url, name="us", site=site) as session, asyncio.timeout(SECONDS):
        await memory.keep(session, "us", ours, SlowPrices(), again=False)
        assert not memory.displaced
        assert await newest(session, lambda one: True) == told(2, "us", unknown=2.0)


async def newest(session: Session, wanted: Any) -> Learnt:
    async with session.subscribe(LEARNT, LEADER_NAME) as records:
        async for record in records:
            if wanted(record):
                return record
    raise AssertionError("a subscription never ends")


async def test_a_restarted_scheduler_goes_on_from_what_the_last_one_learnt(
    kit: Any, broker_url: str, site: str
) -> None:
    async with asyncio.timeout(SECONDS), fakes(kit, broker_url, site) as nodes:
        session: Session = nodes.session
        before = told(7, "scheduler", **dict.fromkeys(("unknown", "1e4", "1e5", "1e6", "1e7"), 3.0))
        await session.retain(LEARNT, LEADER_NAME, before)
        async with running(run_scheduler(config(broker_url, site)), name="scheduler"):
            await nodes.join_all(kit.text.card)
            plan = await nodes.plan(edge=True)
            for late in (0, 15):  # of as many answers as a margin is looked at for
                wanted = Requirement(client="app", deadline=plan.deadline, outcomes={NAME: (late * 2, late)})
                await session.retain(REQUIREMENT, "app", wanted)
                await asyncio.sleep(0.2)
            after = await newest(session, lambda one: one.version > 7)

    assert after.version == 8
    assert max(after.margins.values()) > 3.0  # not from the usual 1.645 on
    assert sorted(after.margins.values())[:-1] == [3.0] * 4
