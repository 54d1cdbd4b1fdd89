"""The folder from which a broker container and its clients take configuration, password and address."""

import asyncio
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from tierline_broker import ConnectError, ServerError, connect, parse_address
from tierline_broker.first_start import main, prepare
from tierline_broker.process import Broker

StartBroker = Callable[..., Awaitable[Broker]]


def address(folder: Path) -> str:
    return (folder / "broker-url").read_text().strip()


def test_the_first_start_makes_a_password_and_every_later_one_keeps_it(tmp_path: Path) -> None:
    assert prepare(tmp_path, "broker")
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert not prepare(tmp_path, "broker")

    assert made == {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(made) == {"mosquitto.conf", "passwords", "broker-url"}


def test_two_deployments_have_different_passwords(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        prepare(tmp_path / name, "broker")

    assert address(tmp_path / "one") != address(tmp_path / "two")


def test_only_the_owner_can_read_what_was_made(tmp_path: Path) -> None:
    prepare(tmp_path, "broker")

    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


def test_the_configuration_asks_for_the_password(tmp_path: Path) -> None:
    prepare(tmp_path, "broker")
    lines = (tmp_path / "mosquitto.conf").read_text().splitlines()

    assert "allow_anonymous false" in lines
    assert f"password_file {tmp_path / 'passwords'}" in lines


def test_a_start_that_was_cut_short_is_made_good(tmp_path: Path) -> None:
    prepare(tmp_path, "broker")
    orphan = (tmp_path / "passwords").read_text()
    (tmp_path / "broker-url").unlink()

    assert prepare(tmp_path, "broker")
    assert (tmp_path / "passwords").read_text() != orphan


async def test_the_address_opens_a_broker_with_that_password_file_and_no_other_does(
    tmp_path: Path, start_broker: StartBroker
) -> None:
    main([str(tmp_path), "--host", "hub"])
    came = parse_address(address(tmp_path))
    broker = await start_broker(kind="mosquitto", password_file=tmp_path / "passwords")

    assert (came.host, came.port) == ("hub", 1883)
    async with (
        asyncio.timeout(10),
        connect(broker.url, name="visitor", username=came.username, password=came.password),
    ):
        pass
    with pytest.raises(ConnectError):
        async with (
            asyncio.timeout(10),
            connect(broker.url, name="visitor", username=came.username, password="guessed"),
        ):
            pass


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ServerError, match="nowhere"):
        prepare(tmp_path / "nowhere", "broker")
    with pytest.raises(SystemExit, match="1"):
        main([str(tmp_path / "nowhere")])
    assert "nowhere" in capsys.readouterr().err
