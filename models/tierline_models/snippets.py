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
Source = Literal["movies", "products", "newspaper", "tweets"]


def _ratings(stem: str, name: str, size: int, sha256: str) -> Member:
    archive = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
    path = (archive, f"hutto_ICWSM_2014/{stem}_GroundTruth.txt")
    return Member(path=path, name=name, size=size, sha256=sha256)


SNIPPETS = Package(
    name="vaderSentiment",
    version="3.3.2",
    sha256="5d7c06e027fc8b99238edb0d53d970cf97066ef97654009890b83703849632f9",
    size=2_466_783,
    wheel=False,
    members=(
        _ratings(
            "movieReviewSnippets",
            "movie_snippets.txt",
            1_383_098,
            "c8293b0d942e90e223ea2c0955d969040d1a1be514a978b9af0698940bd13350",
        ),
        _ratings(
            "amazonReviewSnippets",
            "product_snippets.txt",
            373_157,
            "11a9807a0974a2506a2d3b4851eaf69b3d6d20688ce4923adda2312a4f6dd6c2",
        ),
        _ratings(
            "nytEditorialSnippets",
            "newspaper_snippets.txt",
            607_629,
            "7d8fbcce7dde5d716da53e78f4ef4be6b706e9ef1e1d51887e6d0ad4b69cc27e",
        ),
        _ratings(
            "tweets",
            "tweets.txt",
            389_886,
            "dfbe7102e2f92579ed8b19df9a3822491880697c67adf712fb66e520cc05102f",
        ),
    ),
)
_FILES: dict[Source, str] = {
    "movies": "movie_snippets.txt",
    "products": "product_snippets.txt",
    "newspaper": "newspaper_snippets.txt",
    "tweets": "tweets.txt",
}

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
    return split_snippets(load_ratings("movies"), read_hashes())


def load_ratings(source: Source) -> list[Snippet]:
    """All texts of one source that have a label, in the order of the file; fetched at the first call.

    The same people rated sentences of film reviews, of product reviews and of newspaper opinion, and tweets.
    """
    return parse_snippets((fetch(SNIPPETS) / _FILES[source]).read_bytes())


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
