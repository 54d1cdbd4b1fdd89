"""`tierline cartography fit` on a bundle of one's own: kept beside it, and not believed when changed."""

import base64
import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save
from torch import nn

import tierline
from tests.models.bundles import edit_json, reseal
from tierline.__main__ import main
from tierline_models import BundleError, PooledHead, load_bundle, load_served

SAMPLES = 150


@pytest.fixture
def bundle(trained: Path, tmp_path: Path) -> Path:
    """A copy of one's own."""
    return Path(shutil.copytree(trained, tmp_path / "bundles" / "signs"))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Signs of sums: a first exit that sees half of the features, and a model that sees all."""
    folder = tmp_path_factory.mktemp("bundles") / "signs"
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 2))
    x = torch.randn(400, 8)
    truth = (x.sum(1) > 0).long()
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(80):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), truth).backward()
        optimizer.step()
    cut = tierline.split(model.eval(), torch.randn(1, 8), every=True)
    cut.add_exit(0, PooledHead(16, 2), temperature=2.0)
    cut.save(folder, labels=["below", "above"])
    return folder


def labelled(path: Path, bundle: Path, samples: int, label: str | None = None, every: int = 1) -> str:
    name = load_bundle(bundle).model and tierline.load(bundle).inputs[0].name
    torch.manual_seed(1)
    lines = []
    for number, x in enumerate(torch.randn(samples, 1, 8)):
        right = (label or ("above" if x.sum() > 0 else "below")) if every and number % every == 0 else None
        lines.append(json.dumps({"data": base64.b64encode(save({name: x})).decode(), "label": right}))
    path.write_text("\n".join(lines))
    return str(path)


def test_a_bundle_of_ones_own_needs_labelled_inputs(bundle, capsys):
    assert main(["cartography", "fit", str(bundle)]) == 2
    assert "--inputs FILE" in capsys.readouterr().err


def test_what_is_fitted_stands_beside_the_bundle_and_is_checked(bundle, tmp_path, capsys):
    before = load_bundle(bundle)
    none = labelled(tmp_path / "none.jsonl", bundle, 0)
    inputs = labelled(tmp_path / "inputs.jsonl", bundle, SAMPLES)
    assert main(["cartography", "fit", str(bundle), "--inputs", inputs, "--drop", "2", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    found = load_served(bundle)

    assert before.cartography is None
    assert found.cartography is not None
    assert (found.digest, found.card.router) == (before.digest, told["digest"])
    assert told["settings"]
    assert all(one["accuracy"] >= told["accuracy"] - 0.02 - 1e-9 for one in told["settings"])
    assert {one.exits for one in found.cartography.settings} == {
        (1,),
        found.card.exits[-1:],
        found.card.exits,
    }

    assert main(["cartography", "fit", str(bundle), "--inputs", none]) == 2
    assert "0 samples are too few" in capsys.readouterr().err

    edit_json(bundle / "cartography.json", lambda document: document["pools"].update(easy=float("nan")))
    with pytest.raises(BundleError, match=r"bytes instead|sha256 differs"):
        load_bundle(bundle)
    reseal(bundle)
    with pytest.raises(BundleError, match="make it again"):
        load_bundle(bundle)


def test_inputs_without_labels_are_charted_by_what_the_last_exit_holds(bundle, tmp_path, capsys):
    fit = ["cartography", "fit", str(bundle), "--json", "--inputs"]
    assert main([*fit, labelled(tmp_path / "labelled.jsonl", bundle, SAMPLES)]) == 0
    by_labels = json.loads(capsys.readouterr().out)
    assert main([*fit, labelled(tmp_path / "bare.jsonl", bundle, SAMPLES, every=0)]) == 0
    without = json.loads(capsys.readouterr().out)

    assert (by_labels["labels"], without["labels"]) == ("given", "none, the last exit's word stands in")
    assert [one["temperature"] for one in without["exits"]] == [
        one["temperature"] for one in by_labels["exits"]
    ]
    assert without["pools"].keys() == by_labels["pools"].keys()
    assert without["accuracy"] == pytest.approx(by_labels["accuracy"], abs=0.04)
    for one, other in zip(without["exits"], by_labels["exits"], strict=True):
        assert one["accuracy"] == pytest.approx(other["accuracy"], abs=0.06)


def test_some_labels_and_none_that_ever_were_are_told_apart(tmp_path, capsys):
    folder = tmp_path / "signs"
    layers = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2))
    tierline.split(layers.eval(), torch.randn(1, 8), every=True).save(folder, labels=["below", "above"])
    complaints = []
    for every in (0, 2):
        inputs = labelled(tmp_path / "inputs.jsonl", folder, SAMPLES, every=every)
        assert main(["cartography", "fit", str(folder), "--inputs", inputs]) == 2
        complaints.append(capsys.readouterr().err)

    assert "never calibrated" in complaints[0]
    assert "sample" in complaints[1]
    assert "label all of them, or none" in complaints[1]


@pytest.mark.parametrize(
    ("samples", "label", "complaint"),
    [
        (20, None, "20 samples are too few to fit routing on"),
        (3, "sideways", "this model knows below, above"),
    ],
)
def test_inputs_that_will_not_do_are_told_in_a_sentence(tmp_path, capsys, samples, label, complaint):
    folder = tmp_path / "signs"
    cut = tierline.split(
        nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 2)).eval(), torch.randn(1, 8), every=True
    )
    cut.save(folder, labels=["below", "above"])
    inputs = labelled(tmp_path / "inputs.jsonl", folder, samples, label)

    code = main(["cartography", "fit", str(folder), "--inputs", inputs])
    told = capsys.readouterr()
    assert (code, told.out) == (2, "")
    assert complaint in told.err
    assert "Traceback" not in told.err
    assert not (folder / "cartography.json").exists()
