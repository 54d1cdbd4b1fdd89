"""Segments on a device other than the model's own.

Where there is no GPU, torch's own fake tensors stand in for one: nothing is computed, but every operator of
every segment is dispatched as on CUDA, sizes and dtypes included, and refused where one tensor is elsewhere.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from tests.models.zoo import ZOO, resnet50
from tierline_models import PooledHead, split


class _MovedAsGraphs(TorchFunctionMode):
    """Has `to` go through the operator: the method itself asks for a driver before any fake is asked."""

    def __torch_function__(
        self, func: Callable[..., Any], _types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if func is Tensor.to and isinstance(args[1], torch.device):
            return torch.ops.aten._to_copy(args[0], device=args[1])
        return func(*args, **(kwargs or {}))


@contextmanager
def fake_cuda() -> Iterator[Callable[[Tensor], Tensor]]:
    """A CUDA device that knows shapes only; yields what moves a tensor there."""
    with FakeTensorMode(allow_non_fake_inputs=True), _MovedAsGraphs(), torch.no_grad():
        yield lambda one: torch.empty_like(one, device="cuda")


def devices(module: nn.Module) -> set[str]:
    return {one.device.type for one in module.state_dict().values()}


@pytest.mark.parametrize("name", ZOO)
def test_every_operator_after_every_split_point_finds_all_its_tensors_on_the_device(name: str) -> None:
    model, inputs = ZOO[name]()
    cut = split(model, inputs)
    with torch.no_grad():
        whole = tree_leaves(model(*inputs))
        carried = [cut.head(k)(*inputs) for k in range(len(cut.points))]
    with fake_cuda() as moved:
        for k, one in enumerate(carried):
            tail = cut.tail(k, device="cuda")
            answers = tree_leaves(tail(tree_map(moved, one)))
            assert devices(tail) <= {"cuda"}
            assert [(a.device.type, a.shape, a.dtype) for a in answers] == [
                ("cuda", b.shape, b.dtype) for b in whole
            ]


def test_heads_exits_and_blocks_run_on_the_device_while_others_stay() -> None:
    model, inputs = resnet50()
    cut = split(model, inputs)
    with torch.no_grad():
        width = cut.head(2)(*inputs).shape[1]
    cut.add_exit(2, nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), PooledHead(width, 10)))
    stays = cut.tail(2)
    with fake_cuda() as moved:
        activation = cut.head(2, device="cuda")(*map(moved, inputs))
        exit_head = cut.exit(2, device="cuda")
        assert exit_head(activation).device.type == "cuda"
        assert devices(exit_head) == {"cuda"}
        for block in range(cut.layers - 1):
            activation = moved(cut.example[0][0]) if block == 0 else activation
            activation = cut.segment(block, block + 1, device="cuda")(activation)
        assert activation.device.type == "cuda"
    assert devices(stays) == {"cpu"}


def test_a_tensor_left_behind_is_refused() -> None:
    model, inputs = resnet50()
    cut = split(model, inputs)
    with fake_cuda(), pytest.raises(RuntimeError, match="same device"):
        cut.tail(5, device="cuda")(cut.head(5)(*inputs))


def test_listed_blocks_are_copied_to_a_device_once_and_the_model_stays_where_it_is() -> None:
    shared = nn.Linear(4, 4)
    parts = nn.Linear(4, 4), nn.Sequential(shared, nn.ReLU()), nn.Sequential(shared, nn.Tanh())
    model = nn.Sequential(*parts).eval()
    cut = split(model, torch.randn(2, 4), blocks=["0", "1", "2"])
    tail, last = cut.tail(0, device="meta"), cut.tail(1, device="meta")

    assert devices(tail) == devices(last) == {"meta"}
    assert devices(model) == {"cpu"}
    assert {id(one) for one in last.parameters()} <= {id(one) for one in tail.parameters()}
    assert len(list(tail.parameters())) == 2  # tied weights are still one
    assert torch.equal(cut.tail(0)(cut.head(0)(*cut.example[0])), model(*cut.example[0]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device; see the fake one above")
def test_a_segment_on_a_cuda_device_holds_its_weights_there_and_agrees() -> None:
    model, inputs = resnet50()
    cut = split(model, inputs)
    head, tail = cut.head(5), cut.tail(5, device="cuda")
    with torch.no_grad():
        answer = tail(head(*inputs).cuda())

    assert devices(tail) == {"cuda"}
    assert devices(head) == {"cpu"}
    assert torch.allclose(answer.cpu(), model(*inputs), rtol=1e-3, atol=1e-4)
    again = cut.tail(6, device="cuda")
    ours = {one.data_ptr() for one in tail.state_dict().values()}
    assert {one.data_ptr() for one in again.state_dict().values()} <= ours  # one copy for all segments there
