"""`tierline train`, with the real encoder and few rows."""

import json
import shutil
from pathlib import Path

import pytest

from tierline.__main__ import main
from tierline.arguments_learning import TASKS
from tierline_cartography import TASKS as KNOWN
from tierline_cartography import load_records


def table(folder: Path) -> Path:
    path = folder / "rows.csv"
    rows = [
        f"film {number} was {'fine' if number % 2 else 'bad'} and long,{number % 2}" for number in range(80)
    ]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


def test_a_table_is_trained_on_and_what_became_of_each_row_is_written_down(tmp_path, capsys):
    command = [
        "train", "--task", "csv", "--table", str(table(tmp_path)), "--out", str(tmp_path / "runs"),
        "--seeds", "3,4", "--exits", "1,2", "--epochs", "2", "--json",
    ]  # fmt: skip

    assert main(command) == 0
    document = json.loads(capsys.readouterr().out)

    records = load_records(Path(document["records"]))
    assert (records.task, records.exits, records.seeds) == ("csv", (1, 2), (3, 4))
    assert records.train_true.shape == (2, 2, 2, document["rows"]["train"])
    assert sum(document["rows"].values()) == 80
    assert set(document["accuracy"]) == {"1", "2"}
    assert len(set(records.test.ids)) == len(records.test)

    shutil.copy(document["records"], tmp_path / "before.npz")
    assert main(command) == 0  # all done: nothing is trained again, and the records are the same
    again = load_records(Path(document["records"]))
    assert (again.test.logits == records.test.logits).all()


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--task", "csv"], "give it with --table"),
        (["--task", "csv", "--table", "{table}", "--exits", "7"], "not among the blocks 1 to 6"),
        (["--task", "csv", "--table", "{table}", "--distil", "1"], "--distil is below 1"),
        (["--task", "csv", "--table", "{table}", "--text-column", "body"], "has no column 'body'"),
        (["--task", "rte", "--glue", "{folder}"], "cannot read"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(tmp_path, capsys, flags, complaint):
    named = [flag.format(table=table(tmp_path), folder=tmp_path) for flag in flags]

    code = main(["train", *named, "--out", str(tmp_path / "runs"), "--json"])

    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert complaint in told.err
    assert "Traceback" not in told.err


@pytest.mark.parametrize("wrong", ["", "1,,2", "-1", "one"])
def test_lists_of_numbers_are_checked(wrong, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", "--task", "csv", "--out", "runs", "--seeds", wrong])

    assert ended.value.code == 2
    assert "seeds as in 0,1,2" in capsys.readouterr().err


def test_the_command_line_knows_the_tasks_without_loading_them():
    assert TASKS == KNOWN
