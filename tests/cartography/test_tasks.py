import os
from itertools import combinations
from pathlib import Path

import pytest

from tierline_cartography import Columns, DataError, Task, load_task
from tierline_cartography.data.phrases import index_of, key, phrases_in
from tierline_cartography.training.run import parts_of


@pytest.fixture(scope="module")
def glue() -> Path:
    folder = os.environ.get("TIERLINE_GLUE")
    if not folder or not Path(folder, "SST-2").is_dir():
        pytest.skip("TIERLINE_GLUE names no folder that holds GLUE, which has no licence to be shipped")
    return Path(folder)


@pytest.fixture(scope="module")
def sst2(glue: Path) -> Task:
    return load_task("sst2", glue=glue)


def assert_no_leak(task: Task) -> None:
    """No text, and no text as a phrase of another, is in two parts."""
    parts = {name: [row.whole for row in rows] for name, rows in parts_of(task).items()}
    for (one, ours), (other, theirs) in combinations(parts.items(), 2):
        if one.startswith("shifted_"):
            continue  # among each other these are all tested on
        assert not {key(text) for text in ours} & {key(text) for text in theirs}, (one, other)
        for texts, index in ((ours, index_of(theirs)), (theirs, index_of(ours))):
            assert not [phrase for text in texts for phrase in phrases_in(text, index)], (one, other)


@pytest.mark.no_cover
def test_no_snippet_and_no_phrase_of_one_is_on_two_sides():
    task = load_task("snippets")

    assert_no_leak(task)
    assert len(task.train) > 5500
    assert len(task.validation) > 1800
    for count in (800, 2400):  # the file has one class first; what is trained on of it must not
        assert sum(row.label for row in task.train[:count]) / count == pytest.approx(0.5, abs=0.05)
    assert {name: len(rows) for name, rows in task.shifted.items()} == {
        "products": 1000,
        "tweets": 1000,
        "newspaper": 1000,
    }
    assert all(row.soft is not None and (row.soft > 0.5) == (row.label == 1) for row in task.train)


@pytest.mark.no_cover
def test_no_sentence_of_sst2_and_no_phrase_of_one_is_on_two_sides(sst2):
    assert_no_leak(sst2)
    assert len(sst2.test) == 872 + 1821
    assert len(sst2.validation) > 3000
    assert len(sst2.train) > 20_000


def test_validation_of_sst2_is_of_whole_sentences_as_its_test_is(sst2):
    parts = (sst2.validation, sst2.train[:2200], sst2.test)

    held, first, tested = (sum(len(row.text.split()) for row in rows) / len(rows) for rows in parts)
    assert held == pytest.approx(tested, rel=0.05)
    assert first == pytest.approx(tested, rel=0.1)  # train has its whole sentences first


@pytest.mark.no_cover
@pytest.mark.parametrize(("name", "tested"), [("cola", 1043), ("rte", 277)])
def test_other_tasks_of_glue_are_dealt_without_leaks(glue, name, tested):
    task = load_task(name, glue=glue)

    assert_no_leak(task)
    assert len(task.test) == tested
    assert len(task.validation) > 400


def write(folder: Path, rows: list[str]) -> Path:
    path = folder / "rows.csv"
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


def test_a_table_of_ones_own_is_dealt_out_the_same_way_every_time(tmp_path):
    path = write(tmp_path, [f"film number {number} of many,{number % 3}" for number in range(200)])

    task = load_task("csv", table=path)

    assert_no_leak(task)
    assert task == load_task("csv", table=path)
    assert task.classes == ("0", "1", "2")
    assert 10 < len(task.test) < 60
    assert 10 < len(task.validation) < 80


@pytest.mark.parametrize(
    ("rows", "complaint"),
    [
        ([], "holds no rows"),
        (["fine,0", "bad,0"], "holds no row of class 1"),
        (["fine,0", "bad,2"], "holds no row of class 1"),
    ],
)
def test_a_table_that_nothing_can_be_learned_from_is_refused(tmp_path, rows, complaint):
    with pytest.raises(DataError, match=complaint):
        load_task("csv", table=write(tmp_path, rows), columns=Columns())


def test_what_is_missing_is_said(monkeypatch, tmp_path):
    monkeypatch.delenv("TIERLINE_GLUE", raising=False)

    with pytest.raises(DataError, match="set TIERLINE_GLUE to a folder"):
        load_task("sst2")
    with pytest.raises(DataError, match=r"cannot read .*SST-2"):
        load_task("sst2", glue=tmp_path)
    with pytest.raises(DataError, match="there is no task 'mnli'; choose from sst2"):
        load_task("mnli")
    with pytest.raises(DataError, match="give it with --table"):
        load_task("csv")
