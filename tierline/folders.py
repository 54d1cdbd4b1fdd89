"""A folder that the user names, as the image files in it and below it."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tierline.errors import UsageError

IMAGE_SUFFIXES = (".jpeg", ".jpg", ".png", ".webp")
MAX_IMAGES = 1000
MAX_FILES = 20_000
"""Files that are looked at: whoever names their whole disk is told so in a second."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What a folder holds, sorted by path: images, and what is none by its name or cannot be read."""

    images: tuple[Path, ...]
    others: tuple[Path, ...]


def look_into(folder: Path) -> Folder:
    """Return what is in a folder and below it, but what is hidden and folders that are only linked to.

    Raises:
        UsageError: it cannot be read, holds no image or too many, or more files than are looked at.
    """
    images: list[Path] = []
    others: list[Path] = []
    for path in _files(folder, others):
        (images if path.suffix.lower() in IMAGE_SUFFIXES else others).append(path)
        if len(images) > MAX_IMAGES:
            raise UsageError(f"{folder} holds more than {MAX_IMAGES} images; name fewer, folder by folder")
        if len(images) + len(others) > MAX_FILES:
            raise UsageError(f"{folder} holds more than {MAX_FILES} files; name the folder with the images")
    if not images:
        known = ", ".join(f"*{suffix}" for suffix in IMAGE_SUFFIXES)
        raise UsageError(f"{folder} and the folders in it hold no image ({known}); choose another folder")
    return Folder(images=tuple(sorted(images)), others=tuple(sorted(others)))


def _files(folder: Path, unread: list[Path]) -> Iterator[Path]:
    """Yield the files in and below a folder; folders in it that cannot be read are added to `unread`."""

    def failed(error: OSError) -> None:
        if Path(error.filename) == folder:
            raise UsageError(f"{folder} cannot be read: {error.strerror}; check its permissions") from error
        unread.append(Path(error.filename))

    for parent, inside, names in os.walk(folder, onerror=failed):
        inside[:] = sorted(name for name in inside if not name.startswith("."))
        for name in names:
            if not name.startswith("."):
                yield Path(parent, name)
