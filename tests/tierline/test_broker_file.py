"""Where the broker's URL comes from, when a file holds it."""

from pathlib import Path

import pytest

from tierline.errors import UsageError
from tierline.settings import DEFAULT_BROKER, broker_url


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIERLINE_BROKER", raising=False)
    monkeypatch.delenv("TIERLINE_BROKER_FILE", raising=False)


def test_a_file_stands_in_where_nothing_else_names_the_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "url").write_text("mqtt://tierline:secret@hub:1883\n")
    monkeypatch.setenv("TIERLINE_BROKER_FILE", str(tmp_path / "url"))

    assert broker_url() == "mqtt://tierline:secret@hub:1883"
    monkeypatch.setenv("TIERLINE_BROKER", "mqtt://other")
    assert broker_url() == "mqtt://other"
    assert broker_url("mqtt://asked") == "mqtt://asked"


def test_without_any_of_them_it_is_the_default() -> None:
    assert broker_url() == DEFAULT_BROKER


@pytest.mark.parametrize("content", [None, b"", b" \n", b"\xff\xfe"])
def test_a_file_that_holds_no_url_is_named(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "url"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("TIERLINE_BROKER_FILE", str(path))

    with pytest.raises(UsageError, match=str(path)):
        broker_url()
