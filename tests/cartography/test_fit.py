import copy
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from tierline_cartography import (
    DataError,
    Examples,
    ExitNetwork,
    Recipe,
    RecipeError,
    RecordError,
    SplitExits,
    TrainingError,
    answer,
    examples_of,
    fit,
)
from tierline_cartography.training.checkpoint import NAME
from tierline_cartography.training.examples import batches, padded
from tierline_cartography.training.loss import exit_weights, joint_loss
from tierline_cartography.training.networks import AttentiveHead, ExitEncoder
from tierline_models import Block, Embedding, split

RECIPE = Recipe(epochs=3, batch=8, rate=5e-3, head_rate=5e-3, precision="fp32")


def pictures(count: int = 48) -> list[tuple[torch.Tensor, int]]:
    """Noise, reddish or bluish: small images with a class."""
    torch.manual_seed(0)
    images = torch.rand(count, 3, 8, 8)
    for number in range(count):
        images[number, 2 * (number % 2)] += 0.7
    return [(image, number % 2) for number, image in enumerate(images)]


def make_network(seed: int = 0) -> tuple[nn.Module, SplitExits]:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32, 2),
    ).eval()  # fmt: skip
    cut = split(model, torch.rand(2, 3, 8, 8))
    return model, SplitExits(cut, [1], 2, seed=seed)


@pytest.fixture
def data() -> tuple[Examples, Examples]:
    made = pictures()
    return examples_of(made[:32], classes=2), examples_of(made[32:], classes=2)


def test_any_split_model_learns_from_pictures_at_every_exit(data):
    model, network = make_network()
    before = [one.clone() for one in model.parameters()]

    dynamics = fit(network, *data, replace(RECIPE, epochs=12))

    said = answer(network, data[1], RECIPE)
    assert said.logits.shape == (2, 16, 2)
    assert (said.logits.argmax(-1) == data[1].labels).mean(1).min() >= 0.9
    assert dynamics.train.shape == (12, 2, 32)
    assert dynamics.validation.shape == (12, 2, 16)
    assert dynamics.train[-1].mean() > dynamics.train[0].mean()
    assert not all(
        torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)
    )  # its own weights


def test_the_dynamics_are_the_probability_of_the_true_label(data):
    _, network = make_network()

    dynamics = fit(network, *data, RECIPE)

    logits = answer(network, data[1], RECIPE).logits
    odds = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    truth = np.take_along_axis(odds, data[1].labels[None, :, None], -1)[..., 0]
    np.testing.assert_allclose(dynamics.validation[-1], truth, atol=2e-3)
    assert (dynamics.validation_correct[-1] == (logits.argmax(-1) == data[1].labels)).all()


class KilledError(Exception):
    """Stands for a kill: nothing of the run's state is kept but what is on disk."""


