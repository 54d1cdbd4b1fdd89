"""Blocks as ONNX: what onnxruntime makes of them is what torch makes of them, within a bound."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.models.onnxes import Written, as_tuple, relative
from tests.models.real import REAL
from tests.models.zoo import ZOO, decoder, unet
from tierline_models import SplitError, split
from tierline_models.graphs.build import Range, make_range
from tierline_models.graphs.capture import capture
from tierline_models.graphs.source import GraphSource

BOUND = 1e-4  # of the largest value: docs/splitting.md has what is measured


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


def written(folder: Path, model: nn.Module, inputs: tuple[Tensor, ...], **how: Any) -> tuple[Any, Written]:
    cut = split(model, inputs, **how)
    assert isinstance(cut.source, GraphSource)
    weights = cut.source.weights.on(torch.device("cpu"), cut.source.weights.names)
    return cut, Written(folder, cut.source.program, weights, inputs)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("name", [*ZOO, *REAL])
def test_onnx_blocks_equal_torch_at_every_point_at_other_batches_too(name: str, tmp_path: Path) -> None:
    model, inputs = (ZOO | REAL)[name]()
    cut, onnx = written(tmp_path, model, inputs, every=True)
    blocks = [onnx.block(cut.source.range(layer, layer + 1)) for layer in range(cut.layers)]
    for batch in (1, 3):
        torches = as_tuple([torch.cat([one] * batch) for one in inputs])
        carried = tuple(one.numpy() for one in torches)
        with torch.no_grad():
            for block, segment in zip(blocks, cut.blocks, strict=True):
                torches, carried = as_tuple(segment(torches)), block(*carried)
                assert relative(carried, torches) <= BOUND


@pytest.mark.parametrize("length", [2, 40])
def test_a_sequence_of_any_length_needs_no_other_file(length: int, tmp_path: Path) -> None:
    model, inputs = decoder()
    cut, onnx = written(tmp_path, model, inputs)
    ids = torch.randint(0, 100, (2, length))
    for k in (0, len(cut.points) // 2):
        head, tail = cut.source.range(0, k + 1), cut.source.range(k + 1, cut.layers)
        answer = onnx.block(tail)(*onnx.block(head)(ids.numpy()))
        with torch.no_grad():
            assert relative(answer, (model(ids),)) <= BOUND


def test_any_onnx_tool_finds_the_weights_in_the_bundles_own_file(tmp_path: Path) -> None:
    model, inputs = unet()
    cut, onnx = written(tmp_path, model, inputs)
    (tmp_path / "whole.onnx").write_bytes(onnx.model(cut.source.range(0, cut.layers)))

    session = onnxruntime.InferenceSession(str(tmp_path / "whole.onnx"))
    answer = session.run(None, {"x": inputs[0].numpy()})

    with torch.no_grad():
        assert relative(answer, (model(*inputs),)) <= BOUND
    assert os.path.getsize(tmp_path / "whole.onnx") < 20_000 < os.path.getsize(tmp_path / "w.st")


class Calling(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *given: Tensor) -> Any:
        return self.function(*given)


def _ids() -> Tensor:
    return torch.tensor([[3, 0, 2], [1, 1, 0]])


def _plane() -> Tensor:
    return torch.randn(2, 4, 6, 6)


FUNCTIONS: dict[str, tuple[Callable[..., Any], Callable[[], Any]]] = {
    "arithmetic": (lambda x: (x + 2) * 3 - x / 4 + torch.add(x, x, alpha=0.5) - torch.rsub(x, 1), _plane),
    "whole and real numbers": (lambda n: n * 0.5 + torch.true_divide(n, 4) + n.float().pow(2), _ids),
    "comparisons": (lambda x: ((x > 0) & (x <= 1) | (x == 0), x != 0, ~(x < 0), x >= 0.5), _plane),
    "choices": (lambda x: torch.where(x > 0, x, 0.5) + x.masked_fill(x < 0, -1.0), _plane),
    "functions": (
        lambda x: torch.exp(x) + torch.log(x.abs() + 1) + x.tanh() + torch.erf(x) + x.sin() + x.cos(),
        _plane,
    ),
    "roots": (lambda x: torch.rsqrt(x.abs() + 1) + torch.sqrt(x.abs()) + x.square().reciprocal(), _plane),
    "rounding": (lambda x: x.floor() + x.ceil() + x.round() + x.sign() - x.neg(), _plane),
    "gates": (
        lambda x: functional.silu(x) + functional.mish(x) + functional.hardswish(x) + functional.elu(x),
        _plane,
    ),
    "more gates": (
        lambda x: functional.hardsigmoid(x) + functional.leaky_relu(x, 0.2) + functional.relu6(x),
        _plane,
    ),
    "gelu by tanh": (lambda x: functional.gelu(x, approximate="tanh"), _plane),
    "limits": (lambda x: x.clamp(-0.5, 0.5) + x.clamp_min(0.1) + x.clamp(max=0.2), _plane),
    "reductions": (
        lambda x: (
            x.sum((1, 3)),
            x.amax(2, keepdim=True),
            x.amin(1),
            x.mean((2, 3), keepdim=True),
            x.argmax(1),
        ),
        _plane,
    ),
    "running sums": (lambda x: torch.cumsum(x, 1) + functional.log_softmax(x, -1), _plane),
    "cuts": (
        lambda x: (x[:, 1:3], x[..., ::2], x[:, -1], *x.split([1, 3], 1), *x.unbind(2)[:2], *x.chunk(3, 3)),
        _plane,
    ),
    "joins": (lambda x: (torch.stack([x, x], 1), torch.cat([x, x], -1)), _plane),
    "views": (
        lambda x: (x.flatten(1), x.flatten(1, 2), x.permute(0, 2, 3, 1), x.unflatten(1, (2, 2)), x.mT),
        _plane,
    ),
    "sizes": (lambda x: (x.view(x.shape[0] * 2, -1), x.new_full((x.shape[2], 3), 2.0), x.squeeze(1)), _plane),
    "repeats": (lambda x: (x.repeat(1, 1, 2, 1), x[:, :1].expand(-1, 4, -1, -1)), _plane),
    "constants": (
        lambda x: (
            torch.arange(x.shape[0]),
            torch.ones_like(x),
            torch.zeros(x.shape[0], 2),
            torch.tensor(2.5),
        ),
        _plane,
    ),
    "look-ups": (
        lambda n: (torch.arange(8.0).reshape(4, 2)[n], torch.gather(n, 1, n.clamp(max=2)), n.to(torch.int32)),
        _ids,
    ),
    "triangles": (lambda x: torch.tril(x, -1) + torch.triu(x, 1), _plane),
    "zero padding": (lambda x: functional.pad(x, (1, 2, 0, 1), value=0.5), _plane),
    "reflected padding": (lambda x: functional.pad(x, (1, 2, 2, 1), "reflect"), _plane),
    "repeated padding": (lambda x: functional.pad(x, (1, 2, 2, 1), "replicate"), _plane),
    "pools": (lambda x: (functional.avg_pool2d(x, 2), functional.max_pool2d(x, 3, 2, 1)), _plane),
    "windows over the edge": (lambda x: functional.max_pool2d(x, 3, 2, ceil_mode=True), _plane),
    "nearest": (lambda x: functional.interpolate(x, scale_factor=2), _plane),
    "bilinear": (lambda x: functional.interpolate(x, (9, 5), mode="bilinear"), _plane),
    "shuffled pixels": (lambda x: functional.pixel_shuffle(x, 2), _plane),
    "norms": (
        lambda x: functional.layer_norm(x, (6, 6)) + functional.batch_norm(x, x.new_zeros(4), x.new_ones(4)),
        _plane,
    ),
    "products": (lambda x: (x @ x, torch.bmm(x[0], x[1]), torch.addmm(x[0, 0], x[0, 1], x[0, 2])), _plane),
    "attention": (
        lambda x: functional.scaled_dot_product_attention(x, x, x, x[..., :6] > 0, scale=0.3),
        lambda: torch.randn(2, 4, 6, 6),
    ),
}


@pytest.mark.parametrize("what", FUNCTIONS)
def test_what_an_operator_becomes_computes_the_same(what: str, tmp_path: Path) -> None:
    function, make = FUNCTIONS[what]
    given = make()
    part, onnx = whole(tmp_path, Calling(function), given)

    with torch.no_grad():
        assert relative(onnx.block(part)(given.numpy()), as_tuple(function(given))) <= BOUND


def whole(folder: Path, model: nn.Module, given: Tensor) -> tuple[Range, Written]:
    captured = capture(model.eval(), [given])
    program = captured.program
    onnx = Written(folder, program, captured.weights, [given])
    return make_range(program.inputs, program.calls, program.outputs, program.structure), onnx


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: torch.fft.rfft2(x).abs(), r"aten\.fft_\w+\.default .* cannot be written as ONNX by this"),
        (lambda x: functional.adaptive_avg_pool2d(x, 3), "with more than one place; pool to 1"),
        (lambda x: functional.interpolate(x, (9, 5), mode="bilinear", align_corners=True), "aligned corners"),
    ],
)
def test_what_has_no_onnx_here_is_named_in_one_sentence(
    function: Callable[..., Any], says: str, tmp_path: Path
) -> None:
    part, onnx = whole(tmp_path, Calling(function), _plane())

    with pytest.raises(SplitError, match=says) as caught:
        onnx.model(part)
    assert "\n" not in str(caught.value)
    assert "run it with torch" in str(caught.value)


def test_an_input_of_another_shape_than_the_graph_allows_ends_in_an_error(tmp_path: Path) -> None:
    model, inputs = unet()
    cut, onnx = written(tmp_path, model, inputs)

    with pytest.raises(Exception, match="Conv node"):
        onnx.block(cut.source.range(0, 1))(np.zeros((1, 5, 32, 32), np.float32))
