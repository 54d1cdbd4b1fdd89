"""Which snippets hold a sentence of SST-2's dev or test set: `python -m tierline_models.sst2_overlap GLUE`.

SST-2 was cut from the same reviews, so that a model trained on these snippets would have seen most of
SST-2's answers. The hashes this prints keep such snippets out of training. GLUE is a folder that holds
SST-2/dev.tsv and SST-2/test.tsv (or .tsv.xz) with a column `sentence`; it is needed for nothing else.
"""

import argparse
import lzma
import sys
from collections.abc import Iterable
from pathlib import Path

from tierline_models.errors import FetchError, ModelError
from tierline_models.snippets import load_ratings, normalise, text_hash

CONTAINED = 12  # normalised characters from which a sentence counts when it is only a part of a snippet


def overlapping(texts: Iterable[str], sentences: Iterable[str]) -> list[str]:
    """The texts that equal a sentence, or contain one of at least CONTAINED normalised characters."""
    known = {normalise(sentence) for sentence in sentences}
    parts = [sentence for sentence in known if len(sentence) >= CONTAINED]
    return [text for text in texts if _holds(normalise(text), known, parts)]


def _holds(text: str, known: set[str], parts: list[str]) -> bool:
    return text in known or any(part in text for part in parts)


def read_sentences(glue: Path) -> list[str]:
    """The sentences of SST-2's dev and test set."""
    return [sentence for part in ("dev", "test") for sentence in _read_column(glue / "SST-2" / f"{part}.tsv")]


def _read_column(path: Path) -> list[str]:
    packed = path.with_name(f"{path.name}.xz")
    try:
        content = lzma.decompress(packed.read_bytes()) if packed.is_file() else path.read_bytes()
    except OSError as error:
        raise FetchError(f"cannot read {path}: {error.strerror}; name a folder that holds GLUE") from error
    header, *rows = content.decode("utf-8").rstrip("\n").split("\n")
    column = header.split("\t").index("sentence")
    return [row.split("\t")[column] for row in rows]


def main() -> int:
    """Print the sorted hashes, one a line."""
    parser = argparse.ArgumentParser(prog="python -m tierline_models.sst2_overlap", description=__doc__)
    parser.add_argument("glue", type=Path, help="folder that holds SST-2/dev.tsv and SST-2/test.tsv")
    arguments = parser.parse_args()
    try:
        texts = [snippet.text for snippet in load_ratings("movies")]
        found = overlapping(texts, read_sentences(arguments.glue))
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.writelines(f"{digest}\n" for digest in sorted(map(text_hash, found)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
