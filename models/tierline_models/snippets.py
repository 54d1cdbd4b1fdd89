"""The text workload's labelled sentences, movie-review snippets with a mean human rating, and their split.

They come from the source distribution of vaderSentiment (MIT): C. J. Hutto and E. Gilbert, "VADER: A
Parsimonious Rule-based Model for Sentiment Analysis of Social Media Text", ICWSM-14. More in docs/models.md.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from tierline_models.errors import FetchError
from tierline_models.fetch import Member, Package, fetch

Split = Literal["train", "validation", "test"]

SNIPPETS = Package(
    name="vaderSentiment",
    version="3.3.2",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    size=2_466_783,
    wheel=False,
    members=(
        Member(
            path=(
                "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz",
                "hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt",
            ),
            name="movie_snippets.txt",
            size=1_383_098,
            sha256="c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
        ),
    ),
)

HASH_DIGITS = 12  # hex digits of a normalised text's sha256: 48 bits, no clash among ten thousand texts


@dataclass(frozen=True, slots=True, kw_only=True)
class Snippet:
    """One sentence or a few, and the mean of what some twenty people thought of it, from -4 to 4."""

    text: str
    rating: float

    @property
    def label(self) -> str:
        """The sign of the rating."""
        return "positive" if self.rating > 0 else "negative"


def load_snippets() -> dict[Split, list[Snippet]]:
    """All snippets that have a label, by split, in the order of the file; fetched at the first call."""
    content = (fetch(SNIPPETS) / SNIPPETS.members[0].name).read_bytes()
    return split_snippets(parse_snippets(content), read_hashes())


def parse_snippets(content: bytes) -> list[Snippet]:
    """Rows `number TAB rating TAB text`, ended by CRLF, into the snippets that can be used.

    A snippet rated exactly 0 has no sign and is left out (37 of 10,605); so is one whose normalised text has
    been seen before (2).
    """
    snippets: dict[str, Snippet] = {}
    try:
        for row in content.decode("utf-8").split("\r\n"):
            if row:
                _, rating, text = row.split("\t")
                snippet = Snippet(text=text, rating=float(rating))
                if snippet.rating != 0:
                    snippets.setdefault(normalise(text), snippet)
    except ValueError as error:
        raise FetchError(
            f"the movie snippets are not what we know ({error}); delete them and try again"
        ) from error
    return list(snippets.values())


def normalise(text: str) -> str:
    """What makes two texts the same: ASCII letters and digits only, lower case, accents and brackets dropped.

    `-lrb-` and `-rrb-` are how SST-2 writes brackets.
    """
    plain = re.sub("-[lr]rb-", "", text.lower())
    return re.sub("[^a-z0-9]", "", unicodedata.normalize("NFKD", plain))


def text_hash(text: str) -> str:
    """The truncated sha256 of a normalised text, by which its split is decided."""
    return hashlib.sha256(normalise(text).encode()).hexdigest()[:HASH_DIGITS]


def read_hashes() -> frozenset[str]:
    """The snippets that hold a sentence SST-2 tests on; `tierline_models.sst2_overlap` makes the list."""
    return frozenset(files("tierline_models").joinpath("data", "sst2_hashes.txt").read_text().split())


def split_snippets(snippets: Iterable[Snippet], in_sst2: frozenset[str]) -> dict[Split, list[Snippet]]:
    """Deal the snippets out by the hash of their text, so that a text's split never changes."""
    dealt: dict[Split, list[Snippet]] = {"train": [], "validation": [], "test": []}
    for snippet in snippets:
        dealt[split_of(text_hash(snippet.text), in_sst2)].append(snippet)
    return dealt


def split_of(digest: str, in_sst2: frozenset[str]) -> Split:
    """Everything that SST-2 tests on is test; of the rest 5 % are test, 12 % validation, 83 % train."""
    percent = int(digest, 16) % 100
    if digest in in_sst2 or percent < 5:
        return "test"
    return "validation" if percent < 17 else "train"