@pytest.mark.parametrize("at", [3, 4, 7])
def test_a_killed_run_goes_on_to_the_same_weights(data, tmp_path, at):
    network = {name: make_network()[1] for name in ("whole", "killed", "resumed")}
    expected = fit(network["whole"], *data, RECIPE)
    steps = []

    def die(progress) -> None:
        if progress.step == at + 1:
            raise KilledError

    with pytest.raises(KilledError):
        fit(network["killed"], *data, RECIPE, folder=tmp_path, report=die, checkpoint_seconds=0.0)
    half_written = tmp_path / f".{NAME}.4711"
    half_written.write_bytes(b"\x00")
    found = fit(
        network["resumed"],
        *data,
        RECIPE,
        folder=tmp_path,
        report=lambda progress: steps.append(progress.step),
    )

    assert steps[0] == at + 1
    assert not half_written.exists()
    for one, other in zip(network["whole"].parameters(), network["resumed"].parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    assert (found.train == expected.train).all()
    assert (found.validation == expected.validation).all()


def test_progress_tells_steps_and_time_left(data):
    told = []

    fit(make_network()[1], *data, RECIPE, report=told.append)

    assert [one.step for one in told] == list(range(1, 13))
    assert {one.steps for one in told} == {12}
    assert told[-1].seconds_left == 0
    assert all(one.seconds_left >= 0 for one in told)


def test_a_checkpoint_of_another_run_and_a_damaged_one_are_refused(data, tmp_path):
    fit(make_network()[1], *data, replace(RECIPE, epochs=1), folder=tmp_path)

    with pytest.raises(RecordError, match="is of another run"):
        fit(make_network()[1], *data, replace(RECIPE, epochs=1, seed=1), folder=tmp_path)
    (tmp_path / NAME).write_bytes(b"\x00" * 100)
    with pytest.raises(RecordError, match="is damaged"):
        fit(make_network()[1], *data, replace(RECIPE, epochs=1), folder=tmp_path)


def test_a_full_disk_leaves_the_checkpoint_before(data, tmp_path, monkeypatch):
    fit(make_network()[1], *data, replace(RECIPE, epochs=1), folder=tmp_path)
    kept = (tmp_path / NAME).read_bytes()

    def full(*_args, **_options) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tierline_cartography.training.checkpoint.save_file", full)
    (tmp_path / NAME).unlink()
    (tmp_path / NAME).write_bytes(kept)
    with pytest.raises(TrainingError, match="make room and run the same command again"):
        fit(make_network()[1], *data, replace(RECIPE, epochs=1), folder=tmp_path / "other")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [NAME]


def test_a_loss_that_is_no_number_ends_the_run_at_once(data, tmp_path):
    with pytest.raises(
        TrainingError, match=r"the loss is (nan|inf) at step \d+: nothing of this step was kept"
    ):
        fit(make_network()[1], *data, replace(RECIPE, rate=1e30, head_rate=1e30), folder=tmp_path)


def wrong_inputs() -> Iterator[tuple[list[tuple[torch.Tensor, int]], str]]:
    yield [(torch.zeros(2), 0), (torch.zeros(2), 2)], "label 2; there are classes 0 to 1"
    yield [(torch.zeros(2), 0), (torch.zeros(3), 1)], r"input 2 is \(3,\), the first \(2,\)"
    yield [(torch.zeros(2), 0), (torch.full((2,), torch.nan), 1)], "input 2 holds values that are not finite"
    yield [(torch.zeros(2), 0), (torch.zeros(2), 0)], "of one class"


@pytest.mark.parametrize(("pairs", "complaint"), list(wrong_inputs()))
def test_inputs_that_cannot_be_learned_from_are_refused(pairs, complaint):
    with pytest.raises(DataError, match=complaint):
        examples_of(pairs, classes=2)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"batch": 0}, {"distil": 1.0}, {"dropout": -0.1}])
def test_a_recipe_that_no_run_is_possible_with_is_refused(wrong):
    with pytest.raises(RecipeError, match="no run is possible"):
        Recipe(**wrong)


def test_deeper_exits_count_more():
    assert exit_weights((2, 4, 6), Recipe()) == pytest.approx([1 / 6, 2 / 6, 3 / 6])
    assert exit_weights((2, 4, 6), Recipe(weighting="equal")) == pytest.approx([1 / 3] * 3)


def test_the_joint_loss_is_the_weighted_mean_of_cross_entropies():
    logits, target = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]]]), torch.tensor([[1.0, 0.0]])
    early, last = (float(nn.functional.cross_entropy(one, target)) for one in logits)

    both = joint_loss(list(logits), target, (1, 3), Recipe(), 0)

    assert float(both) == pytest.approx(early / 4 + last * 3 / 4)
    alternating = [float(joint_loss(list(logits), target, (1, 3), Recipe(alternate=True), n)) for n in (0, 1)]
    assert alternating == pytest.approx([last, float(both)])


def test_distillation_draws_early_exits_to_the_last_and_leaves_the_last_alone():
    target = torch.tensor([[1.0, 0.0]])
    early, last = torch.zeros(1, 2, requires_grad=True), torch.tensor([[0.0, 3.0]], requires_grad=True)

    joint_loss([early, last], target, (1, 2), Recipe(distil=0.9), 0).backward()
    drawn, alone = early.grad[0, 0].item(), last.grad.clone()
    early.grad = last.grad = None
    joint_loss([early, last], target, (1, 2), Recipe(), 0).backward()

    assert drawn > 0 > early.grad[0, 0].item()
    torch.testing.assert_close(alone, last.grad)


def tiny_encoder(*, adapter: bool = False, attentive: bool = False) -> ExitEncoder:
    torch.manual_seed(0)
    blocks = [Block(), Block()]
    return ExitEncoder(Embedding(), blocks, (1, 2), 2, dropout=0.1, adapter=adapter, attentive=attentive)


