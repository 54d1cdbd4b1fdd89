import importlib
import sys
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patched:
        patched.syspath_prepend(FOLDER)
        yield importlib.import_module("codec_agreement")
    sys.modules.pop("codec_agreement", None)


def crossing(bench, *, right, same):
    return bench.Crossing(right=right, same=same, change=0.1, frame_bytes=10)


def test_what_a_codec_costs_is_counted_against_the_unsplit_model(bench):
    crossings = [crossing(bench, right=one, same=one) for one in (True, True, False, False)]
    study = bench.Study(
        bundle="text", right=[True, True, True, False], forward=[], crossings={(1, "fp16"): crossings}
    )

    assert study.lost(1, "fp16") == 25
    assert study.changed(1, "fp16") == 50
    assert study.codecs == ["fp16"]


def test_the_worst_split_point_is_the_figure(bench):
    good, bad = (crossing(bench, right=one, same=one) for one in (True, False))
    crossings = {
        (layer, codec): [good, bad if layer == 2 else good] for layer in (1, 2) for codec in bench.CODECS
    }

    rows = list(bench.rows(bench.Study(bundle="text", right=[True] * 2, forward=[], crossings=crossings)))

    assert [row["value"] for row in rows] == [50] * len(bench.CODECS)
    assert rows[0]["lost"] == {"1": 0, "2": 50}
    assert "int8-lz4, the default," in rows[1]["claim"]


class Doubling:
    """A model of two blocks that double, whose classes are the signs of the sum."""

    blocks = (None, None)
    labels = ("down", "up")

    def run(self, x, first, last):
        return x * 2 ** (last - first)

    def logits(self, layer, x):
        total = x.sum(dim=(1, 2))
        return torch.stack([-total, total], dim=1)


def test_samples_cross_every_split_point_in_every_codec(bench):
    study = bench.Study(
        bundle="text", right=[], forward=[], crossings={(1, codec): [] for codec in bench.CODECS}
    )
    x = torch.stack([torch.full((3, 64), 0.1), torch.full((3, 64), -0.1)])

    bench.cross_everywhere(Doubling(), x, ["up", "up"], study)

    assert study.right == [True, False]
    for codec in bench.CODECS:
        assert [(one.right, one.same) for one in study.crossings[1, codec]] == [(True, True), (False, True)]
        assert study.lost(1, codec) == 0
