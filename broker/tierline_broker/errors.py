"""The broker component's errors, one small tree.

BrokerError
├── AddressError     the broker's address cannot be understood or used
├── ConnectError     the broker cannot be reached
│   └── RefusedError the broker refused us
├── RecordError      bytes from the network are not a record we accept
├── PublishError     a publish did not reach the broker in time
├── CreditError      a peer granted no credit in time
├── DeadlineError    a request's deadline is no time to come
└── ServerError      a broker of our own could not be started
"""


class BrokerError(Exception):
    """Base of everything this component raises; its text says what, where and what to do."""


class AddressError(BrokerError):
    """The broker's address cannot be understood, or asks for what we cannot do yet."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(
            f"broker address {url!r}: {reason}; write mqtt://HOST:PORT or mqtt://USER:PASSWORD@HOST:PORT"
        )


class ConnectError(BrokerError):
    """The broker cannot be reached."""

    def __init__(self, url: str, reason: str) -> None:
        self.url = url
        self.reason = reason
        super().__init__(
            f"no MQTT broker answers at {url} ({reason}); start one with `tierline broker`,"
            " or name another with --broker or TIERLINE_BROKER"
        )


class RefusedError(ConnectError):
    """The broker is there and refused us: a wrong password, mostly."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.args = (
            f"the broker at {url} refused us ({reason});"
            " give its user and password in --broker or TIERLINE_BROKER: mqtt://USER:PASSWORD@HOST:PORT",
        )


class RecordError(BrokerError):
    """Bytes from the network are not a record we accept.

    Attributes:
        code: short machine-readable reason, used as the counter's label.
        request_id: the request the bytes belong to, when that much could be read.
        origin: who to answer, when that much could be read.
    """

    def __init__(
        self, code: str, message: str, *, request_id: bytes | None = None, origin: str | None = None
    ) -> None:
        self.code = code
        self.request_id = request_id
        self.origin = origin
        super().__init__(message)


class PublishError(BrokerError):
    """A publish did not reach the broker in time, or the connection was lost under it.

    Attributes:
        lost: whether the connection is the reason, so that the next one may do better.
    """

    def __init__(self, message: str, *, lost: bool = False) -> None:
        self.lost = lost
        super().__init__(message)


class CreditError(BrokerError):
    """A peer granted no credit before the deadline."""


class DeadlineError(BrokerError, ValueError):
    """A request's deadline is no time to come: a mistake of the caller's."""


class ServerError(BrokerError):
    """A broker of our own could not be started."""
