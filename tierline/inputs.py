"""What the user wants inferred, read and checked before anything is sent."""

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tierline.errors import UsageError
from tierline.folders import look_into
from tierline.terminal import note

MAX_FILE_BYTES = 64 * 2**20
MAX_FOLDER_BYTES = 512 * 2**20
_SHOWN = 60
_NAMED = 5  # files left out of a folder, before the others are only counted
_FILE_NAME = re.compile(r"^\S*(/\S*|\.(jpe?g|png|webp|txt))$", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One raw input and how to show it."""

    shown: str
    data: bytes


def read_inputs(arguments: Iterable[str], *, tell: Callable[[str], None] = note) -> list[Input]:
    """Return the inputs that arguments stand for.

    A file stands for its bytes, a folder for the images in it and below it, `-` for the lines of stdin, and
    anything else for itself.

    Args:
        arguments: as the user typed them.
        tell: called with a sentence that names what was left out of a folder.

    Raises:
        UsageError: an input is empty, not UTF-8, a file that cannot be read, or a folder without an image.
    """
    found: list[Input] = []
    for argument in arguments:
        if argument == "-":
            found += [_text(line, f"line {number} of stdin") for number, line in enumerate(_lines(), 1)]
        elif (path := _path(argument)) is None:
            found.append(_text(os.fsencode(argument), "the input"))
        elif path.is_dir():
            found += _folder(path, tell)
        else:
            found.append(_file(path, path.name))
    if not found:
        raise UsageError("stdin held no line; write one input a line")
    return found


def _lines() -> list[bytes]:
    return [line for line in sys.stdin.buffer.read().splitlines() if line.strip()]


def _path(argument: str) -> Path | None:
    """Return the file or folder that is named, None for text; refuses what can only be a path but is none."""
    path = Path(argument)
    try:
        if argument and (path.is_file() or path.is_dir()):
            return path
    except (OSError, ValueError):  # longer than a path may be, or with a zero byte: text
        return None
    if _FILE_NAME.match(argument):
        raise UsageError(
            f"there is no file or folder {argument}; check the path, or write text with a blank in it"
        )
    return None


def _folder(folder: Path, tell: Callable[[str], None]) -> list[Input]:
    """Return the images of a folder; what is none, or cannot be sent, is left out and told."""
    inside = look_into(folder)
    found: list[Input] = []
    left_out = [_printable(path.relative_to(folder)) for path in inside.others]
    total = 0
    for path in inside.images:
        name = path.relative_to(folder)
        try:
            found.append(_file(path, name))
        except UsageError as error:
            left_out.append(_printable(str(error).partition("; ")[0]))
            continue
        total += len(found[-1].data)
        if total > MAX_FOLDER_BYTES:
            raise UsageError(
                f"{folder} holds more than the {MAX_FOLDER_BYTES} bytes of images that are sent at once;"
                " name fewer, folder by folder"
            )
    if left_out:
        tell(_left_out(folder, left_out))
    if not found:
        raise UsageError(f"{folder} holds no image that can be sent; choose another folder")
    return found


def _left_out(folder: Path, what: Sequence[str]) -> str:
    more = f" and {len(what) - _NAMED} more" if len(what) > _NAMED else ""
    return f"left out of {_printable(folder)}: {', '.join(what[:_NAMED])}{more}"


def _file(path: Path, name: Path | str) -> Input:
    try:
        if not path.is_file():
            raise UsageError(f"{path} is no file; choose another")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise UsageError(
                f"{path} has {size} bytes and at most {MAX_FILE_BYTES} are sent; choose a smaller file"
            )
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; check its permissions") from error
    if not data:
        raise UsageError(f"{path} is empty; choose a file with something in it")
    return Input(shown=_printable(name), data=data)


def _printable(name: Path | str) -> str:
    """Return a name as a terminal can show it: a file may be called anything."""
    text = os.fsencode(name).decode("utf-8", "replace")
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def _text(data: bytes, where: str) -> Input:
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{where} is not valid UTF-8 (byte {error.start}); save or type it as UTF-8"
        ) from error
    if not text.strip():
        raise UsageError(f"{where} is empty; write some text")
    flat = " ".join(text.split())
    return Input(shown=flat if len(flat) <= _SHOWN else f"{flat[: _SHOWN - 1]}…", data=data)