def texts() -> Examples:
    ids = [(101, 2000 + number % 2, *range(3000, 3000 + number % 5), 102) for number in range(12)]
    labels = np.arange(12) % 2
    return Examples(
        inputs=ids,
        labels=labels,
        targets=np.eye(2, dtype=np.float32)[labels],
        collate=padded,
        lengths=np.array([len(one) for one in ids]),
    )


@pytest.mark.parametrize("adapter", [False, True])
def test_the_encoder_learns_whole_or_by_adapters_and_keeps_its_embedding(adapter):
    network = tiny_encoder(adapter=adapter)
    before = copy.deepcopy(network.state_dict())

    fit(network, texts(), texts(), Recipe(epochs=1, batch=6))

    changed = {name for name, one in network.state_dict().items() if not torch.equal(one, before[name])}
    assert not any(name.startswith("embedding.") for name in changed)
    frozen = {name for name in before if ".frozen." in name}
    assert not changed & frozen
    assert ("blocks.0.query.down" in changed) == adapter == bool(frozen)
    assert {"heads.1.head.classify.weight", "heads.2.head.classify.weight"} <= changed


@pytest.mark.parametrize("attentive", [False, True])
def test_a_text_in_a_batch_is_answered_as_it_is_alone(attentive):
    network, examples = tiny_encoder(attentive=attentive), texts()
    exact = Recipe(precision="fp32")

    together = answer(network, examples, exact)
    alone = [answer(network, _only(examples, place), exact).logits[:, 0] for place in range(len(examples))]

    np.testing.assert_allclose(together.logits, np.stack(alone, 1), atol=1e-4)
    assert [one.shape for one in together.features] == [(12, 384)] * 2


def test_an_attentive_head_starts_near_the_mean_and_learns_to_look_past_what_does_not_matter():
    torch.manual_seed(0)
    head = AttentiveHead(8, 2)
    words, mask = torch.randn(64, 12, 8), torch.ones(64, 12, dtype=torch.bool)
    mask[:, 10:] = False
    telling = torch.arange(64) % 2
    words[:, :, 0] = 0.0
    words[torch.arange(64), torch.arange(64) % 10, 0] = 6.0 * telling - 3.0  # one word of ten says it

    torch.testing.assert_close(head(words, mask)[1], words[:, :10].mean(1), atol=0.5, rtol=0)
    optimiser = torch.optim.Adam(head.parameters(), lr=0.03)
    for _ in range(150):
        loss = nn.functional.cross_entropy(head(words, mask)[0], telling)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()

    assert (head(words, mask)[0].argmax(-1) == telling).float().mean() == 1.0
    weights = head.query(words).masked_fill(~mask.unsqueeze(-1), float("-inf")).softmax(1).amax(-1)  # (B, T)
    assert (weights.argmax(1) == torch.arange(64) % 10).float().mean() > 0.5
    words[:, 10:] = 1e3  # padding is not looked at
    assert (head(words, mask)[0].argmax(-1) == telling).all()


def _only(examples: Examples, place: int) -> Examples:
    some = slice(place, place + 1)
    return replace(
        examples,
        inputs=examples.inputs[some],
        labels=examples.labels[some],
        targets=examples.targets[some],
        lengths=examples.lengths[some],
    )


def test_every_example_is_dealt_once_a_pass_into_batches_of_about_equal_length():
    examples = texts()

    dealt = batches(examples, 4, (0, 0))

    assert sorted(np.concatenate(dealt)) == list(range(12))
    assert max(np.ptp(examples.lengths[some]) for some in dealt) <= 2
    assert [some.tolist() for some in dealt] != [some.tolist() for some in batches(examples, 4, (0, 1))]


def test_a_network_says_which_exits_it_cannot_have():
    model, _ = make_network()
    cut = split(model, torch.rand(2, 3, 8, 8))

    with pytest.raises(RecipeError, match=r"exits \[9\] are not among"):
        SplitExits(cut, [9], 2)
    with pytest.raises(RecipeError, match=r"not \(B, 5\) logits"):
        SplitExits(cut, [1], 5)
    with pytest.raises(RecipeError, match=r"exits \[3\] are not among the blocks 1 to 2"):
        ExitEncoder(Embedding(), [Block(), Block()], (3,), 2, dropout=0.0, adapter=False)
    assert isinstance(tiny_encoder(), ExitNetwork)
