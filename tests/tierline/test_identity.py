"""Names: kept across restarts, never shared by two programs that run."""

import re
from pathlib import Path

import pytest

from tierline.identity import own_name


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TIERLINE_STATE", str(tmp_path))
    return tmp_path


def test_a_name_is_host_tier_and_four_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "Anna's_Pi.local")

    with own_name(None, "edge", "default") as name:
        assert re.fullmatch(r"anna-s-pi-edge-[0-9a-f]{4}", name)


def test_a_host_whose_name_says_nothing_still_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "日本")

    with own_name(None, "edge", "default") as name:
        assert name.startswith("host-edge-")


def test_a_long_host_name_leaves_room_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "x" * 200)

    with own_name(None, "scheduler", "default") as name:
        assert len(name) <= 63


def test_a_name_is_kept_across_restarts() -> None:
    with own_name(None, "edge", "default") as first:
        pass
    with own_name(None, "edge", "default") as again:
        assert again == first


def test_two_that_run_at_once_have_two_names_each_kept() -> None:
    with own_name(None, "edge", "default") as one, own_name(None, "edge", "default") as other:
        assert one != other
    with own_name(None, "edge", "default") as first, own_name(None, "edge", "default") as second:
        assert (first, second) == (one, other)


def test_sites_and_tiers_have_names_of_their_own() -> None:
    with own_name(None, "edge", "default") as one:
        pass
    with own_name(None, "edge", "other") as other, own_name(None, "cloud", "default") as cloud:
        assert len({one, other, cloud}) == 3


def test_a_spoilt_file_gets_a_fresh_name(state: Path) -> None:
    with own_name(None, "edge", "default"):
        pass
    (state / "names" / "default" / "edge.1").write_bytes(b"\xff/+#" * 20)

    with own_name(None, "edge", "default") as fresh:
        assert re.search(r"-edge-[0-9a-f]{4}$", fresh)
    with own_name(None, "edge", "default") as again:
        assert again == fresh


def test_where_nothing_can_be_kept_there_is_still_a_name(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (state / "file").touch()
    monkeypatch.setenv("TIERLINE_STATE", str(state / "file"))

    with own_name(None, "edge", "default") as name:
        assert "-edge-" in name


def test_the_name_asked_for_is_taken_as_it_is() -> None:
    with own_name("pi-1", "edge", "default") as name:
        assert name == "pi-1"
