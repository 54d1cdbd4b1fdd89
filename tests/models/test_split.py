from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torch.nn import functional
from torch.utils._pytree import tree_leaves

import tierline
from tests.models.zoo import ZOO, UNet, decoder, encoder_decoder, resnet50, unet, vit
from tierline_models import Split, SplitError, split

Make = Callable[[], tuple[nn.Module, tuple[Tensor, ...]]]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


def largest_difference(ours: Any, theirs: Any) -> float:
    pairs = zip(tree_leaves(ours), tree_leaves(theirs), strict=True)
    return max(0.0 if torch.equal(a, b) else float((a - b).abs().max()) for a, b in pairs)


def rounds(model: nn.Module, inputs: tuple[Tensor, ...], cut: Split) -> list[float]:
    """The largest difference at each split point, the activation crossing as it would on a wire."""
    with torch.no_grad():
        whole = model(*inputs)
        found = []
        for k in range(len(cut.points)):
            carried = cut.head(k)(*inputs)
            carried = tuple(one.contiguous() for one in carried) if isinstance(carried, tuple) else carried
            found.append(largest_difference(cut.tail(k)(carried), whole))
    return found


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", ZOO)
def test_split_equals_unsplit_bit_for_bit_at_every_point(name: str) -> None:
    model, inputs = ZOO[name]()
    cut = tierline.split(model, inputs, every=True)

    assert len(cut.points) >= 2
    for batch in (1, 3):
        repeated = tuple(torch.cat([one] * batch) for one in inputs)
        assert rounds(model, repeated, cut) == [0.0] * len(cut.points)


@pytest.mark.parametrize("name", ZOO)
def test_blocks_one_after_the_other_equal_the_model(name: str) -> None:
    model, inputs = ZOO[name]()
    with torch.no_grad():
        carried: Any = inputs
        for block in split(model, inputs).blocks:
            carried = block(carried)

        assert largest_difference(carried, model(*inputs)) == 0.0


@pytest.mark.parametrize("length", [2, 5, 40])
def test_sequences_of_other_lengths_need_no_other_split(length: int) -> None:
    model, inputs = decoder()
    cut = split(model, inputs)

    assert rounds(model, (torch.randint(0, 100, (2, length)),), cut) == [0.0] * len(cut.points)


def test_outputs_are_nested_as_the_model_nests_them() -> None:
    model, inputs = encoder_decoder()
    cut = split(model, inputs)

    assert list(cut.tail(0)(cut.head(0)(*inputs))) == ["logits", "memory"]


def test_masks_and_sizes_do_not_travel() -> None:
    cut = split(*decoder())

    assert {len(point.tensors) for point in cut.points} == {1}
    assert {point.bytes for point in cut.points} == {12 * 32 * 4}


def test_a_memory_and_what_is_decoded_travel_together() -> None:
    points = split(*encoder_decoder()).points

    assert [spec.shape for spec in points[-1].tensors] == [(1, 9, 32), (1, 6, 32)]
    assert points[-1].bytes == (9 + 6) * 32 * 4


def test_long_skips_of_a_u_net_travel_with_its_waist() -> None:
    points = split(*unet()).points

    assert max(len(point.tensors) for point in points) >= 2


def test_a_head_takes_its_inputs_by_name_and_a_tail_takes_several_arguments_or_one_tuple() -> None:
    model, (x,) = unet()
    cut = split(model, {"x": x})
    k = next(k for k, point in enumerate(cut.points) if len(point.tensors) > 1)
    with torch.no_grad():
        carried = cut.head(k)(x=x)

        assert torch.equal(cut.tail(k)(*carried), model(x))
        assert torch.equal(cut.tail(k)(carried), model(x))


@pytest.mark.parametrize("make", [resnet50, vit, decoder, unet])
def test_a_segment_holds_the_weights_of_its_range_and_no_others(make: Make) -> None:
    model, inputs = make()
    cut = split(model, inputs)
    used = {id(one) for one in cut.segment(0, cut.layers).state_dict(keep_vars=True).values()}
    for k, point in enumerate(cut.points):
        before = {id(one): one for one in cut.head(k).state_dict(keep_vars=True).values()}
        after = {id(one): one for one in cut.tail(k).state_dict(keep_vars=True).values()}

        assert before.keys() | after.keys() == used
        shared = [one for key, one in before.items() if key in after]
        assert all(one is model.words.weight for one in shared)  # the decoder's table is tied to its end
        assert point.weight_bytes_before == sum(one.nbytes for one in before.values())
        assert point.weight_bytes_after == sum(one.nbytes for one in after.values())


def test_segments_share_the_models_own_weights() -> None:
    model, inputs = vit()
    cut = split(model, inputs)
    own = {one.data_ptr() for one in model.parameters()}

    parts = [cut.head(3), cut.tail(3), cut.segment(2, 5), *cut.blocks]

    assert all(one.data_ptr() in own for part in parts for one in part.parameters())


