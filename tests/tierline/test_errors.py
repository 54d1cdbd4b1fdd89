"""Which errors a user can act on, and which are bugs that must show themselves."""

import pytest

from tierline.errors import FAILED, MISUSED, RunError, UsageError, explain
from tierline_broker import AddressError, ConnectError, PublishError, ServerError
from tierline_codecs import CodecError
from tierline_scheduler import ObjectiveError


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("give a name"), MISUSED),
        (RunError("it broke"), FAILED),
        (ConnectError("mqtt://h:1", "refused"), MISUSED),
        (AddressError("h", "no scheme"), MISUSED),
        (ServerError("port 1 is in use"), MISUSED),
        (PublishError("connection lost"), FAILED),
        (ObjectiveError("deadline is 0"), MISUSED),
        (CodecError("bad-frame", "cut short"), FAILED),
        (ExceptionGroup("tasks", [PublishError("connection lost")]), FAILED),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_of_a_component_becomes_a_sentence_and_a_code(error: Exception, code: int) -> None:
    told = explain(error)

    assert told is not None
    assert told[0] == code
    assert told[1]
    assert "\n" not in told[1]


@pytest.mark.parametrize(
    "bug", [KeyError("x"), ExceptionGroup("tasks", [RunError("it broke"), ZeroDivisionError()])], ids=repr
)
def test_a_bug_is_not_explained_away(bug: Exception) -> None:
    assert explain(bug) is None
