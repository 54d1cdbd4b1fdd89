"""`tierline cartography` and the benchmark's rows, on made records."""

import importlib
import json
import resource
from dataclasses import replace
from pathlib import Path

import pytest

from tierline.__main__ import main
from tierline_cartography import DrawingError, RecordError, Records, draw_map, load_records, save_records

EXITS = (2, 4, 6)


@pytest.fixture(scope="module")
def path(records: Records, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("records") / "made.npz"
    save_records(made, records)
    return made


def test_a_report_names_every_rule_with_what_is_shown(path, tmp_path, evaluation, monkeypatch, capsys):
    monkeypatch.setattr("tierline_cartography.evaluate", lambda records, exits: evaluation)
    kept = tmp_path / "kept.npz"
    assert main(["cartography", "report", str(path), "--out", str(kept), "--json"]) == 0
    assert load_records(kept).document["routes"]["sealed"] == evaluation.sealed
    document = json.loads(capsys.readouterr().out)

    assert document["exits"] == list(EXITS)
    assert len(document["rules"]) == 13
    ours = document["rules"]["gain of depth (ours)"]
    assert ours["shown"] == (ours["bound"] <= 0.5)
    assert document["pools"]["prices"] == {"layer": 0.1, "offload": 0.1, "free_cloud": False}
    assert sum(document["pools"]["shares"]) == pytest.approx(1)
    assert document["pools"]["drop"] <= document["pools"]["budget"] == 0.5

    flags = ["--hard", "hard-to-learn", "--layer-price", "0.2", "--drop", "5", "--offload-price", "0"]
    assert main(["cartography", "report", str(path), *flags, "--json"]) == 0
    other = json.loads(capsys.readouterr().out)["pools"]
    assert (other["thresholds"]["reading"], other["budget"]) == ("hard-to-learn", 5.0)
    assert other["prices"] == {"layer": 0.2, "offload": 0.0, "free_cloud": False}


def test_maps_and_curves_are_drawn(path, tmp_path, capsys):
    assert main(["cartography", "plot", str(path), "--out", str(tmp_path / "pictures"), "--json"]) == 0

    written = [Path(one) for one in json.loads(capsys.readouterr().out)["written"]]
    assert [one.name for one in written] == [
        "made-map-2.svg", "made-map-4.svg", "made-map-6.svg", "made-pareto-2-4-6.svg"
    ]  # fmt: skip
    assert all("</svg>" in one.read_text() for one in written)


def test_a_full_disk_leaves_the_picture_that_was_there(records, tmp_path):
    picture = tmp_path / "map.svg"
    picture.write_text("before")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # bytes of a file
    try:
        with pytest.raises(DrawingError, match="cannot write"):
            draw_map(picture, records, 2, None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert picture.read_text() == "before"
    assert [path.name for path in tmp_path.iterdir()] == ["map.svg"]


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["report", "missing.npz"], "there is no missing.npz"),
        (["report", "{path}", "--exits", "3"], "not [3]"),
        (["report", "{path}", "--exits", "6"], "exit 6 alone leaves nothing to choose"),
    ],
)
def test_a_mistake_is_one_sentence(path, capsys, flags, complaint):
    code = main(["cartography", *(flag.format(path=path) for flag in flags)])

    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert complaint in told.err
    assert "Traceback" not in told.err


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[2] / "benchmarks")  # as for a script started there
    return importlib.import_module("cartography")


def test_nothing_counts_as_saved_where_the_drop_is_not_shown(bench, evaluation):
    ours = evaluation.outcomes[bench.OURS]
    for budget, value in ((ours.drop.upper + 0.1, 100 * ours.saved), (ours.drop.upper - 0.1, 0.0)):
        judged = replace(ours, drop=replace(ours.drop, budget=budget))

        row = bench.of_saving("made", judged, 57, 5)

        assert row["value"] == pytest.approx(value)
        assert ("point only" in row["claim"]) == (value == 0)
        assert row["spread"][0] <= row["value"] <= row["spread"][1]


def test_every_line_of_the_table_has_a_row_and_too_few_seeds_have_none(
    bench, records, evaluation, monkeypatch
):
    monkeypatch.setattr(bench, "evaluate", lambda records, exits: evaluation)
    monkeypatch.setattr(bench, "EVERY", EXITS)
    monkeypatch.setattr(bench, "of_routing", lambda records, runs: bench.row("time", 1.0, 2.0, "%", runs))
    monkeypatch.setattr(bench, "SAVED", {("made", EXITS): 57})

    rows = bench.of_task(records, quick=True)

    claims = " | ".join(row["claim"] for row in rows)
    for part in (
        "layers saved",
        "oracle",
        "equal cost",
        "Holm",
        "published cost",
        "DIMEC-DC",
        "Learn-then-Test",
    ):
        assert part in claims
    with pytest.raises(RecordError, match="a verdict needs 5"):
        bench.of_task(replace(records, seeds=(0, 1)), quick=True)


def test_a_task_with_a_wall_is_shown_with_the_oracle_beside_it_and_claims_nothing(
    bench, records, evaluation, monkeypatch
):
    monkeypatch.setattr(bench, "evaluate", lambda records, exits: evaluation)
    walled = replace(records, task="cola", seeds=(0, 1, 2))

    wall, ours, oracle = bench.of_task(walled, quick=True)

    common = max(records.test.labels.mean(), 1 - records.test.labels.mean())
    assert wall["value"] == pytest.approx(100 * (evaluation.all_cloud_accuracy - common))
    assert ours["value"] < oracle["value"]
    assert evaluation.outcomes[bench.OURS].drop.word in ours["claim"]


def test_every_rule_has_a_price_in_every_unit(bench, records, evaluation, monkeypatch):
    costs = importlib.import_module("cartography_costs")
    monkeypatch.setattr(costs, "evaluate", lambda records, exits: evaluation)
    monkeypatch.setattr(costs, "published_costs", lambda *_args, **_ways: evaluation.outcomes)

    rows = costs.of_task(records, quick=False)

    assert len({tuple(row["table"]) for row in rows}) == 1
    tables = {row["table"]["rule"]: row["table"] for row in rows}
    whole, ours = (tables[name] for name in (f"all-cloud ({evaluation.all_cloud})", bench.OURS))
    assert whole["busy ms, mobile / edge / cloud"].startswith("0 / 0 / ")
    assert not ours["busy ms, mobile / edge / cloud"].startswith("0 /")
    assert ours["resumed, o 0.1 / 0.6"].count(f"{100 * evaluation.outcomes[bench.OURS].saved:.0f}") == 2
    assert {name for name in tables if "DIME" in name} == {
        "DIMEC-DC (ambiguous)", "DIMEC-DC (hard-to-learn)", "DIMEE"
    }  # fmt: skip