def test_operations_of_a_linear_layer_are_counted_exactly() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)).eval()
    (point,) = split(model, torch.randn(5, 8)).points

    assert (point.flops_before, point.flops_after) == (2 * 5 * 8 * 16, 2 * 5 * 16 * 4)
    assert (point.weight_bytes_before, point.weight_bytes_after) == (4 * (8 * 16 + 16), 4 * (16 * 4 + 4))
    assert point.bytes == 5 * 16 * 4


def test_in_place_operators_do_not_change_what_was_handed_in() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 3)
    ).eval()
    x = torch.randn(1, 3, 16, 16)
    cut = split(model, x)
    carried = cut.head(0)(x)
    kept = carried.clone()
    cut.tail(0)(carried)

    assert torch.equal(carried, kept)


class Resized(nn.Module):
    """Between its layers a sequence is halved, doubled or gets a token more, and its size is wanted later."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.words, self.places = nn.Embedding(50, 8), nn.Embedding(64, 8)
        self.layers = nn.ModuleList(nn.Linear(8, 8) for _ in range(4))

    def forward(self, ids: Tensor) -> Tensor:
        batch, time = ids.shape
        x = self.layers[0](self.words(ids))
        match self.way:
            case "halved":
                x = functional.avg_pool1d(x.transpose(1, 2), 2).transpose(1, 2)
                x = self.layers[1](x) + self.places(torch.arange(time // 2))
            case "doubled":
                x = self.layers[1](x.repeat_interleave(2, 1))
                x = self.layers[2](torch.relu(x)).reshape(batch, time, 2, 8).sum(2)
            case "one more":
                x = torch.cat([self.places.weight[:1].expand(batch, 1, 8), x], 1)
                x = self.layers[2](self.layers[1](x))
                x = x[:, 1:] + self.places(torch.arange(time))
            case "and back":
                x = functional.avg_pool1d(x.transpose(1, 2), 2).transpose(1, 2)
                x = self.layers[2](self.layers[1](x)).transpose(1, 2)
                x = functional.interpolate(x, size=time).transpose(1, 2)
        return self.layers[3](x)


@pytest.mark.parametrize(
    ("way", "narrowest"), [("halved", (1, 6, 8)), ("doubled", (1, 24, 8)), ("one more", (1, 13, 8))]
)
def test_sizes_are_read_off_multiples_and_fractions_of_what_travels(
    way: str, narrowest: tuple[int, ...]
) -> None:
    model = Resized(way).eval()
    cut = split(model, torch.randint(0, 50, (1, 12)), every=True)

    assert narrowest in [spec.shape for point in cut.points for spec in point.tensors]
    for shape in ((1, 12), (2, 8), (3, 13)):
        assert rounds(model, (torch.randint(0, 50, shape),), cut) == [0.0] * len(cut.points)


def test_where_a_size_cannot_be_known_is_no_split_point() -> None:
    model = Resized("and back").eval()
    cut = split(model, torch.randint(0, 50, (1, 12)), every=True)  # of 6 nobody knows whether it was 12 or 13

    assert {point.tensors[0].shape for point in cut.points} == {(1, 12, 8), (1, 8, 12)}
    fixed = split(model, torch.randint(0, 50, (1, 12)), dynamic={"0": (0,)}, every=True)
    assert (1, 6, 8) in {point.tensors[0].shape for point in fixed.points}


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv1d(8, 16, 3, 2, 1), nn.Conv1d(16, 8, 3, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(self.one(x)).sum(2) / (x.shape[2] // 4)


def test_a_size_that_leaves_no_split_point_is_named() -> None:
    with pytest.raises(SplitError, match=r"needs the size .*x\.shape\[2\].*; fix that dimension"):
        split(Scaled().eval(), torch.randn(2, 8, 32), dynamic={"0": (2,)})

    assert len(split(Scaled().eval(), torch.randn(2, 8, 32)).points) == 1


class InPlace(nn.Module):
    """Changes tensors in place that are read before and after, through a view, a copy or not at all."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.dropout = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        y = self.one(x)
        before = y * 2
        match self.way:
            case "itself":
                y.relu_()
            case "through dropout":
                self.dropout(y).add_(1).relu_()
            case "through a view":
                y.view(-1).mul_(3)
            case "a copy":
                y.clone().add_(1)
            case "seen by a view":
                seen = y.transpose(0, 1)
                y.add_(1)
                before = before + seen.transpose(0, 1)
            case "the input":
                x.add_(1)
                y = y + x
        return self.two(y) + before


WAYS = {
    "itself": 0,
    "through dropout": 0,
    "through a view": 1,
    "a copy": 0,
    "seen by a view": 1,
}


