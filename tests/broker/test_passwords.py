import base64
import os

import psutil
import pytest

from tierline_broker import server
from tierline_broker.errors import ServerError
from tierline_broker.passwords import generate_password, hash_password, write_password_file
from tierline_broker.server import serve

EVERYWHERE = "0.0.0.0"  # noqa: S104 (what is asked for, and mostly refused)


@pytest.mark.parametrize("listen", [EVERYWHERE, "::", "192.0.2.1", "edge.example"])
async def test_a_listener_that_others_reach_is_refused_without_a_password_file(listen):
    with pytest.raises(ServerError, match=r"refusing to listen .* --password-file \(TLS comes with joining"):
        async with serve(listen=listen):
            pass


@pytest.mark.parametrize("password", [generate_password(), "käse:$7$ x", "x" * 200])
async def test_a_password_file_of_ours_opens_the_broker_to_its_users_only(tmp_path, password, connack):
    write_password_file(tmp_path / "passwords", {"pi-1.tierline": password, "other": "other"})

    async with serve(kind="mosquitto", listen=EVERYWHERE, password_file=tmp_path / "passwords") as broker:
        assert broker.url.startswith("mqtt://127.0.0.1:")
        assert await connack(broker.port, "pi-1.tierline", password) == 0
        assert await connack(broker.port, "pi-1.tierline", "wrong") == 0x87
        assert await connack(broker.port) == 0x87


def test_a_password_file_is_ours_alone_and_holds_no_password(tmp_path):
    path = tmp_path / "passwords"
    write_password_file(path, {"pi": "secret"})

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.read_text().startswith("pi:$7$1000$")
    assert "secret" not in path.read_text()


def test_a_password_hash_is_the_one_that_mosquitto_writes():
    known = (  # by `mosquitto_passwd -c -b FILE u secret` of Mosquitto 2.0.11
        "$7$101$Kwcay7Qnpcy+iPES$+7LN7Cu2PQ1l6tQQeQUw6jCC7ae5NdBjhI3udxlcf2sDVcZmMhFAuTt4cUcEc29JK8zfMeFuodWQyMUzcytkpg=="
    )

    salt = base64.b64decode(known.split("$")[3])

    assert hash_password("secret", salt=salt, rounds=101) == known


@pytest.mark.parametrize("user", ["", "a:b", "a\nb", "x" * 65])
def test_a_user_name_that_would_break_the_file_is_refused(tmp_path, user):
    with pytest.raises(ServerError, match="user name"):
        write_password_file(tmp_path / "passwords", {user: "secret"})
    assert not (tmp_path / "passwords").exists()


def test_a_password_file_never_replaces_another(tmp_path):
    path = tmp_path / "passwords"
    path.write_text("precious")

    with pytest.raises(ServerError, match="exists already"):
        write_password_file(path, {"pi": "secret"})
    assert path.read_text() == "precious"
    with pytest.raises(ServerError, match="cannot be written"):
        write_password_file(tmp_path / "nowhere" / "passwords", {"pi": "secret"})


def test_passwords_are_long_and_never_the_same():
    passwords = {generate_password() for _ in range(100)}

    assert len(passwords) == 100
    assert all(len(password) == 24 for password in passwords)


async def test_a_missing_password_file_is_named(tmp_path):
    with pytest.raises(ServerError, match=r"no password file .*absent"):
        async with serve(kind="mosquitto", password_file=tmp_path / "absent"):
            pass


@pytest.mark.parametrize("call", ["shutil.copyfile", "pathlib.Path.stat"])
async def test_a_password_file_that_is_closed_to_us_is_one_clear_sentence(tmp_path, monkeypatch, call):
    path = tmp_path / "passwords"
    write_password_file(path, {"pi": "secret"})

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(path))

    with monkeypatch.context() as patched:
        patched.setattr(call, refuse)  # root, who may run this, is refused nothing
        with pytest.raises(ServerError) as caught:
            async with serve(kind="mosquitto", password_file=path):
                pytest.fail("the passwords cannot be known")

    assert str(caught.value) == (
        f"the password file {path} cannot be read (Permission denied);"
        " run as its owner, or have its owner give it to us"
    )


async def test_the_embedded_broker_takes_no_password_file(tmp_path, monkeypatch):
    monkeypatch.setattr(server, "choose_broker", lambda _: "embedded")

    with pytest.raises(ServerError, match="install Mosquitto"):
        async with serve(password_file=tmp_path):
            pass


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start it as root")
async def test_a_broker_started_as_root_does_not_stay_root(tmp_path, start_broker, connack):
    write_password_file(tmp_path / "passwords", {"pi": "secret"})

    broker = await start_broker(kind="mosquitto", password_file=tmp_path / "passwords")

    assert psutil.Process(broker.pid).uids().real != 0
    assert await connack(broker.port, "pi", "secret") == 0
