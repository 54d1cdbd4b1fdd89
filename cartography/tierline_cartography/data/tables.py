"""Tables of labelled text: tab- and comma-separated, plain or xz, each row checked, size bounded."""

import csv
import io
import lzma
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tierline_cartography.data.rows import Row
from tierline_cartography.errors import DataError

MAX_BYTES = 256 * 2**20  # of a table, unpacked
MAX_TEXT = 20_000  # characters of one text; nobody reads further than 128 word pieces


Places = tuple[int, int, int | None]
"""Of the text, the label and the second text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Which columns of a table hold what."""

    text: str = "text"
    label: str = "label"
    pair: str | None = None

    def places(self, header: Sequence[str], path: Path) -> Places:
        """Their numbers in a table with this header."""
        wanted = [name for name in (self.text, self.label, self.pair) if name is not None]
        missing = [repr(name) for name in wanted if name not in header]
        if missing:
            raise DataError(
                f"{path} has no column {', '.join(missing)}; its first line names {', '.join(header)}"
            )
        pair = None if self.pair is None else header.index(self.pair)
        return header.index(self.text), header.index(self.label), pair


def read_table(path: Path, columns: Columns, *, classes: int | None = None) -> list[Row]:
    """All rows of a `.csv` (RFC 4180) or `.tsv` (no quoting, as in GLUE), either with `.xz` behind it.

    Args:
        path: of the table; UTF-8, the first line names the columns.
        columns: which hold the text, the second text of a pair, the class (a whole number from 0).
        classes: labels are below this; None takes what is there.
    """
    lines = _cells(path, _read(path))
    try:
        header = next(lines)
    except StopIteration:
        raise DataError(f"{path} is empty; its first line must name the columns") from None
    places = columns.places(header, path)
    return [
        _row(cells, header, places, f"{path}, row {number}", classes) for number, cells in enumerate(lines, 1)
    ]


def _read(path: Path) -> str:
    packed = path if path.suffix == ".xz" else path.with_name(f"{path.name}.xz")
    chosen = packed if packed.is_file() and not path.is_file() else path
    try:
        if chosen.suffix == ".xz":
            with lzma.open(chosen) as file:
                content = file.read(MAX_BYTES + 1)
        else:
            with chosen.open("rb") as plain:
                content = plain.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise DataError(f"{chosen} holds over {MAX_BYTES >> 20} MiB; give a part of it")
        return content.decode("utf-8")
    except (OSError, EOFError) as error:
        raise DataError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise DataError(f"{chosen} is damaged ({error}); fetch it again") from error


def _cells(path: Path, content: str) -> Iterator[list[str]]:
    if ".tsv" in path.suffixes:
        return (
            line.removesuffix("\r").split("\t") for line in content.removesuffix("\n").split("\n") if line
        )
    return _quoted(path, content)


def _quoted(path: Path, content: str) -> Iterator[list[str]]:
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    try:
        yield from (cells for cells in reader if cells)
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; quote texts that hold commas") from error


def _row(
    cells: Sequence[str],
    header: Sequence[str],
    places: Places,
    where: str,
    classes: int | None,
) -> Row:
    if len(cells) != len(header):
        raise DataError(f"{where} has {len(cells)} columns where the first line has {len(header)}")
    text_at, label_at, pair_at = places
    text, pair = cells[text_at].strip(), cells[pair_at].strip() if pair_at is not None else ""
    if not text or (pair_at is not None and not pair):
        raise DataError(f"{where} has no text; remove the row")
    if len(text) + len(pair) > MAX_TEXT:
        raise DataError(f"{where} has a text of over {MAX_TEXT} characters; cut it")
    return Row(text, _label(cells[label_at].strip(), where, classes), pair)


def _label(cell: str, where: str, classes: int | None) -> int:
    if not (cell.isascii() and cell.isdecimal() and len(cell) <= 3):
        raise DataError(f"{where} has the label {cell[:40]!r}; labels are whole numbers from 0")
    if classes is not None and int(cell) >= classes:
        raise DataError(f"{where} has the label {cell}; this task has classes 0 to {classes - 1}")
    return int(cell)
