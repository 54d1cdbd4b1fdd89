"""What a session asks of the thing that carries its bytes, so that another MQTT client can take its place."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class Properties:
    """The MQTT 5 properties that a publish carries."""

    expiry: int | None = None  # seconds until the broker may throw the message away
    content_type: str | None = None
    user: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Will:
    """What the broker publishes for us, retained, when our connection is lost."""

    topic: str
    payload: bytes
    qos: int = 1
    retain: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Handlers:
    """What a transport calls: for each message, and after each connect before it reports itself connected.

    `message` must return at once: it runs inside the client's read callback.
    """

    message: Callable[[str, bytes], None]
    connected: Callable[[], Coroutine[Any, Any, None]]
    lost: Callable[[], None]


class Transport(Protocol):
    """Carries bytes by topic over a connection that heals itself."""

    @property
    def maximum_packet_size(self) -> int | None:
        """The largest packet that the broker says it takes; None where it says nothing."""

    async def publish(
        self,
        topic: str,
        payload: bytes,
        *,
        qos: int,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> None:
        """Hand one message to the broker.

        Raises:
            PublishError: not connected, or the connection was lost before the broker had it.
        """

    async def subscribe(self, topic_filter: str, *, qos: int) -> None:
        """Ask the broker for a filter's messages on this connection.

        Raises:
            PublishError: not connected, or the broker did not agree in time.
        """

    def unsubscribe(self, topic_filter: str) -> None:
        """Take a filter back, without waiting."""
