"""Real weights: split as a user would split them, without the hand-made blocks."""

import pytest
import torch
from torch import Tensor, nn

import tierline
from tierline_models import Bundle, load_bundle


class Whole(nn.Module):
    """A built-in bundle as one module, with its last exit."""

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        self.blocks = bundle.model.blocks
        self.head = bundle.model.exits[len(self.blocks)].head

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return self.head(x)


@pytest.mark.timeout(180)
@pytest.mark.parametrize(("name", "at_least"), [("text", 6), ("image", 16)])
def test_models_with_real_weights_are_cut_where_we_cut_them_by_hand(name: str, at_least: int) -> None:
    bundle = load_bundle(name)
    model = Whole(bundle).eval()
    cut = tierline.split(model, bundle.model.preprocess(bundle.example))

    assert len(cut.points) >= at_least
    assert cut.differences() == [0.0] * len(cut.points)
    assert all(len(point.tensors) == 1 for point in cut.points)


@pytest.mark.timeout(180)
def test_an_encoder_split_once_takes_texts_of_any_length() -> None:
    bundle = load_bundle("text")
    model = Whole(bundle).eval()
    cut = tierline.split(model, bundle.model.preprocess(bundle.example))
    with torch.no_grad():
        for text in (b"good", b"a gorgeous, witty, seductive film that never outstays its welcome"):
            x = bundle.model.preprocess(text)
            for k in (0, len(cut.points) // 2, -1):
                assert torch.equal(cut.tail(k)(cut.head(k)(x)), model(x))
