"""`tierline train` on a small table, with an encoder of two blocks that nobody trained before."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from tierline.__main__ import main
from tierline_cartography import load_records
from tierline_models import Block, Embedding

ROWS = 60


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    def encoder() -> tuple[Embedding, list[Block]]:
        torch.manual_seed(0)
        return Embedding(), [Block(), Block()]

    class Words:
        def encode_batch(self, texts: list[str]) -> list[SimpleNamespace]:
            return [
                SimpleNamespace(ids=[101, *(2000 + ord(one[0]) for one in text.split())]) for text in texts
            ]

    for place in ("training.networks", "training.gather"):
        monkeypatch.setattr(f"tierline_cartography.{place}.pretrained_encoder", encoder)
    monkeypatch.setattr("tierline_cartography.training.examples.pretrained_tokenizer", Words)
    path = tmp_path / "table.csv"
    lines = [f"{'good' if n % 2 else 'bad'} {chr(97 + n % 26)}{n},{n % 2}" for n in range(ROWS)]
    path.write_text("\n".join(["text,label", *lines]) + "\n")
    return path


def trained(table: Path, *flags: str) -> int:
    given = ["--table", str(table), "--exits", "1,2", "--epochs", "1", "--out", str(table.parent / "runs")]
    return main(["train", "--task", "csv", *given, *flags])


def test_seeds_and_single_exits_beside_them_become_one_file_of_records(table, capsys):
    assert trained(table, "--seeds", "3,4", "--rival-seeds", "4", "--attentive", "--json") == 0

    document = json.loads(capsys.readouterr().out)
    records = load_records(Path(document["records"]))
    assert (records.seeds, records.exits) == ((3, 4), (1, 2))
    assert records.test.rival is not None
    assert records.test.rival.shape == (1, len(records.test), 2)
    assert records.document["recipe"]["attentive"] is True
    assert len(records.document["rival_cpu_seconds"]) == 1
    assert sum(records.document["rows"].values()) == ROWS
    assert set(document["accuracy"]) == {"1", "2"}
    runs = table.parent / "runs"
    assert sorted(one.name for one in runs.iterdir()) == ["csv.npz", "rival-4", "seed-3", "seed-4"]


def test_rows_that_are_in_no_part_are_counted_and_told(table, capsys):
    lines = table.read_text().splitlines()
    text, label = lines[1].rsplit(",", 1)
    table.write_text("\n".join([*lines, f"{text.upper()}!,{1 - int(label)}", "?,1"]) + "\n")

    assert trained(table, "--json") == 0

    told = capsys.readouterr()
    assert f"2 rows of {table} are left out" in told.err
    assert sum(json.loads(told.out)["rows"].values()) == ROWS


def test_what_is_done_is_not_done_again_and_other_recipes_do_not_mix(table, capsys):
    assert trained(table) == 0
    before = (table.parent / "runs" / "seed-0" / "run.npz").stat().st_mtime_ns

    assert trained(table) == 0
    assert (table.parent / "runs" / "seed-0" / "run.npz").stat().st_mtime_ns == before
    assert trained(table, "--attentive") == 2
    assert "is of a run with other recipe; remove its folder" in capsys.readouterr().err


def test_a_rival_has_the_seed_of_a_run(table, capsys):
    assert trained(table, "--rival-seeds", "7") == 2

    assert "--rival-seeds are among the --seeds" in capsys.readouterr().err


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_trained(table, capsys):
    (table.parent / "runs").write_text("a file")

    assert trained(table) == 2
    assert "choose another --out" in capsys.readouterr().err


def test_a_bundle_that_cannot_be_is_told_before_anything_is_trained(table, capsys):
    paired = table.with_name("pairs.csv")
    paired.write_text(
        "text,pair,label\n" + "".join(f"{n} a,{n} b,{n % 2}\n" for n in range(ROWS)), encoding="utf-8"
    )
    for flags, complaint in (
        (["--table", str(paired), "--pair-column", "pair", "--bundle", "new"], "leave --bundle out"),
        (["--bundle", str(table)], "exists and is no bundle"),
    ):
        assert trained(table, *flags) == 2
        assert complaint in capsys.readouterr().err
    assert not (table.parent / "runs").exists()
