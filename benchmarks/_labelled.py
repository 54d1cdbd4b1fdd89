"""Photographs with true labels, from a folder that the user names."""

import os
import random
import re
from pathlib import Path

from tierline_models import Sample

FOLDER = "TIERLINE_IMAGES"
_NAMED = re.compile(r"(n\d{8})_.*\.jpe?g", re.IGNORECASE)


def photographs(labels: tuple[str, ...]) -> list[Sample] | None:
    """Return the pictures below `TIERLINE_IMAGES` in a seeded order, or None where that names no folder.

    Args:
        labels: of ImageNet's classes in their order, which is that of their WordNet ids. Names of files begin
            with the id, as in `n01440764_tench.JPEG`; every class must be there.
    """
    if not os.environ.get(FOLDER):
        return None
    files = {
        path: match[1] for path in Path(os.environ[FOLDER]).rglob("*") if (match := _NAMED.match(path.name))
    }
    classes = sorted(set(files.values()))
    if len(classes) != len(labels):
        raise SystemExit(
            f"{FOLDER} names {os.environ[FOLDER]}, which has pictures of {len(classes)} classes;"
            f" there must be some of all {len(labels)}, named like n01440764_tench.JPEG"
        )
    known = dict(zip(classes, labels, strict=True))
    samples = [Sample(data=path.read_bytes(), label=known[files[path]]) for path in sorted(files)]
    random.Random(0).shuffle(samples)
    return samples