@pytest.mark.parametrize("way", WAYS)
def test_a_model_that_works_in_place_is_split_with_what_it_means(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decompose, decomposed = ExportedProgram.run_decompositions, []
    monkeypatch.setattr(
        ExportedProgram,
        "run_decompositions",
        lambda program, table: (decomposed.append(1), decompose(program, table))[1],
    )
    model, x = InPlace(way).eval(), torch.randn(3, 4)
    cut = split(model, x, every=True)

    assert rounds(model, (x,), cut) == [0.0] * len(cut.points)
    assert len(decomposed) == WAYS[way]  # where views are involved, torch undoes it


def test_a_model_that_changes_its_input_is_refused() -> None:
    with pytest.raises(SplitError, match="changes its own state `x` at every call"):
        split(InPlace("the input").eval(), torch.randn(3, 4))


def test_a_compiled_segment_gives_what_the_eager_one_gives() -> None:
    model, inputs = unet()
    cut = split(model, inputs)
    with torch.no_grad():
        carried = torch.compile(cut.head(1), backend="aot_eager")(*inputs)

        assert torch.allclose(
            torch.compile(cut.tail(1), backend="aot_eager")(carried), model(*inputs), atol=1e-6
        )


@pytest.mark.parametrize("name", ["decoder", "encoder-decoder", "ResNet-50"])
def test_compiled_tails_take_what_eager_heads_give(name: str) -> None:
    model, inputs = ZOO[name]()
    cut = split(model, inputs)
    at = 2 * len(cut.points) // 3  # compiling takes seconds a block
    tail = torch.compile(cut.tail(at), backend="aot_eager")
    with torch.no_grad():
        for batch in (1, 2):
            repeated = tuple(torch.cat([one] * batch) for one in inputs)
            off = largest_difference(tail(cut.head(at)(*repeated)), model(*repeated))
            assert off <= 1e-5 * max(float(one.abs().max()) for one in tree_leaves(model(*repeated)))


def test_the_fused_fast_path_of_torchs_encoder_is_off_by_rounding_and_without_it_nothing_is() -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(64, 4, 128, batch_first=True), 2).eval()
    x = torch.randn(2, 9, 64)
    cut = split(encoder, x)

    assert 0 <= max(cut.differences()) <= 1e-6 * float(cut.example[1][0].abs().max())
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        assert max(split(encoder, x).differences()) == 0.0
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 4), _ByData())

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class _ByData(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Counting(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        self.seen += 1
        return self.two(self.one(x) + self.seen)


@torch.library.custom_op("tierline_tests::twice", mutates_args=())
def _twice(x: Tensor) -> Tensor:
    return x * 2


@_twice.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(torch.ops.tierline_tests.twice(self.one(x)))


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (Branching(), r"cannot trace module 'inner\.1' of Branching .*blocks="),
        (Counting(), r"changes its own state `seen` at every call.*blocks="),
        (Custom(), r"the operator tierline_tests\.twice\.default.*blocks="),
        (nn.Linear(4, 4), "Linear has no useful split point"),
    ],
    ids=["data-dependent", "in-place state", "custom operator", "one layer"],
)
def test_an_odd_model_is_refused_in_one_sentence_with_the_cure(model: nn.Module, says: str) -> None:
    with pytest.raises(SplitError, match=says) as caught:
        split(model.eval(), torch.randn(2, 4))

    assert "\n" not in str(caught.value)


def test_a_model_in_training_mode_is_refused() -> None:
    with pytest.raises(SplitError, match=r"training mode; call `model\.eval\(\)`"):
        split(nn.Linear(4, 4), torch.randn(2, 4))


def test_a_layer_that_is_not_there_is_refused() -> None:
    cut = split(*vit())

    with pytest.raises(SplitError, match="there is no split point 99; this model has"):
        cut.head(99)
    with pytest.raises(SplitError, match="no segment from layer 3 to 3"):
        cut.segment(3, 3)


def test_listed_modules_split_what_cannot_be_traced() -> None:
    model = Branching().eval()
    x = torch.randn(2, 4)
    cut = split(model, x, blocks=["inner.0", "inner.1"])

    assert [(point.layer, point.bytes, point.flops_before) for point in cut.points] == [(1, 32, 64)]
    assert torch.equal(cut.tail(0)(cut.head(0)(x)), model(x))


@pytest.mark.parametrize(
    ("blocks", "says"),
    [
        (["one", "two"], "'two' does not take what block 'one' returns"),
        (["one"], "does not return what the last block, 'one', returns"),
        (["two"], "'two', does not take what the model takes"),
        (["three"], "no module 'three'; at its top are one, two"),
        ([], "lists no module"),
    ],
)
def test_a_list_that_leaves_something_out_is_refused(blocks: list[str], says: str) -> None:
    with pytest.raises(SplitError, match=says):
        split(Custom().eval(), torch.randn(2, 4), blocks=blocks)


def test_a_module_that_runs_twice_cannot_be_a_block() -> None:
    layer = nn.Linear(4, 4)
    with pytest.raises(SplitError, match="runs more than once"):
        split(nn.Sequential(layer, nn.ReLU(), layer).eval(), torch.randn(2, 4), blocks=["0", "1", "2"])


def test_a_wrong_number_of_tensors_is_refused_by_name() -> None:
    cut = split(UNet().eval(), torch.randn(1, 3, 32, 32))

    with pytest.raises(SplitError, match=r"takes 1 tensor \(x\), not 2"):
        cut.head(0)(torch.zeros(1), torch.zeros(1))
