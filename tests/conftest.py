"""Real brokers for every test: two that live as long as the session, and as many as a test wants to kill."""

import asyncio
import itertools
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from concurrent.futures import Future
from contextlib import AsyncExitStack, contextmanager
from typing import Any

import hypothesis
import pytest

from tierline_broker.embedded import embedded_installed
from tierline_broker.process import Broker
from tierline_broker.server import serve

# The same examples everywhere, and no judgement on a slow machine.
hypothesis.settings.register_profile("tierline", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tierline")

StartBroker = Callable[..., Awaitable[Broker]]

_sites = itertools.count(1)

MEASURED = frozenset({"broker", "cartography", "codecs", "scheduler"})  # coverage is held


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Trace the tests of the components whose coverage is held and no others: tracing doubles their time."""
    for item in items:
        if MEASURED.isdisjoint(item.path.relative_to(config.rootpath).parts[:2]):
            item.add_marker("no_cover")


@contextmanager
def served(**options: Any) -> Generator[Broker]:
    """Run a broker on an event loop of its own, so that tests with and without a loop can share it."""
    started: Future[tuple[Broker, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def run() -> None:
        try:
            async with serve(**options) as broker:
                end = asyncio.Event()
                started.set_result((broker, asyncio.get_running_loop(), end))
                await end.wait()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=lambda: asyncio.run(run()), name="test-broker")
    thread.start()
    try:
        broker, loop, end = started.result(timeout=30)
        yield broker
        loop.call_soon_threadsafe(end.set)
    finally:
        thread.join(timeout=30)


@pytest.fixture(scope="session")
def broker_url() -> Generator[str]:
    """A real Mosquitto, shared by the whole session: take a `site` of your own on it."""
    with served(kind="mosquitto") as broker:
        yield broker.url


@pytest.fixture(scope="session")
def embedded_broker_url() -> Generator[str]:
    """The embedded broker, shared by the whole session."""
    if not embedded_installed():
        pytest.skip("the embedded broker is not installed: pip install 'tierline[embedded]'")
    with served(kind="embedded") as broker:
        yield broker.url


@pytest.fixture
def site() -> str:
    """A site that no other test uses, so that retained records of one test never reach another."""
    return f"test-{next(_sites)}"


@pytest.fixture
async def start_broker() -> AsyncGenerator[StartBroker]:
    """Start brokers for this test alone, to be killed at will: `await start_broker(kind="mosquitto")`."""
    async with AsyncExitStack() as stack:

        async def start(**options: Any) -> Broker:
            return await stack.enter_async_context(serve(**options))

        yield start
