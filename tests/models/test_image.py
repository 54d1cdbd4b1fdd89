import dataclasses
import gc
import importlib.util
import itertools
import sys
import weakref
from math import prod
from types import ModuleType

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from tierline_models import (
    Bundle,
    BundleError,
    FetchError,
    InputError,
    ShapeError,
    load_bundle,
    profile_model,
)
from tierline_models import image as image_module
from tierline_models.crops import crops
from tierline_models.efficientnet import SHAPES, from_checkpoint
from tierline_models.fetch import Member, Package, fetch
from tierline_models.image import WEIGHTS
from tierline_models.pictures import shipped_photographs

LAYERS = range(len(SHAPES) + 1)

# The architecture by the people who published the weights; only this test runs it.
REFERENCE = Package(
    name="efficientnet-lite-pytorch",
    version="0.1.0",
    sha256="ce0fe869b0e829aceafc32f84275a40c0e3418d19216401b03f695f5f20cbc41",
    size=22_649,
    wheel=True,
    members=(
        Member(
            path=("efficientnet_lite_pytorch/__init__.py",),
            name="__init__.py",
            size=169,
            sha256="18c809b4dde3430409cd9a68a931bddb0d24ab11cc85cd0a3ab94fe6e4e3f7b3",
        ),
        Member(
            path=("efficientnet_lite_pytorch/model.py",),
            name="model.py",
            size=22_617,
            sha256="30b407fb0d051526eb1e79ce81d28f998373ed23881270c3a3db958c86b597f8",
        ),
        Member(
            path=("efficientnet_lite_pytorch/utils.py",),
            name="utils.py",
            size=27_769,
            sha256="340d558dda081eab08ff85873dc4400b7305ea76de3131836852f2dacb402f68",
        ),
    ),
)


@pytest.fixture(scope="module")
def image() -> Bundle:
    """The image workload with its real weights."""
    return load_bundle("image")


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    """The photographs shipped with scikit-learn and scikit-image."""
    return shipped_photographs()


@pytest.fixture(scope="module")
def flower(image: Bundle, files: dict[str, bytes]) -> Tensor:
    return image.model.preprocess(files["flower.jpg"])


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    """The published state dict."""
    return torch.load(fetch(WEIGHTS) / WEIGHTS.members[0].name, weights_only=True)


