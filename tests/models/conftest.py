from collections.abc import Generator

import pytest
import structlog

from tierline_models import Bundle, load_bundle


@pytest.fixture(scope="session")
def text_bundle() -> Bundle:
    """The text workload with its real weights."""
    return load_bundle("text")


@pytest.fixture(autouse=True)
def log_as_before() -> Generator[None]:
    """Commands configure logging for their process; the next test shall not log to their captured stderr."""
    yield
    structlog.reset_defaults()
