from pathlib import Path

import pytest

from tierline_broker import embedded, mosquitto, process, server
from tierline_broker.errors import ServerError
from tierline_broker.server import choose_broker, is_loopback

EVERYWHERE = "0.0.0.0"  # noqa: S104 (what is asked for, and mostly refused)


def test_mosquitto_is_preferred_to_the_embedded_broker(monkeypatch):
    monkeypatch.setattr(server, "find_mosquitto", lambda: Path("/usr/sbin/mosquitto"))
    monkeypatch.setattr(server, "embedded_installed", lambda: True)
    assert choose_broker() == "mosquitto"
    assert choose_broker("embedded") == "embedded"

    monkeypatch.setattr(server, "find_mosquitto", lambda: None)
    assert choose_broker() == "embedded"


@pytest.mark.parametrize(
    ("kind", "platform", "command"),
    [
        (None, "linux", "`sudo apt-get install -y mosquitto`"),
        (None, "darwin", "`brew install mosquitto`"),
        (None, "linux", r"`pip install 'tierline\[embedded\]'`"),
        ("mosquitto", "linux", "`sudo apt-get install -y mosquitto`"),
        ("embedded", "linux", r"`pip install 'tierline\[embedded\]'`"),
    ],
)
def test_a_missing_broker_is_one_line_with_the_command_that_installs_it(monkeypatch, kind, platform, command):
    monkeypatch.setattr(server, "find_mosquitto", lambda: None)
    monkeypatch.setattr(server, "embedded_installed", lambda: False)
    monkeypatch.setattr(server.sys, "platform", platform)

    with pytest.raises(ServerError, match=command) as raised:
        choose_broker(kind)
    assert "\n" not in str(raised.value)


def test_mosquitto_is_found_where_packages_put_it(tmp_path, monkeypatch):
    (tmp_path / "mosquitto").touch(mode=0o755)
    monkeypatch.setattr(mosquitto, "_FOLDERS", (str(tmp_path),))
    monkeypatch.setenv("PATH", "")

    assert mosquitto.find_mosquitto() == tmp_path / "mosquitto"
    assert mosquitto.find_mosquitto(str(tmp_path / "nowhere")) is None


def test_an_ordinary_user_changes_to_nobody_else(monkeypatch):
    monkeypatch.setattr(mosquitto.os, "geteuid", lambda: 1000)
    assert mosquitto.unprivileged_user() is None

    monkeypatch.setattr(mosquitto.os, "geteuid", lambda: 0)
    assert mosquitto.unprivileged_user() in ("mosquitto", "nobody")


def test_queues_and_packets_are_bounded_and_never_by_zero():
    text = mosquitto.configuration("127.0.0.1", 21883)

    settings = dict(
        line.split(" ", 1) for line in text.splitlines() if " " in line and not line.startswith("#")
    )
    assert settings["set_tcp_nodelay"] == "true"
    assert settings["persistence"] == "false"
    assert settings["listener"] == "21883 127.0.0.1"
    for limit in ("max_packet_size", "max_queued_messages", "max_queued_bytes"):
        assert int(settings[limit]) > 0
    assert int(settings["max_packet_size"]) > 2**20


def test_an_ipv6_listener_is_bracketed_where_it_must_be():
    assert 'listen = "[::1]:1883"' in embedded.embedded_configuration("::1", 1883)
    assert "listener 1883 ::1\n" in mosquitto.configuration("::1", 1883)
    assert process.broker_url("::1", 1883) == "mqtt://[::1]:1883"


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        (EVERYWHERE, False),
        ("::", False),
    ],
)
def test_loopback_is_known_by_its_address(listen, expected):
    assert is_loopback(listen) is expected
