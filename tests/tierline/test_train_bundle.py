"""`tierline train --bundle`: what was trained is ready for nodes, answers as it did, knows how to route."""

import json
from pathlib import Path

import numpy as np
import pytest

from tierline.__main__ import main
from tierline_cartography import load_records, load_task
from tierline_cartography.data.tables import Columns
from tierline_models import load_bundle

ROWS = 700


def table(folder: Path) -> Path:
    path = folder / "rows.csv"
    rows = [f"film {number} was {'fine' if number % 2 else 'bad'},{number % 2}" for number in range(ROWS)]
    path.write_text("\n".join(["text,label", *rows]) + "\n")
    return path


@pytest.mark.parametrize("kind", [["--adapter"], ["--attentive"]], ids=["adapter", "attentive"])
def test_a_run_becomes_a_bundle_by_one_flag(tmp_path, capsys, kind):
    rows = table(tmp_path)
    flags = ["--task", "csv", "--table", str(rows), "--exits", "1,2", "--epochs", "1", *kind]
    where = ["--out", str(tmp_path / "runs"), "--bundle", str(tmp_path / "films")]

    assert main(["train", *flags, *where, "--json"]) == 0
    told = capsys.readouterr()
    records = load_records(Path(json.loads(told.out)["records"]))
    bundle = load_bundle(tmp_path / "films")

    assert f"tierline node --bundle {tmp_path / 'films'}" in told.err
    assert bundle.cartography is not None
    assert bundle.card.router == bundle.cartography.digest
    assert len(bundle.card.exits) == 2
    task = load_task("csv", glue=None, rows=None, table=rows, columns=Columns(text="text", label="label"))
    for place, layer in enumerate(bundle.card.exits):
        for number, row in enumerate(task.test[:5]):
            state = bundle.model.run(bundle.model.preprocess(row.text.encode()), 0, layer)
            said = np.array(bundle.model.exit(layer, state).logits)
            # Trained logits are kept as half floats, and may have been computed in bfloat16.
            assert said == pytest.approx(records.test.logits[0, place, number], abs=0.1)
