"""Which texts are phrases of other texts, whatever their case, accents and punctuation."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

from tierline_cartography.data.rows import Row
from tierline_models import normalise

_BRACKETS = re.compile("-[lr]rb-")
_PARTS = re.compile(r"[^\s/-]+")
_word = cache(normalise)
CLOSING = (".", "!", "?", "''")


@dataclass(frozen=True, slots=True)
class Index:
    """Texts to be found in others: their keys, and every beginning of one that ends with a word."""

    keys: frozenset[str]
    beginnings: frozenset[str]


def words(text: str) -> list[str]:
    """The words of a text, normalised; punctuation by itself is none, and the parts of off-beat are two.

    `-lrb-` and `-rrb-` are how SST-2 writes brackets.
    """
    return [word for part in _PARTS.findall(_BRACKETS.sub(" ", text.lower())) if (word := _word(part))]


def key(text: str) -> str:
    """What makes two texts the same."""
    return "".join(words(text))


def index_of(texts: Iterable[str]) -> Index:
    """Prepare texts to be looked for."""
    keys, beginnings = set(), set()
    for text in texts:
        run = ""
        for word in words(text):
            run += word
            beginnings.add(run)
        if run:
            keys.add(run)
    return Index(frozenset(keys), frozenset(beginnings))


def phrases_in(text: str, index: Index, *, proper: bool = False) -> Iterator[str]:
    """The keys of indexed texts that are a run of words of this one; a proper one is not the whole."""
    spelled = words(text)
    whole = "".join(spelled)
    for first in range(len(spelled)):
        run = ""
        for word in spelled[first:]:
            run += word
            if run not in index.beginnings:
                break
            if run in index.keys and not (proper and run == whole):
                yield run


def without_leaks(rows: Sequence[Row], held: Sequence[Row]) -> list[Row]:
    """The rows that are no phrase of a held-out text, hold none and equal none.

    So a phrase stays only if none of the sentences that it is part of is held out: phrases go with their
    parent sentences.
    """
    ours, theirs = index_of(row.whole for row in rows), index_of(row.whole for row in held)
    inside = {phrase for row in held for phrase in phrases_in(row.whole, ours)}
    return [row for row in rows if key(row.whole) not in inside and not any(phrases_in(row.whole, theirs))]


def distinct(rows: Iterable[Row]) -> list[Row]:
    """The first row of each text; what holds no word is dropped."""
    found: dict[str, Row] = {}
    for row in rows:
        if name := key(row.whole):
            found.setdefault(name, row)
    return list(found.values())


def sentences(rows: Sequence[Row]) -> list[Row]:
    """The rows that are whole sentences: phrases of no other row, and closed by a mark."""
    index = index_of(row.text for row in rows)
    parts = {phrase for row in rows for phrase in phrases_in(row.text, index, proper=True)}
    return [row for row in rows if row.text.endswith(CLOSING) and key(row.text) not in parts]