@pytest.fixture
def reference(weights: dict[str, Tensor]):
    """The published architecture with the published weights."""
    try:
        folder = fetch(REFERENCE)
    except FetchError as error:
        pytest.skip(f"nothing to compare with: {error}")
    spec = importlib.util.spec_from_file_location(
        "published_efficientnet", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    package: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = package
    spec.loader.exec_module(package)
    network = package.EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(weights)
    yield network.eval()
    for name in [name for name in sys.modules if name.startswith(spec.name)]:
        del sys.modules[name]


def travelled(x: Tensor) -> Tensor:
    """The activation as it looks after a journey: the same bytes, at an address that suits nobody."""
    frame = bytearray(4) + x.numpy().tobytes()
    return torch.frombuffer(frame, dtype=torch.float32, offset=4).view(x.shape)


def likeliest(image: Bundle, data: bytes, count: int) -> list[str]:
    logits = image.model.unsplit(image.model.preprocess(data))[0]
    return [image.model.labels[index] for index in logits.topk(count).indices]


def test_every_published_weight_is_used(weights: dict[str, Tensor]):
    network = from_checkpoint(weights)

    assert len(weights) == 296
    assert sorted(weight.data_ptr() for weight in network.state_dict().values()) == sorted(
        weight.data_ptr() for weight in weights.values()
    )


@pytest.mark.parametrize("change", ["one missing", "one too many", "one of another shape"])
def test_other_weights_are_refused(weights: dict[str, Tensor], change: str):
    changed = dict(weights)
    if change == "one missing":
        del changed["_blocks.3._bn1.bias"]
    elif change == "one too many":
        changed["_blocks.16._bn1.bias"] = torch.zeros(1)
    else:
        changed["_fc.bias"] = torch.zeros(10)

    with pytest.raises(BundleError, match="not the weights of EfficientNet-Lite0"):
        from_checkpoint(changed)


def test_the_network_computes_what_the_published_one_does(
    weights: dict[str, Tensor], reference, flower: Tensor
):
    network = from_checkpoint({name: weight.clone() for name, weight in weights.items()}).double()
    x = flower.double()
    with torch.inference_mode():
        expected = reference.double()(x)
        for block in network.blocks():
            x = block(x)
        logits = network.head(x)

    # In double precision a wrong layer would show and rounding does not.
    assert (logits - expected).abs().max() < 1e-12 * expected.abs().max()


def test_in_single_precision_only_rounding_differs_from_the_published_network(
    image: Bundle, reference, flower: Tensor
):
    with torch.inference_mode():
        expected = reference(flower)

    logits = image.model.unsplit(flower)

    assert (logits - expected).abs().max() <= 1e-6 * expected.abs().max()


def test_brightness_is_scaled_as_it_was_in_training(
    image: Bundle, weights: dict[str, Tensor], files: dict[str, bytes]
):
    # The first batch norm remembers how its input varied; ImageNet's mean and deviation give four times that.
    network = from_checkpoint(weights)
    with torch.inference_mode():
        x = torch.cat([image.model.preprocess(data) for data in files.values()])
        variance = network.stem.conv(functional.pad(x, network.stem.padding)).var(dim=(0, 2, 3))

    assert 0.5 < (variance / network.stem.norm.running_var).median() < 2


def test_the_photographs_are_recognised(image: Bundle, files: dict[str, bytes]):
    assert likeliest(image, files["flower.jpg"], 1) == ["daisy"]
    assert likeliest(image, files["coffee.png"], 1) == ["espresso"]
    assert likeliest(image, files["camera.png"], 1) == ["tripod"]
    assert {"palace", "bell cote"} <= set(likeliest(image, files["china.jpg"], 3))
    assert set(likeliest(image, files["chelsea.png"], 3)) == {"tabby", "Egyptian cat", "tiger cat"}


def test_any_two_split_points_give_the_logits_of_the_unsplit_model_bit_for_bit(image: Bundle, flower: Tensor):
    model, last = image.model, LAYERS[-1]
    whole = model.unsplit(flower)
    heads = [travelled(model.run(flower, 0, layer)) for layer in LAYERS]
    different = []
    for first, second in itertools.combinations_with_replacement(LAYERS, 2):
        middle = travelled(model.run(heads[first], first, second))
        logits = model.logits(last, model.run(middle, second, last))
        if not torch.equal(logits, whole):
            different.append((first, second))

    assert different == []


def test_what_leaves_a_block_is_what_the_next_one_takes_and_the_card_counts(image: Bundle, flower: Tensor):
    x = flower
    for point in image.card.points:
        x = image.model.run(x, point.layer - 1, point.layer)

        image.model.check_activation(point.layer, x.shape, str(x.dtype))
        assert 4 * prod(x.shape) < point.frame_bytes["raw"] < 4 * prod(x.shape) + 100
        assert prod(x.shape) < point.frame_bytes["int8"] < prod(x.shape) + 4 * x.shape[1] + 100
    assert [point.layer for point in image.card.points] == list(LAYERS[1:])


@pytest.mark.parametrize(
    ("layer", "shape"), [(1, (1, 16, 12544)), (1, (2, 16, 112, 112)), (16, (1, 320, 7, 8))]
)
def test_an_activation_of_another_shape_is_refused(image: Bundle, layer: int, shape: tuple[int, ...]):
    with pytest.raises(ShapeError, match=f"after block {layer}"):
        image.model.check_activation(layer, shape, "float32")


def test_the_card_says_that_only_the_end_answers(image: Bundle):
    assert image.card.exits == (16,)
    assert [(route.exits, route.shares, route.accuracy) for route in image.card.routes] == [
        ((16,), (1.0,), 1.0)
    ]
    assert image.model.exit_in(0, 15) is None
    assert image.model.exit_in(15, 16) == 16


def test_late_activations_are_smaller_than_the_image_file(image: Bundle):
    assert all(point.frame_bytes["int8"] < image.card.input_bytes for point in image.card.points[11:15])


def test_the_typical_input_is_as_large_as_the_card_says(image: Bundle, files: dict[str, bytes]):
    samples = list(crops(files, "test"))

    assert image.card.input_bytes == pytest.approx(sum(map(len, samples)) / len(samples), rel=0.02)
    assert len(image.example) == pytest.approx(image.card.input_bytes, rel=0.25)


def test_a_class_has_a_name_of_its_own(image: Bundle):
    assert len(set(image.model.labels)) == 1000
    assert (image.model.labels[985], image.model.labels[134]) == ("daisy", "crane (134)")


def test_samples_carry_the_unsplit_models_answer_in_an_order_that_the_seed_fixes(
    image: Bundle, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(image_module.SPLITS, "test", 1)  # one of each photograph is enough

    samples = image.samples("test", 1)

    assert samples == image.samples("test", 1)
    assert samples != image.samples("test", 2)
    assert sorted(sample.data for sample in samples) == sorted(
        sample.data for sample in image.samples("test", 2)
    )
    assert all(sample.label == likeliest(image, sample.data, 1)[0] for sample in samples)


def test_an_unknown_split_is_refused(image: Bundle):
    with pytest.raises(InputError, match="no split 'dev'; there are train, validation, test, agreement"):
        image.samples("dev", 0)


def test_every_block_of_it_is_profiled(image: Bundle):
    profile = profile_model(image.model, image.example, budget_seconds=0.1)

    assert len(profile.block_seconds) == 16
    assert all(
        seconds > 0 for seconds in (*profile.block_seconds, profile.exit_seconds, profile.preprocess_seconds)
    )


def test_a_bundle_cut_down_to_few_blocks_holds_no_others():
    whole = image_module.load_image()
    last_block = weakref.ref(whole.model.blocks[-1])
    part = dataclasses.replace(whole, model=whole.model.load_range(3))

    del whole
    gc.collect()

    assert last_block() is None
    assert len(part.model.blocks) == 3
