import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tierline_models import ActivationError, BundleError, SegmentedModel, ShapeError
from tierline_models.segmented import Exit
from tierline_models.served import alone


class Add(nn.Module):
    """A block that can be followed by hand."""

    def __init__(self, amount: float) -> None:
        super().__init__()
        self.amount = nn.Parameter(torch.tensor(amount))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.amount


@pytest.fixture
def model() -> SegmentedModel:
    """Four blocks that add 1, 10, 100, 1000; exits after 2 and 4 whose logits are the activation itself."""
    return SegmentedModel(
        blocks=[Add(10.0**power) for power in range(4)],
        exits={4: Exit(head=nn.Identity()), 2: Exit(head=nn.Identity(), temperature=2.0)},
        labels=("left", "right"),
        travelling=[alone((1, range(2, 4)))] * 4,
        preprocess=lambda data: torch.tensor([[float(len(data)), 0.0]]),
    )


def test_a_range_runs_its_blocks_and_no_others(model: SegmentedModel):
    assert model.run(torch.zeros(1, 2), 1, 3).tolist() == [[110.0, 110.0]]


def test_an_empty_range_returns_the_sample_as_it_came(model: SegmentedModel):
    x = torch.ones(1, 2)

    assert model.run(x, 2, 2) is x


@pytest.mark.parametrize(("first", "last"), [(-1, 2), (3, 2), (0, 5)])
def test_a_range_that_the_node_does_not_hold_is_refused(model: SegmentedModel, first: int, last: int):
    with pytest.raises(BundleError, match="blocks 1 to 4"):
        model.run(torch.zeros(1, 2), first, last)


@pytest.mark.parametrize(
    ("first", "last", "layer"), [(0, 1, None), (0, 2, 2), (0, 3, 2), (0, 4, 4), (2, 3, None), (2, 4, 4)]
)
def test_a_range_answers_at_its_last_exit(model: SegmentedModel, first: int, last: int, layer: int | None):
    x, answer = model.run_with_exit(torch.zeros(1, 2), first, last)

    assert torch.equal(x, model.run(torch.zeros(1, 2), first, last))
    assert (answer.layer if answer else None) == layer


def test_the_answer_is_the_likeliest_class_with_its_calibrated_probability(model: SegmentedModel):
    answer = model.exit(2, torch.tensor([[1.0, 3.0]]))

    assert answer.label == "right"
    assert answer.logits == (1.0, 3.0)
    assert answer.confidence == pytest.approx(0.7310586, abs=1e-6)  # of a difference of 2 at temperature 2


def test_a_layer_without_an_exit_gives_no_answer(model: SegmentedModel):
    with pytest.raises(BundleError, match=r"no exit after block 3.*\[2, 4\]"):
        model.exit(3, torch.zeros(1, 2))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_activation_that_holds_no_numbers_is_refused(model: SegmentedModel, value: float):
    with pytest.raises(ActivationError, match="not finite"):
        model.exit(2, torch.tensor([[0.0, value]]))


def test_the_whole_model_is_its_blocks_and_its_last_exit(model: SegmentedModel):
    assert model.unsplit(model.preprocess(b"abc")).tolist() == [[1114.0, 1111.0]]


def test_no_gradient_is_kept(model: SegmentedModel):
    assert model.run(torch.zeros(1, 2), 0, 4).is_inference()
    assert not any(block.training for block in model.blocks)


def test_a_limited_node_holds_only_its_blocks(model: SegmentedModel):
    limited = model.load_range(3)

    assert len(limited.blocks) == 3
    assert list(limited.exits) == [2]
    with pytest.raises(BundleError, match="blocks 1 to 3"):
        limited.run(torch.zeros(1, 2), 0, 4)


@pytest.mark.parametrize("max_layer", [0, 5])
def test_a_limit_outside_of_the_model_is_refused(model: SegmentedModel, max_layer: int):
    with pytest.raises(BundleError, match="blocks 1 to 4"):
        model.load_range(max_layer)


@pytest.mark.parametrize("shape", [(1, 2), (1, 3)])
def test_an_activation_that_fits_is_let_through(model: SegmentedModel, shape: tuple[int, ...]):
    model.check_activation(2, shape, "float32")
    model.check_activation(2, shape, "torch.float32")


@pytest.mark.parametrize(
    ("layer", "shape", "dtype"),
    [
        (2, (1, 1), "float32"),
        (2, (1, 4), "float32"),
        (2, (2, 2), "float32"),
        (2, (1, 2, 1), "float32"),
        (2, (), "float32"),
        (2, (1, 2), "float64"),
        (0, (1, 2), "float32"),
        (5, (1, 2), "float32"),
        (-1, (1, 2), "float32"),
    ],
)
def test_an_activation_that_does_not_fit_is_refused(
    model: SegmentedModel, layer: int, shape: tuple[int, ...], dtype: str
):
    with pytest.raises(ShapeError):
        model.check_activation(layer, shape, dtype)


def test_the_refusal_says_what_came_and_what_is_taken(model: SegmentedModel):
    with pytest.raises(ShapeError, match=r"after block 2 is float32 of shape \(1, 9\).*\(1, 2 to 3\) there"):
        model.check_activation(2, (1, 9), "float32")


@pytest.mark.parametrize("kind", [np.int8, np.uint8])
def test_codes_times_scales_are_numpys_bit_for_bit(model: SegmentedModel, kind: type):
    random = np.random.default_rng(1)
    codes = random.integers(np.iinfo(kind).min, np.iinfo(kind).max, (40, 100)).astype(kind)
    scales = random.normal(size=40).astype(np.float32)
    codes.flags.writeable = False  # as what came over a network is
    out = np.empty(codes.shape, np.float32)

    assert model.scale_rows is not None
    model.scale_rows(codes, scales, out)

    assert out.tobytes() == np.multiply(codes, scales[:, None], dtype=np.float32).tobytes()
