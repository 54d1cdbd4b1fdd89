"""The tasks: `sst2`, `cola` and `rte` from a folder that holds GLUE, `snippets`, and tables of one's own."""

import os
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tierline_cartography.data.phrases import distinct, sentences, without_leaks
from tierline_cartography.data.rows import Row, Task, check_rows
from tierline_cartography.data.splits import deal, digest
from tierline_cartography.data.tables import Columns, read_table
from tierline_cartography.errors import DataError
from tierline_models import Snippet, Source, load_ratings, load_snippets

TASKS = ("sst2", "cola", "rte", "snippets", "csv")
VALIDATION_SHARE = 20  # percent of the texts
SENTENCE_SHARE = 60  # percent of SST-2's whole sentences: phrases to train on are left in plenty
SNIPPET_SHARE = 30  # percent; the 978 that the text workload validates on are too few to choose settings by
PHRASE_WORDS = 4  # shorter phrases of SST-2 say little about sentences
SOFTNESS = 1.5  # of the snippets' targets, per point of their rating
SHIFTED: tuple[Source, ...] = ("products", "tweets", "newspaper")
SHIFTED_ROWS = 1000  # of each of these; which ones is fixed


def load_task(
    name: str,
    *,
    glue: Path | None = None,
    rows: int | None = None,
    table: Path | None = None,
    columns: Columns | None = None,
) -> Task:
    """Read a task and deal it out.

    Args:
        name: one of TASKS.
        glue: folder that holds `SST-2/train.tsv` and so on, or `.tsv.xz`; TIERLINE_GLUE if not given.
        rows: train on at most so many; which ones is fixed. SST-2 gives its whole sentences first.
        table: of the task `csv`.
        columns: of that table.
    """
    match name:
        case "sst2":
            task = _sst2(_glue(glue))
        case "cola":
            task = _cola(_glue(glue))
        case "rte":
            task = _rte(_glue(glue))
        case "snippets":
            task = _snippets()
        case "csv":
            task = _table(table, columns or Columns())
        case _:
            raise DataError(f"there is no task {name!r}; choose from {', '.join(TASKS)}")
    task = replace(task, train=_at_most(task.train, rows))
    for part, some in (("train", task.train), ("validation", task.validation), ("test", task.test)):
        check_rows(some, f"the {part} part of {name}", len(task.classes))
    return task


def _glue(folder: Path | None) -> Path:
    chosen = folder or (Path(os.environ["TIERLINE_GLUE"]) if os.environ.get("TIERLINE_GLUE") else None)
    if chosen is None:
        raise DataError(
            "this task needs GLUE, which may not be shipped: set TIERLINE_GLUE to a folder that holds "
            "SST-2, CoLA and RTE; docs/cartography.md says how to get it"
        )
    return chosen


def _sst2(glue: Path) -> Task:
    """Train rows are phrases, dev and test are sentences, so validation is of whole sentences too."""
    columns = Columns(text="sentence")
    folder = glue / "SST-2"
    phrases = distinct(read_table(folder / "train.tsv", columns, classes=2))
    test = [row for part in ("dev", "test") for row in read_table(folder / f"{part}.tsv", columns, classes=2)]
    whole = sentences(phrases)
    chosen, _ = deal(whole, SENTENCE_SHARE)
    validation = without_leaks(chosen, test)
    train = without_leaks(phrases, [*validation, *test])
    first = set(whole)
    long = [row for row in train if row not in first and len(row.text.split()) >= PHRASE_WORDS]
    return Task(
        name="sst2",
        classes=("negative", "positive"),
        train=(*_mixed([row for row in train if row in first]), *_mixed(long)),
        validation=tuple(validation),
        test=tuple(test),
    )


def _cola(glue: Path) -> Task:
    columns = Columns(text="sentence")
    return _with_own_test("cola", ("unacceptable", "acceptable"), glue / "CoLA", columns)


def _rte(glue: Path) -> Task:
    columns = Columns(text="sentence1", pair="sentence2")
    return _with_own_test("rte", ("entailment", "not_entailment"), glue / "RTE", columns)


def _with_own_test(name: str, classes: tuple[str, ...], folder: Path, columns: Columns) -> Task:
    """GLUE's dev part is the test; validation comes out of train, texts with the same premise together."""
    known = distinct(read_table(folder / "train.tsv", columns, classes=2))
    test = read_table(folder / "dev.tsv", columns, classes=2)
    chosen, rest = deal(known, VALIDATION_SHARE)
    validation = without_leaks(chosen, test)
    train = without_leaks(rest, [*validation, *test])
    return Task(
        name=name, classes=classes, train=_mixed(train), validation=tuple(validation), test=tuple(test)
    )


def _snippets() -> Task:
    """The test of the text workload, in which is everything that SST-2 tests on; the rest is dealt anew."""
    dealt = load_snippets()
    test = distinct(map(_rated, dealt["test"]))
    chosen, rest = deal(distinct(map(_rated, [*dealt["train"], *dealt["validation"]])), SNIPPET_SHARE)
    validation = without_leaks(chosen, test)
    train = without_leaks(rest, [*validation, *test])
    seen = [*train, *validation, *test]
    shifted: dict[str, tuple[Row, ...]] = {
        source: tuple(_sample(_other_source(source), seen)) for source in SHIFTED
    }
    return Task(
        name="snippets",
        classes=("negative", "positive"),
        train=_mixed(train),
        validation=tuple(validation),
        test=tuple(test),
        shifted=shifted,
    )


def _other_source(source: Source) -> list[Row]:
    return distinct(map(_rated, load_ratings(source)))


def _sample(rows: Sequence[Row], seen: Sequence[Row]) -> list[Row]:
    some = without_leaks(rows, seen)
    return random.Random(0).sample(some, min(len(some), SHIFTED_ROWS))


def _rated(snippet: Snippet) -> Row:
    soft = 1 / (1 + 2.718281828459045 ** (-SOFTNESS * snippet.rating))
    return Row(snippet.text, int(snippet.label == "positive"), soft=soft)


def _table(path: Path | None, columns: Columns) -> Task:
    """15 % of the texts are test, 15 % validation."""
    if path is None:
        raise DataError("the task csv needs a table: give it with --table FILE")
    every = read_table(path, columns)
    rows = distinct(every)
    classes = 1 + max((row.label for row in rows), default=1)
    check_rows(rows, str(path), max(2, classes))
    test, rest = deal(rows, 15)
    chosen, remaining = deal(rest, 30)
    validation = without_leaks(chosen, test)
    train = without_leaks(remaining, [*validation, *test])
    left_out = len(every) - sum(map(len, (train, validation, test)))
    return Task(
        name="csv",
        classes=tuple(map(str, range(classes))),
        train=_mixed(train),
        validation=tuple(validation),
        test=tuple(test),
        left_out=left_out,
    )


def _at_most(rows: Sequence[Row], count: int | None) -> tuple[Row, ...]:
    return tuple(rows if count is None else rows[:count])


def _mixed(rows: Sequence[Row]) -> tuple[Row, ...]:
    """In an order that says nothing: some files have all of one class first."""
    return tuple(sorted(rows, key=lambda row: digest(row.whole)))
