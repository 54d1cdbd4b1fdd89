"""What a flag's value may be; the error of each says what is wanted."""

import argparse
from collections.abc import Callable


def number(wanted: str, low: float, high: float) -> Callable[[str], float]:
    """Return a reader of numbers from `low` to `high`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
        return value

    return read


def whole(wanted: str, low: int, high: int) -> Callable[[str], int]:
    """Return a reader of whole numbers from `low` to `high`."""

    def read(text: str) -> int:
        if not text.isdecimal() or not low <= int(text) <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not {wanted}")
        return int(text)

    return read


def name(text: str) -> str:
    """Read a level of a topic; the rule is imported only here, so that --help loads no component."""
    from tierline_broker import is_name

    if not is_name(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a name of up to 63 lower-case letters, digits, hyphens"
        )
    return text


def counts(text: str) -> list[int]:
    """Read whole numbers parted by commas."""
    return [count(one.strip()) for one in text.split(",")]


def alike(text: str) -> float:
    """Read a ratio above 1, or 0 for none."""
    found = number("a ratio above 1, up to 1000, or 0", 0, 1000)(text)
    if 0 < found <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a ratio above 1, up to 1000, or 0")
    return found


count = whole("a whole number of at least 1", 1, 10**9)
port = whole("a TCP port: 1 to 65535, or 0 for a free one", 0, 65_535)
seconds = number("a number of seconds from 0.001 to 86400", 0.001, 86_400)
points = number("a number of points from 0 to 100", 0, 100)
price = number("a price from 0 to 100", 0, 100)
share = number("a share from 0 to 1", 0, 1)
slowness = number("a factor of 1 (no slower) to 10000", 1, 10_000)
positive = number("a factor from 0.001 to 1000", 0.001, 1000)
rate = number("a number of requests a second from 0 to 1e9", 0, 1e9)
