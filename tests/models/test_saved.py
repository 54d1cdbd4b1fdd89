"""Bundles that `split.save` wrote, served as the built-in ones are."""

import io
import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import save
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from torch import Tensor, nn

from tests.models.bundles import edit_json, forge, reseal
from tests.models.zoo import UNet, decoder, encoder_decoder, resnet50, two_towers
from tierline_models import (
    BundleError,
    ImageHead,
    ImageInput,
    InputError,
    SegmentedModel,
    ShapeError,
    Split,
    SplitError,
    TextInput,
    TokenHead,
    load,
    load_bundle,
    profile_model,
    split,
)

WORDS = [
    "[UNK]",
    "[START]",
    "[END]",
    "a",
    "gorgeous",
    "witty",
    "film",
    "dull",
    "lifeless",
    "mess",
    "of",
    "it",
    "is",
    "was",
]


def tokenizer() -> str:
    """A tokenizer of few words, marks at both ends."""
    made = Tokenizer(WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = Whitespace()
    made.post_processor = TemplateProcessing(
        single="[START] $A [END]", special_tokens=[("[START]", 1), ("[END]", 2)]
    )
    return made.to_str()


class Classifier(nn.Module):
    """Words to one of two labels; the mask, if there is one, is read."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(len(WORDS), 16)
        self.layers = nn.ModuleList(nn.Linear(16, 16) for _ in range(3))
        self.classify = nn.Linear(16, 2)

    def forward(self, ids: Tensor, mask: Tensor | None = None) -> dict[str, Tensor]:
        x = self.words(ids) if mask is None else self.words(ids) * mask[..., None]
        for layer in self.layers:
            x = x + torch.tanh(layer(x))
        return {"logits": self.classify(x.mean(1))}


class Skips(nn.Module):
    """A U-Net with a class for an answer: several tensors travel at its waist."""

    def __init__(self) -> None:
        super().__init__()
        self.unet = UNet()
        self.classify = nn.Linear(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.classify(self.unet(x).mean((2, 3)))


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def text_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A text model with two exits, one of them calibrated by hand."""
    torch.manual_seed(0)
    cut = split(Classifier().eval(), torch.randint(0, len(WORDS), (1, 6)))
    for k in (0, 2):
        cut.add_exit(k, TokenHead(16, 2), temperature=2.0)
    folder = tmp_path_factory.mktemp("bundles") / "text"
    cut.save(
        folder,
        name="words",
        labels=["bad", "good"],
        preprocessing=TextInput(tokenizer=tokenizer(), longest=12),
    )
    return folder


@pytest.fixture(scope="module")
def skips_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of skips that takes tensors as they are."""
    torch.manual_seed(0)
    cut = split(Skips().eval(), torch.randn(2, 3, 32, 32), every=True)
    folder = tmp_path_factory.mktemp("bundles") / "skips"
    cut.save(folder, name="skips")
    return folder


def everywhere(model: SegmentedModel, x: Tensor | tuple[Tensor, ...]) -> None:
    """Split at every layer, what travels is let through and the logits are those of the unsplit model."""
    last = len(model.blocks)
    whole = model.unsplit(x)
    for layer in range(1, last):
        carried = model.run(x, 0, layer)
        parts = carried if isinstance(carried, tuple) else (carried,)
        for wanted, one in zip(model.travelling(layer), parts, strict=True):
            model.check_activation(layer, one.shape, str(one.dtype), wanted.name)
        assert torch.equal(model.logits(last, model.run(carried, layer, last)), whole)


def test_a_saved_text_model_is_served_like_the_built_in_one(text_folder: Path) -> None:
    bundle = load_bundle(text_folder)
    cut = load(text_folder)

    assert (bundle.name, bundle.digest) == ("words", cut.digest)
    assert bundle.card.exits == (1, 3, bundle.card.blocks)
    assert list(bundle.model.exits) == [1, 3, len(bundle.model.blocks)]
    for text in (b"a gorgeous film", b"dull", b"it is a mess of it " * 20):
        everywhere(bundle.model, bundle.model.preprocess(text))
    ids = bundle.model.preprocess(b"a film")
    assert isinstance(ids, Tensor)
    assert ids.tolist() == [[1, 3, 6, 2]]
    answer = bundle.model.exit(1, bundle.model.run(ids, 0, 1))
    logits = cut.exit(0)(cut.head(0)(ids))[0]
    assert answer.logits == tuple(logits.tolist())
    assert answer.label in ("bad", "good")
    assert answer.confidence == pytest.approx(float(torch.softmax(logits.double() / 2, 0).max()))


def test_a_saved_bundle_is_measured_like_any(text_folder: Path) -> None:
    bundle = load_bundle(text_folder)
    profile = profile_model(bundle.model, bundle.example, budget_seconds=0.01)

    assert len(profile.block_seconds) == bundle.card.blocks
    assert bundle.card.input_bytes == len(bundle.example)


def test_several_tensors_travel_by_name(skips_folder: Path) -> None:
    bundle = load_bundle(skips_folder)
    model = bundle.model
    several = [layer for layer in range(1, bundle.card.blocks) if len(model.travelling(layer)) > 1]

    assert several
    everywhere(model, model.preprocess(bundle.example))
    layer = several[0]
    assert all(part.name for part in model.travelling(layer))
    sizes = sum(4 * torch.Size([*part.sizes]).numel() for part in model.travelling(layer))
    assert model.activation_bytes(layer) == sizes
    with pytest.raises(ShapeError, match="called 'other'"):
        model.check_activation(layer, (1, 2), "float32", "other")


def test_a_model_of_several_inputs_takes_a_file_of_tensors(tmp_path: Path) -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = encoder_decoder()[0]

        def forward(self, source: Tensor, target: Tensor, present: Tensor) -> Tensor:
            return self.inner(source, target, present)["logits"].mean(1)

    inputs = encoder_decoder()[1]
    split(Pooled().eval(), inputs).save(tmp_path / "bundle")
    model = load_bundle(tmp_path / "bundle").model
    source, target, present = inputs
    data = save({"source": source, "target": target, "present": present})

    everywhere(model, model.preprocess(data))
    shorter = save({"source": source[:, :4], "target": target[:, :2].contiguous(), "present": present[:, :4]})
    assert model.unsplit(model.preprocess(shorter)).shape == (1, 100)
    for wrong, says in (
        ({"source": source}, "holds source; this model takes source, target, present"),
        ({"source": source.float(), "target": target, "present": present}, "source is float32 of"),
        ({"source": source.repeat(1, 9), "target": target, "present": present}, "takes int64 of"),
    ):
        with pytest.raises(InputError, match=says):
            model.preprocess(save(wrong))
    with pytest.raises(InputError, match="no safetensors file"):
        model.preprocess(b"\x00" * 50)
    with pytest.raises(InputError, match="at most"):
        model.preprocess(b"\x00" * 1_000_000)


def test_a_tokenizer_gives_a_mask_where_the_model_takes_one(tmp_path: Path) -> None:
    ids = torch.randint(0, len(WORDS), (1, 6))
    cut = split(Classifier().eval(), (ids, torch.ones_like(ids)))
    cut.save(
        tmp_path / "bundle", preprocessing=TextInput(tokenizer=tokenizer(), longest=9, gives=("ids", "mask"))
    )
    model = load_bundle(tmp_path / "bundle").model
    x = model.preprocess(b"a dull film")

    assert isinstance(x, tuple)
    assert [one.tolist() for one in x] == [[[1, 3, 7, 6, 2]], [[1, 1, 1, 1, 1]]]
    everywhere(model, x)


def test_a_saved_image_model_takes_photographs(tmp_path: Path) -> None:
    cut = split(*resnet50(side=32))
    cut.add_exit(2, ImageHead(cut.points[2].tensors[0].shape[1], 10))
    wanted = ImageInput(height=32, width=32, resample="bilinear", crop=0.9)
    cut.save(tmp_path / "bundle", preprocessing=wanted)
    bundle = load_bundle(tmp_path / "bundle")

    assert load(tmp_path / "bundle").preprocessing == wanted
    file = io.BytesIO()
    Image.new("RGB", (40, 60), (255, 0, 0)).save(file, "PNG")
    x = bundle.model.preprocess(file.getvalue())
    assert isinstance(x, Tensor)
    assert x.shape == (1, 3, 32, 32)
    assert x[0, :, 5, 5].tolist() == pytest.approx(
        [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225], abs=1e-5
    )
    everywhere(bundle.model, x)
    with pytest.raises(InputError, match="no image"):
        bundle.model.preprocess(b"text")


def test_only_the_blocks_asked_for_are_read(text_folder: Path) -> None:
    part = load_bundle(text_folder, max_layer=2)

    assert (len(part.model.blocks), list(part.model.exits)) == (2, [1])
    assert part.card.blocks > 2
    with pytest.raises(BundleError, match="max_layer is 99"):
        load_bundle(text_folder, max_layer=99)


def test_inputs_are_made_up_and_labelled_where_a_bundle_has_none(
    text_folder: Path, skips_folder: Path
) -> None:
    for folder in (text_folder, skips_folder):
        bundle = load_bundle(folder)
        samples = bundle.samples("test", 1)
        labels = bundle.model.labels

        assert len(samples) >= 30
        assert {sample.label for sample in samples} <= set(labels)
        one = samples[0]
        x = bundle.model.preprocess(one.data)
        assert (
            bundle.model.exit(
                len(bundle.model.blocks), bundle.model.run(x, 0, len(bundle.model.blocks))
            ).label
            == one.label
        )
        assert [one.data for one in bundle.samples("test", 1)] == [one.data for one in samples]


def test_calibrating_fits_temperatures_and_measures_routes(text_folder: Path, tmp_path: Path) -> None:
    cut = load(text_folder)
    inputs = [torch.randint(0, len(WORDS), (4, 5)) for _ in range(20)]
    with torch.no_grad():
        whole = cut.segment(0, cut.layers)
        truth = [int(label) for ids in inputs for label in whole(ids)["logits"].argmax(1)]
    routes = cut.calibrate(inputs, truth)
    cut.save(tmp_path / "bundle")
    bundle = load_bundle(tmp_path / "bundle")

    assert routes.accuracy == 1.0
    assert load(tmp_path / "bundle").routes == routes
    assert bundle.card.routes == routes.table
    assert {route.exits for route in routes.table} >= {(1,), (3,), (1, bundle.card.blocks)}
    assert [one.temperature for one in cut.exits] != [2.0, 2.0]
    assert load(tmp_path / "bundle").exits == cut.exits
    cut.add_exit(0, TokenHead(16, 2))
    assert cut.routes is None


@pytest.mark.parametrize(
    ("truth", "says"), [([0] * 7, "for 7 labels"), ([5] * 8, "labels go beyond"), ([], "no labelled input")]
)
def test_labels_that_do_not_fit_are_told(text_folder: Path, truth: list[int], says: str) -> None:
    inputs = [torch.randint(0, len(WORDS), (4, 5)) for _ in range(2 if truth else 0)]
    with pytest.raises(SplitError, match=says):
        load(text_folder).calibrate(inputs, truth)


def _text(**changes: object) -> TextInput:
    return TextInput(**{"tokenizer": tokenizer(), "longest": 12, **changes})


@pytest.mark.parametrize(
    ("cut", "preprocessing", "says"),
    [
        (
            lambda: split(*resnet50(side=32)),
            lambda: _text(),
            "makes int64 of .* takes float32 of .any, 3, 32, 32.",
        ),
        (
            lambda: split(*resnet50(side=32)),
            lambda: ImageInput(height=64, width=32),
            "makes float32 of .1, 3, 64, 32., but the model's input x takes",
        ),
        (
            lambda: split(*decoder()),
            lambda: _text(gives=("ids", "mask")),
            "makes 2 tensors, the model takes 1: ids",
        ),
        (
            lambda: split(Classifier().eval(), torch.randint(0, 9, (1, 6)), dynamic={"0": (0,)}),
            lambda: _text(),
            r"takes int64 of \(any, 6\)",
        ),
        (
            lambda: split(Classifier().eval(), torch.randint(0, 9, (3, 6)), dynamic={"0": (1,)}),
            lambda: _text(),
            "no batch of one",
        ),
    ],
    ids=["kind", "size", "mask", "length", "batch"],
)
def test_preprocessing_that_does_not_fit_the_model_is_refused_when_saved(
    cut: object, preprocessing: object, says: str, tmp_path: Path
) -> None:
    with pytest.raises(BundleError, match=says):
        cut().save(tmp_path / "bundle", preprocessing=preprocessing())  # type: ignore[operator]
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: _text(longest=0), "make no sense"),
        (lambda: _text(longest=2), "leave no room"),
        (lambda: _text(tokenizer="{}"), "none that this version reads"),
        (lambda: _text(gives=("ids", "ids")), "each once"),
        (lambda: _text(gives=("words",)), "each once"),
        (lambda: ImageInput(height=0, width=5), "make no sense"),
        (lambda: ImageInput(height=10_000, width=5), "make no sense"),
        (lambda: ImageInput(height=5, width=5, mean=(1.0, 1.0)), "one mean and one deviation"),
        (lambda: ImageInput(height=5, width=5, deviation=(0.0, 1.0, 1.0)), "above 0"),
        (lambda: ImageInput(height=5, width=5, mean=(float("nan"),) * 3), "finite"),
        (lambda: ImageInput(height=5, width=5, crop=1.5), "at most 1"),
        (lambda: ImageInput(height=5, width=5, resample="magic"), "no way to resample"),  # type: ignore[arg-type]
    ],
)
def test_preprocessing_that_makes_no_sense_is_refused(make: object, says: str) -> None:
    with pytest.raises(BundleError, match=says):
        make()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "code", "longest": 12, "gives": ["ids"]}, "no preprocessing of kind 'code'"),
        ({"kind": "text", "longest": 12, "gives": ["ids"], "import": "os"}, "makes no sense"),
        ({"kind": "text", "longest": "12", "gives": ["ids"]}, "make no sense"),
        ({"kind": "text", "longest": 12, "gives": [7]}, "gives"),
        ({"kind": "image", "height": 1e99, "width": 5}, "make no sense"),
        ([], "makes no sense"),
        ("text", "makes no sense"),
    ],
)
def test_hostile_preprocessing_is_refused(
    text_folder: Path, tmp_path: Path, change: object, says: str
) -> None:
    folder = _copied(text_folder, tmp_path)
    forge(folder, lambda manifest: manifest.update(preprocessing=change))

    with pytest.raises(BundleError, match=says):
        load_bundle(folder)


PANICS = {
    "chunks of nothing": {"pre_tokenizer": {"type": "FixedLength", "length": 0}},
    "a map that is none": {"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA"}},
    "a mark that is not there": {
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "X", "type_id": 0}}],
            "pair": [],
            "special_tokens": {},
        }
    },
}


@pytest.mark.parametrize("what", PANICS)
def test_a_tokenizer_that_makes_the_library_panic_is_refused(what: str) -> None:
    with pytest.raises(BundleError, match="none that this version reads"):
        _text(tokenizer=json.dumps(json.loads(tokenizer()) | PANICS[what]))


def test_a_tokenizer_of_more_words_than_the_model_knows_is_refused(tmp_path: Path) -> None:
    model = Classifier()
    model.words = nn.Embedding(len(WORDS) - 1, 16)
    split(model.eval(), torch.randint(0, 9, (1, 6))).save(tmp_path / "bundle", preprocessing=_text())

    with pytest.raises(BundleError, match="pieces up to 13, the model knows 13"):
        load_bundle(tmp_path / "bundle")


@pytest.mark.parametrize("content", [b"{}", b"\xff\xfe", b"[" * 100_000, b"null"])
def test_a_hostile_tokenizer_is_refused(text_folder: Path, tmp_path: Path, content: bytes) -> None:
    folder = _copied(text_folder, tmp_path)
    (folder / "tokenizer.json").write_bytes(content)
    reseal(folder)

    with pytest.raises(BundleError) as caught:
        load_bundle(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "row",
    [
        {"exits": [2], "thresholds": [], "shares": [1.0], "accuracy": 1.0},
        {"exits": [3, 1], "thresholds": [0.5], "shares": [0.5, 0.5], "accuracy": 1.0},
        {"exits": [1], "thresholds": [0.5], "shares": [1.0], "accuracy": 1.0},
        {"exits": [1], "thresholds": [], "shares": [0.5], "accuracy": 1.0},
        {"exits": [1], "thresholds": [], "shares": [1.0], "accuracy": 2.0},
        {"exits": [], "thresholds": [], "shares": [], "accuracy": 1.0},
        "row",
    ],
)
def test_hostile_routes_are_refused(text_folder: Path, tmp_path: Path, row: object) -> None:
    cut = load(text_folder)
    cut.calibrate([torch.randint(0, len(WORDS), (8, 5))], [0, 1] * 4)
    cut.save(tmp_path / "bundle")
    edit_json(tmp_path / "bundle/routes.json", lambda document: document["routes"].append(row))
    reseal(tmp_path / "bundle")

    with pytest.raises(BundleError, match=r"routes\.json makes no sense"):
        load(tmp_path / "bundle")


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (two_towers, "nodes answer from one tensor of logits"),
        (decoder, "returns .1, 12, 100. for one sample"),
    ],
)
def test_what_nodes_cannot_answer_from_is_refused_in_a_sentence(
    make: object, says: str, tmp_path: Path
) -> None:
    split(*make()).save(tmp_path / "bundle")  # type: ignore[operator]

    with pytest.raises(BundleError, match=says) as caught:
        load_bundle(tmp_path / "bundle")
    assert "\n" not in str(caught.value)


def test_labels_that_the_model_does_not_have_are_refused(text_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    split(Classifier().eval(), torch.randint(0, 9, (1, 6))).save(folder, labels=["a", "b", "c"])

    with pytest.raises(BundleError, match="has 3 labels and returns 2 classes"):
        load_bundle(folder)


def test_a_folder_that_is_no_bundle_is_told(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"holds no bundle\.json"):
        load_bundle(tmp_path)
    (tmp_path / "bundle.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(BundleError, match="format 2, this version reads 3"):
        load_bundle(tmp_path)


def _copied(folder: Path, to: Path) -> Path:
    import shutil

    return Path(shutil.copytree(folder, to / "copy"))


def test_a_split_at_listed_modules_has_exits_too() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).eval()
    cut: Split = split(model, torch.randn(1, 4), blocks=["0", "1"])
    cut.add_exit(0, nn.Linear(4, 2))

    assert cut.exit(0)(cut.head(0)(torch.randn(1, 4))).shape == (1, 2)
