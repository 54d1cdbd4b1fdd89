import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import tierline
from tests.models.bundles import edit_json, forge, reseal
from tests.models.heads import head_for
from tests.models.zoo import ZOO, decoder, unet
from tierline_models import (
    BundleError,
    Split,
    SplitError,
    TokenHead,
    attach,
    split,
)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A U-Net with an exit of one tensor and one of several."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("bundles") / "unet"
    cut = split(*unet())
    for k in (0, 3):
        cut.add_exit(k, head_for(cut.points[k]), temperature=1.5)
    cut.save(folder, labels=["no", "maybe", "yes"])
    return folder


@pytest.fixture(scope="module")
def text() -> Split:
    """A decoder, cut; tests that share it add no exit, or at a point of their own."""
    return split(*decoder())


@pytest.fixture
def bundle(saved: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    return Path(shutil.copytree(saved, tmp_path / "unet"))


@pytest.mark.parametrize("name", sorted(ZOO.keys() - {"deep CNN", "RegNet"}))  # as ResNet-50, only longer
def test_exits_at_every_point_give_the_same_bits_from_the_bundle(name: str, tmp_path: Path) -> None:
    cut = split(*ZOO[name]())
    heads = {}
    for k in {0, len(cut.points) // 2, len(cut.points) - 1}:
        heads[k] = head_for(cut.points[k]).eval()
        cut.add_exit(k, heads[k])
    cut.save(tmp_path / "bundle")
    loaded = tierline.load(tmp_path / "bundle")

    assert loaded.exits == cut.exits
    assert loaded.exit_differences() == [0.0] * len(heads)
    with torch.no_grad():
        for k, head in heads.items():
            carried = cut.head(k)(*cut.example[0])
            parts = carried if isinstance(carried, tuple) else (carried,)
            assert torch.equal(loaded.exit(k)(carried), head(*parts))


def test_an_exit_takes_texts_of_any_length_and_batches_of_any_size(text: Split) -> None:
    text.add_exit(5, TokenHead(32, 5))

    for batch, length in ((1, 3), (4, 20)):
        ids = torch.randint(0, 100, (batch, length))
        assert text.exit(5)(text.head(5)(ids)).shape == (batch, 5)


def test_an_exit_tells_what_it_costs(saved: Path) -> None:
    first, second = tierline.load(saved).exits

    assert (first.layer, first.classes, first.temperature) == (1, 3, 1.5)
    assert first.weight_bytes == 4 * (8 * 3 + 3)
    assert first.flops == 2 * 8 * 3
    assert second.layer == 4


def test_a_second_head_at_a_point_takes_the_place_of_the_first(saved: Path) -> None:
    cut = tierline.load(saved)
    cut.add_exit(0, head_for(cut.points[0], 7), temperature=2)

    assert [(one.layer, one.classes, one.temperature) for one in cut.exits] == [(1, 7, 2.0), (4, 3, 1.5)]


def test_an_exit_can_be_added_to_a_loaded_bundle_and_saved_again(saved: Path, tmp_path: Path) -> None:
    loaded = tierline.load(saved)
    loaded.add_exit(4, head_for(loaded.points[4]))
    digest = loaded.save(tmp_path / "more")
    again = tierline.load(tmp_path / "more")

    assert [one.layer for one in again.exits] == [1, 4, 5]
    assert again.digest == digest != loaded.digest
    assert again.exit_differences() == [0.0] * 3
    assert again.labels == ("no", "maybe", "yes")


class FixedLength(nn.Module):
    def __init__(self, length: int) -> None:
        super().__init__()
        self.classify = nn.Linear(length * 32, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(x.reshape(x.shape[0], -1))


class DataDependent(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1) if x.sum() > 0 else x.amax(1)


@pytest.mark.parametrize(
    ("head", "says"),
    [
        (FixedLength(12), "insists that dimension 1 of .* is 12, but it varies"),
        (DataDependent(), "torch.export cannot trace DataDependent"),
        (nn.Linear(7, 2), "does not take what travels there, of shape .1, 12, 32."),
        (nn.Linear(32, 2), r"returns shape \(1, 12, 2\); it must return logits, here \(1, classes\)"),
        (nn.LSTM(32, 4), "returns tuple"),
    ],
    ids=["length", "data", "width", "tokens", "tuple"],
)
def test_a_head_that_cannot_be_an_exit_is_refused_in_a_sentence(
    text: Split, head: nn.Module, says: str
) -> None:
    with pytest.raises(SplitError, match=says) as caught:
        text.add_exit(2, head)
    assert "\n" not in str(caught.value)
    assert 3 not in [one.layer for one in text.exits]


@pytest.mark.parametrize("temperature", [0, -1.0, float("nan"), float("inf"), True])
def test_a_temperature_that_makes_no_sense_is_refused(text: Split, temperature: float) -> None:
    with pytest.raises(SplitError, match=r"between 0\.001 and 1000"):
        text.add_exit(2, TokenHead(32, 2), temperature=temperature)


def test_labels_must_be_as_many_as_an_exit_has_classes(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="2 labels, but the exit at layer 1 has 3 classes"):
        tierline.load(saved).save(tmp_path / "bundle", labels=["a", "b"])


def test_asking_for_an_exit_that_is_not_there_says_so(saved: Path) -> None:
    with pytest.raises(SplitError, match="no exit at split point 1"):
        tierline.load(saved).exit(1)


def _op(op: str) -> Callable[[Any], None]:
    return lambda graph: graph["calls"][0].__setitem__(1, op)


HOSTILE: dict[str, tuple[Callable[[Any], None], str]] = {
    "another namespace": (_op("os.system.default"), "not among the operators"),
    "an operator that reads files": (_op("aten.from_file.default"), "not among the operators"),
    "an overload that writes": (_op("aten.add.out"), "changes its input"),
    "code for a name": (lambda g: g["calls"][0].__setitem__(0, "x=__import__('os')"), "is no name"),
    "code for a weight": (
        lambda g: g["calls"][-1][2].__setitem__(1, {"weight": 'a"),__import__("os").abort(),("'}),
        "is no name of a weight",
    ),
    "a value nobody made": (
        lambda g: g["calls"][0][2].__setitem__(0, {"value": "later"}),
        "before anything has made it",
    ),
    "an input too many": (lambda g: g["inputs"].append("more"), "does not take the 1 tensors"),
    "a terabyte": (
        lambda g: g["calls"].insert(
            0, ["bomb", "aten.full.default", [[10**12], 0], {"device": {"device": "here"}}]
        ),
        "would take",
    ),
    "a weight that is not listed": (
        lambda g: g["calls"][-1][2].__setitem__(1, {"weight": "other"}),
        "uses other, which the manifest does not list",
    ),
    "no logits": (lambda g: g.update(outputs=[{"value": g["inputs"][0]}]), "not logits"),
    "no output": (lambda g: g.update(outputs=[], structure={"tuple": []}), "not logits"),
    "a second output": (
        lambda g: g.update(outputs=g["outputs"] * 2, structure={"tuple": [0, 1]}),
        "not logits",
    ),
    "no graph": (lambda g: g.clear(), "exits/0001.json is not a graph"),
    "cuts": (
        lambda g: g["cuts"].append({"place": 1, "carried": [g["calls"][0][0]], "recompute": []}),
        "does not take",
    ),
}


@pytest.mark.parametrize("attack", HOSTILE)
def test_a_hostile_exit_is_refused_before_anything_of_it_runs(bundle: Path, attack: str) -> None:
    change, says = HOSTILE[attack]
    edit_json(bundle / "exits/0001.json", change)
    reseal(bundle)

    with pytest.raises(BundleError, match=says) as caught:
        tierline.load(bundle)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("layer", 11, "no whole number from 1 to"),
        ("layer", 0, "no whole number from 1 to"),
        ("layer", "1", "no whole number"),
        ("layer", 5, "not in the order"),
        ("classes", 4, "not logits"),
        ("temperature", 0, "no temperature"),
        ("temperature", "1", "no temperature"),
        ("weights", [], "the manifest does not list"),
    ],
)
def test_a_manifest_that_lies_about_an_exit_is_refused(
    bundle: Path, field: str, value: object, says: str
) -> None:
    forge(bundle, lambda manifest: manifest["exits"][0].update({field: value}))

    with pytest.raises(BundleError, match=says):
        tierline.load(bundle)


def test_labels_that_an_exit_does_not_have_are_refused(bundle: Path) -> None:
    forge(bundle, lambda manifest: manifest["labels"].pop())

    with pytest.raises(BundleError, match="3 classes, the bundle has 2 labels"):
        tierline.load(bundle)


def test_an_exits_weights_are_checked_like_a_blocks(bundle: Path) -> None:
    file = bundle / "exits/0001.safetensors"
    weights = load_file(file)
    next(iter(weights.values())).view(-1)[0] = float("nan")
    save_file(weights, file)
    reseal(bundle)

    with pytest.raises(BundleError, match="no numbers"):
        tierline.load(bundle).exit(0)


def test_any_changed_byte_of_an_exit_is_refused(bundle: Path) -> None:
    for path in sorted((bundle / "exits").iterdir()):
        kept = path.read_bytes()
        changed = bytearray(kept)
        changed[len(changed) // 2] ^= 1
        path.write_bytes(changed)
        with pytest.raises(BundleError):
            _use(bundle)
        path.write_bytes(kept)
    _use(bundle)


def _use(folder: Path) -> Split:
    loaded = tierline.load(folder)
    for one in loaded.exits:
        loaded.exit(one.layer - 1)
    return loaded


def test_what_is_put_beside_a_bundle_leaves_its_digest_and_is_checked_like_all_else(bundle: Path) -> None:
    before = tierline.load(bundle)
    attach(bundle, {"profile.json": b'{"seconds": 1}', "blocks/0001.onnx": b"onnx"})
    after = tierline.load(bundle)

    assert after.digest == before.digest
    assert before.files is not None
    assert "profile.json" not in before.files
    assert after.files is not None
    assert after.files.json("profile.json") == {"seconds": 1}
    assert after.files.check("blocks/0001.onnx").read_bytes() == b"onnx"
    (bundle / "profile.json").write_bytes(b'{"seconds": 2}')
    with pytest.raises(BundleError, match="sha256 differs"):
        _file(bundle, "profile.json")
    forge(bundle, lambda manifest: manifest["beside"].update({"../x": {"sha256": "0", "bytes": 1}}))
    with pytest.raises(BundleError, match="which no bundle has there"):
        tierline.load(bundle)


def _file(bundle: Path, name: str) -> Any:
    files = tierline.load(bundle).files
    assert files is not None
    return files.json(name)


@pytest.mark.parametrize("name", ["graph.json", "../profile.json", "profile.py", "blocks/0001.safetensors"])
def test_only_what_stands_beside_can_be_put_there(bundle: Path, name: str) -> None:
    kept = (bundle / "bundle.json").read_bytes()
    with pytest.raises(BundleError, match="is no file that stands beside"):
        attach(bundle, {name: b"x"})
    assert (bundle / "bundle.json").read_bytes() == kept


def test_a_changed_list_of_what_stands_beside_is_noticed(bundle: Path) -> None:
    attach(bundle, {"profile.json": b"{}"})
    edit_json(bundle / "bundle.json", lambda manifest: manifest["beside"].clear())

    with pytest.raises(BundleError, match="its digest differs"):
        tierline.load(bundle)


def test_a_bundle_says_what_it_was_made_with(saved: Path) -> None:
    versions = json.loads((saved / "bundle.json").read_text())["versions"]

    assert versions["torch"].partition("+")[0] == torch.__version__.partition("+")[0]
    assert {"python", "tierline", "safetensors"} <= versions.keys()


def test_an_example_without_an_exits_logits_is_refused(bundle: Path) -> None:
    file = bundle / "example.safetensors"
    save_file({name: one for name, one in load_file(file).items() if name != "exit_0001"}, file)
    reseal(bundle)

    with pytest.raises(BundleError, match="lacks the logits of the exit at layer 1"):
        tierline.load(bundle).exit_differences()
