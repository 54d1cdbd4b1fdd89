"""Dealing rows out by what they say, so that a text's place never changes."""

import hashlib
from collections.abc import Callable, Sequence

from tierline_cartography.data.phrases import key
from tierline_cartography.data.rows import Row


def digest(text: str) -> str:
    """48 bits of a text's key, as hex: an order that no text added or removed changes."""
    return hashlib.sha256(key(text).encode()).hexdigest()[:12]


def percentile(text: str) -> int:
    """A number from 0 to 99 that a text's key decides."""
    return int(digest(text), 16) % 100


def deal(
    rows: Sequence[Row], share: int, group: Callable[[Row], str] = lambda row: row.text
) -> tuple[list[Row], list[Row]]:
    """Part the rows into `share` percent and the rest; rows of one group stay together."""
    chosen = [row for row in rows if percentile(group(row)) < share]
    rest = [row for row in rows if percentile(group(row)) >= share]
    return chosen, rest
