import lzma
from pathlib import Path

import pytest

from tierline_cartography import Columns, DataError, Row, read_table

COLUMNS = Columns(text="sentence")


def write(folder: Path, content: str, name: str = "rows.tsv") -> Path:
    path = folder / name
    path.write_bytes(lzma.compress(content.encode()) if name.endswith(".xz") else content.encode())
    return path


def test_a_tab_separated_table_is_read_without_quoting(tmp_path):
    path = write(tmp_path, 'sentence\tlabel\n"so be it\t0\nfine , "really"\t1\n')

    assert read_table(path, COLUMNS) == [Row('"so be it', 0), Row('fine , "really"', 1)]


def test_a_packed_table_is_found_beside_the_name_of_the_plain_one(tmp_path):
    write(tmp_path, "sentence\tlabel\nfine\t1\n", "rows.tsv.xz")

    assert read_table(tmp_path / "rows.tsv", COLUMNS) == [Row("fine", 1)]


def test_a_comma_separated_table_is_read_with_quoting_and_pairs(tmp_path):
    path = write(tmp_path, 'label,b,a\r\n1,"two, or\nthree",one\r\n', "rows.csv")

    assert read_table(path, Columns(text="a", pair="b")) == [Row("one", 1, "two, or\nthree")]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("", "is empty"),
        ("text\tlabel\nfine\t1\n", "has no column 'sentence'; its first line names text, label"),
        ("sentence\tlabel\nfine\n", "row 1 has 1 columns where the first line has 2"),
        ("sentence\tlabel\nfine\t1\nbad\t1\t0\n", "row 2 has 3 columns"),
        ("sentence\tlabel\n \t1\n", "row 1 has no text"),
        ("sentence\tlabel\nfine\tgood\n", "row 1 has the label 'good'; labels are whole numbers"),
        ("sentence\tlabel\nfine\t-1\n", "row 1 has the label '-1'"),
        ("sentence\tlabel\nfine\t2\n", "row 1 has the label 2; this task has classes 0 to 1"),
        ("sentence\tlabel\n" + "x" * 20_001 + "\t1\n", "row 1 has a text of over 20000 characters"),
    ],
)
def test_a_row_that_is_wrong_is_named(tmp_path, content, complaint):
    with pytest.raises(DataError, match=complaint):
        read_table(write(tmp_path, content), COLUMNS, classes=2)


def test_an_open_quote_is_named(tmp_path):
    with pytest.raises(DataError, match="quote texts that hold commas"):
        read_table(write(tmp_path, 'text,label\n"open,1\n', "rows.csv"), Columns())


@pytest.mark.parametrize(
    ("name", "content"), [("rows.tsv", b"\xff\xfe"), ("rows.tsv.xz", b"no archive"), ("rows.tsv.xz", b"")]
)
def test_a_damaged_table_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)

    with pytest.raises(DataError):
        read_table(tmp_path / name, COLUMNS)


def test_a_table_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*missing.tsv"):
        read_table(tmp_path / "missing.tsv", COLUMNS)


def test_no_more_is_unpacked_than_allowed(tmp_path, monkeypatch):
    monkeypatch.setattr("tierline_cartography.data.tables.MAX_BYTES", 1 << 10)
    path = write(tmp_path, "sentence\tlabel\n" + "x" * 2048, "rows.tsv.xz")

    with pytest.raises(DataError, match="holds over"):
        read_table(path, COLUMNS)
