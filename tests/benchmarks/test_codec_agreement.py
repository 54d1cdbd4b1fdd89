import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(FOLDER)
        yield importlib.import_module("codec_agreement")
    for name in ("codec_agreement", "_default_choice", "_labelled"):
        sys.modules.pop(name, None)


def crossing(bench, *, right, same):
    return bench.Crossing(right=right, same=same, change=0.1, frame_bytes=10)


def test_what_a_codec_costs_is_counted_against_the_unsplit_model(bench):
    crossings = [crossing(bench, right=one, same=one) for one in (True, True, False, False)]
    study = studied(bench, [True, True, True, False], {(1, "fp16"): crossings})

    assert study.lost(1, "fp16") == 25
    assert study.changed(1, "fp16") == 50
    assert study.codecs == ["fp16"]


def studied(bench, right, crossings, *, labelled=True):
    return bench.Study(
        bundle="text",
        right=right,
        forward=[],
        crossings=crossings,
        chosen={1: "fp16", 2: "int4"},
        labelled=labelled,
    )


@pytest.mark.parametrize(("labelled", "what"), [(True, "accuracy"), (False, "agreement with the unsplit")])
def test_only_true_labels_make_an_accuracy(bench, labelled, what):
    good = crossing(bench, right=True, same=True)
    chosen = {(layer, bench.CHOSEN): [good] for layer in (1, 2)}
    others = {(layer, codec): [good] for layer in (1, 2) for codec in bench.CODECS}
    found, beside = (studied(bench, [True], one, labelled=labelled) for one in (chosen, others))

    (row,) = bench.rows(found, beside)

    assert f"points of {what}" in row["claim"]


def pictures(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(name.encode())


def test_pictures_are_labelled_by_the_ids_that_their_names_begin_with(bench, tmp_path, monkeypatch):
    pictures(tmp_path, "n00000007_cat.JPEG", "n00000003_a dog.jpg", "more/n00000007_x.jpeg", "README.md")
    monkeypatch.setenv("TIERLINE_IMAGES", str(tmp_path))

    found = bench.photographs(("dog", "cat"))

    assert sorted((one.label, one.data) for one in found) == [
        ("cat", b"more/n00000007_x.jpeg"),
        ("cat", b"n00000007_cat.JPEG"),
        ("dog", b"n00000003_a dog.jpg"),
    ]


def test_a_folder_without_some_classes_is_refused_and_none_at_all_is_no_mistake(bench, tmp_path, monkeypatch):
    pictures(tmp_path, "n00000007_cat.JPEG")
    monkeypatch.setenv("TIERLINE_IMAGES", str(tmp_path))
    with pytest.raises(SystemExit, match="pictures of 1 classes; there must be some of all 2"):
        bench.photographs(("dog", "cat"))

    monkeypatch.delenv("TIERLINE_IMAGES")
    assert bench.photographs(("dog", "cat")) is None


def test_the_default_choice_at_the_worst_split_point_is_the_figure(bench):
    good, bad = (crossing(bench, right=one, same=one) for one in (True, False))
    chosen = {(layer, bench.CHOSEN): [good, bad if layer == 2 else good] for layer in (1, 2)}
    others = {(layer, codec): [bad, bad] for layer in (1, 2) for codec in bench.CODECS}

    (row,) = bench.rows(studied(bench, [True] * 2, chosen), studied(bench, [True] * 2, others))

    assert row["value"] == 50
    assert row["spread"] == [0, 50]
    assert "default choice" in row["claim"]
    assert row["changed"][bench.CHOSEN] == {"1": 0, "2": 50}
    assert [one[bench.CHOSEN] for one in row["table"]] == ["`fp16`", "`int4`"]
    assert [one["costs"] for one in row["table"]] == ["0 (0)", "50 (50)"]
    assert row["table"][0]["int8-lz4"] == "1e+02"


class Doubling:
    """A model of two blocks that double, whose classes are the signs of the sum."""

    blocks = (None, None)
    labels = ("down", "up")

    def run(self, x, first, last):
        return x * 2 ** (last - first)

    def logits(self, layer, x):
        total = x.sum(dim=(1, 2))
        return torch.stack([-total, total], dim=1)


def test_samples_cross_every_split_point_in_every_codec_and_in_what_is_chosen_there(bench):
    codecs = (bench.CHOSEN, *bench.CODECS)
    study = studied(bench, [], {(1, codec): [] for codec in codecs})
    x = torch.stack([torch.full((3, 64), 0.1), torch.full((3, 64), -0.1)])

    bench.cross_everywhere(SimpleNamespace(model=Doubling()), x, ["up", "up"], study)

    assert study.right == [True, False]
    for codec in codecs:
        assert [(one.right, one.same) for one in study.crossings[1, codec]] == [(True, True), (False, True)]
        assert study.lost(1, codec) == 0
    sizes = [{one.frame_bytes for one in study.crossings[1, codec]} for codec in (bench.CHOSEN, "fp16")]
    assert sizes[0] == sizes[1]
