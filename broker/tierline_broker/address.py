"""A broker's address, read from its URL."""

from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from tierline_broker.errors import AddressError

DEFAULT_PORT = 1883
_MOST_BYTES = 65_535  # of a text in MQTT


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a broker listens and as whom we come; shown without the password."""

    host: str
    port: int
    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"mqtt://{host}:{self.port}"


def parse_address(url: str, *, username: str | None = None, password: str | None = None) -> Address:
    """Read `mqtt://[user:password@]host[:port]`; the arguments go before what the URL says.

    Raises:
        AddressError: it is another scheme, or host, port, user or password are missing or impossible.
    """
    shown = url.rpartition("@")[2] if "@" in url else url  # never repeat a password
    try:
        parts = urlsplit(url)
        port = DEFAULT_PORT if parts.port is None else parts.port
    except ValueError as exc:
        raise AddressError(shown, f"is not a URL ({exc})") from exc
    _check(parts, shown)
    address = Address(
        host=parts.hostname or "",
        port=port,
        username=username if username is not None else _decoded(parts.username),
        password=password if password is not None else _decoded(parts.password),
    )
    _check_encodable(address, shown)
    return address


def _check(parts: SplitResult, shown: str) -> None:
    if parts.scheme == "mqtts":
        raise AddressError(shown, "TLS (mqtts) comes with joining, which this version does not have yet")
    if parts.scheme != "mqtt":
        raise AddressError(shown, "does not start with mqtt://")
    if not parts.hostname:
        raise AddressError(shown, "names no host")
    if parts.port == 0:
        raise AddressError(shown, "names port 0, on which nobody listens")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise AddressError(shown, "has something after the port")


def _check_encodable(address: Address, shown: str) -> None:
    """Find out now what the network's libraries would only say when they encode it, and not as an OSError."""
    try:
        address.host.encode("idna")
    except UnicodeError as exc:
        raise AddressError(
            shown, "names a host with a part that is empty, over 63 characters, or of characters no host has"
        ) from exc
    for what, text in (("user", address.username), ("password", address.password)):
        try:
            fits = len((text or "").encode()) <= _MOST_BYTES
        except UnicodeEncodeError:
            fits = False
        if not fits:
            raise AddressError(
                shown, f"comes with a {what} that is no UTF-8 text of at most {_MOST_BYTES} bytes"
            )


def _decoded(part: str | None) -> str | None:
    return None if part is None else unquote(part)
