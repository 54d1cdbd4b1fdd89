import pytest

from tierline_broker import AddressError, parse_address


def test_an_address_has_host_port_user_and_password():
    address = parse_address("mqtt://anna:s%40fe@broker.example:2883")

    assert (address.host, address.port, address.username, address.password) == (
        "broker.example",
        2883,
        "anna",
        "s@fe",
    )


def test_the_port_defaults_to_mqtts_own():
    assert parse_address("mqtt://localhost").port == 1883


def test_arguments_go_before_the_url():
    address = parse_address("mqtt://anna:old@host", username="bert", password="new")

    assert (address.username, address.password) == ("bert", "new")


def test_an_address_is_shown_without_its_password():
    address = parse_address("mqtt://anna:secret@[::1]:2883")

    assert str(address) == "mqtt://[::1]:2883"
    assert "secret" not in repr(address)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mqtts://host", "TLS (mqtts) comes with joining"),
        ("http://host", "does not start with mqtt://"),
        ("host:1883", "does not start with mqtt://"),
        ("", "does not start with mqtt://"),
        ("mqtt://", "names no host"),
        ("mqtt://:1883", "names no host"),
        ("mqtt://host:99999", "is not a URL"),
        ("mqtt://host:port", "is not a URL"),
        ("mqtt://[::1", "is not a URL"),
        ("mqtt://host/path", "has something after the port"),
        ("mqtt://host:0", "names port 0"),
        ("mqtt://a..b", "a part that is empty"),
        ("mqtt://.", "a part that is empty"),
        (f"mqtt://{'a' * 64}.example", "over 63 characters"),
        (f"mqtt://{'ü' * 60}", "over 63 characters"),
        ("mqtt://\udcff", "of characters no host has"),
        ("mqtt://\udcff@host", "a user that is no UTF-8 text"),
        ("mqtt://anna:\udcff@host", "a password that is no UTF-8 text"),
    ],
)
def test_another_address_is_refused_in_one_sentence(url, reason):
    with pytest.raises(AddressError, match="write mqtt://HOST:PORT") as caught:
        parse_address(url)

    assert reason in str(caught.value)


@pytest.mark.parametrize("host", ["a.b.", "käse.example", f"{'a' * 63}.example", "[fe80::1%25eth0]", "a_b"])
def test_any_host_that_the_network_may_know_is_taken(host):
    assert parse_address(f"mqtt://{host}:1").host in (host, host.strip("[]"))


@pytest.mark.parametrize("credentials", [{"username": "x" * 65_536}, {"password": "\udcff"}])
def test_credentials_that_mqtt_cannot_carry_are_refused(credentials):
    with pytest.raises(AddressError, match="no UTF-8 text of at most 65535 bytes"):
        parse_address("mqtt://host", **credentials)


def test_a_refusal_never_repeats_the_password():
    with pytest.raises(AddressError) as caught:
        parse_address("mqtts://anna:secret@host")

    assert "secret" not in str(caught.value)
