"""The worker thread and what is counted of it."""

import asyncio
import threading
import time

import pytest

from tierline_nodes.compute import compute_thread
from tierline_nodes.emulation import Conditions
from tierline_nodes.errors import SampleError
from tierline_nodes.meter import Interval, Meter
from tierline_nodes.stopwatch import Spent


def burn(seconds: float) -> str:
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return threading.current_thread().name


async def test_work_runs_in_one_thread_of_its_own_while_the_loop_goes_on() -> None:
    async with compute_thread(Conditions()) as compute, asyncio.TaskGroup() as tasks:
        jobs = [tasks.create_task(compute.run(lambda: burn(0.02))) for _ in range(3)]
        turns = 0
        while not all(job.done() for job in jobs):
            await asyncio.sleep(0)
            turns += 1

    assert turns > 3
    assert {job.result().value for job in jobs} == {"compute_0"}
    assert max(job.result().queue for job in jobs) >= 0.03
    assert compute.busy >= 0.06


async def test_a_slower_device_is_busy_that_many_times_longer() -> None:
    async with compute_thread(Conditions(slowdown=4.0)) as compute:
        ran = await compute.run(lambda: burn(0.02))
        as_slow = compute.busy
        await compute.run(lambda: burn(0.02), emulate=False)

    assert ran.slowdown == 4.0
    assert as_slow >= 0.08
    assert compute.busy - as_slow < as_slow


async def test_a_full_queue_refuses_and_recovers() -> None:
    gate = threading.Event()
    async with compute_thread(Conditions(), limit=2) as compute, asyncio.TaskGroup() as tasks:
        for _ in range(2):
            tasks.create_task(compute.run(gate.wait))
        await asyncio.sleep(0)
        with pytest.raises(SampleError, match="2 samples are waiting") as caught:
            await compute.run(gate.wait)
        gate.set()

    assert caught.value.code == "overloaded"
    assert compute.depth == 0


async def test_an_error_in_the_thread_reaches_the_caller_and_frees_the_place() -> None:
    async with compute_thread(Conditions()) as compute:
        with pytest.raises(ZeroDivisionError):
            await compute.run(lambda: 1 / 0)

        assert compute.depth == 0


def test_only_the_threads_own_work_is_stretched() -> None:
    assert Spent(wall=0.5, cpu=0.1).slowed(10) == pytest.approx(1.4)
    assert Spent(wall=0.5, cpu=0.1).slowed(1) == 0.5


def test_speed_follows_a_device_that_becomes_slower_in_time_whatever_the_rate() -> None:
    busy, idle = Meter(last_work=10.0), Meter(last_work=10.0)
    for sample in range(1, 41):
        busy.observe_speed(0.04, 0.01, now=10.0 + 0.1 * sample)
    for check in (1, 2):
        idle.observe_speed(0.04, 0.01, now=10.0 + 2 * check)

    assert busy.speed == pytest.approx(idle.speed)
    assert idle.speed == pytest.approx(4.0, rel=0.03)
    assert idle.last_work == 14.0


def test_speed_ignores_what_says_nothing() -> None:
    meter = Meter()
    meter.observe_speed(0.0, 0.01, now=1.0)
    meter.observe_speed(0.01, 0.0, now=1.0)

    assert (meter.speed, meter.last_work) == (1.0, 0.0)


def test_rates_are_those_since_the_last_report() -> None:
    interval = Interval(at=10.0)

    assert interval.rates(12.0, arrived=8, busy=0.5) == (4.0, 0.25)
    assert interval.rates(13.0, arrived=8, busy=2.5) == (0.0, 1.0)
