import random
from importlib.resources import files

import pytest
import torch
from torch import nn

from tierline_models.lora import RANK, LoraLinear, adapt, adapter_state, merge
from tierline_models.minilm import Block, Embedding
from tierline_models.train_exits import soft_target
from tierline_models.training import Example, ExitStack, Settings, batches, train

SETTINGS = Settings(epochs=3, batch=4)


@pytest.fixture(scope="module")
def encoder() -> dict[str, torch.Tensor]:
    """Random weights of a two-block encoder: training must work, not be any good."""
    torch.manual_seed(0)
    return {"embedding": Embedding().state_dict(), "blocks": nn.ModuleList([Block(), Block()]).state_dict()}


def make_stack(encoder: dict[str, dict[str, torch.Tensor]]) -> ExitStack:
    embedding, blocks = Embedding(), nn.ModuleList([Block(), Block()])
    embedding.load_state_dict(encoder["embedding"])
    blocks.load_state_dict(encoder["blocks"])
    torch.manual_seed(1)
    return ExitStack(embedding, list(blocks), (1, 2), 2)


def make_examples() -> list[Example]:
    """Texts of several lengths; the class is that of their second word piece."""
    return [
        Example((101, 2000 + positive, *range(3000, 3000 + extra), 102), (1.0 - positive, float(positive)))
        for extra in range(6)
        for positive in (0, 1)
    ]


def test_the_same_seed_gives_the_same_weights_and_the_loss_falls(encoder):
    states = []
    for _ in range(2):
        stack = make_stack(encoder)
        before = _loss(stack)
        train(stack, make_examples(), SETTINGS, lambda step, steps, loss: None)
        states.append(stack.state_dict())
        assert _loss(stack) < before

    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def _loss(stack: ExitStack) -> float:
    from tierline_models.training import _loss as loss

    with torch.no_grad():
        return float(loss(stack, make_examples()))


def test_only_adapters_and_heads_are_trained(encoder):
    stack = make_stack(encoder)

    trained = {name for name, parameter in stack.named_parameters() if parameter.requires_grad}

    assert all(name.startswith("heads.") or name.endswith((".up", ".down")) for name in trained)
    assert len(trained) == 2 * 6 * 2 + 2 * 2  # blocks, linear layers, sides; heads, weight and bias


def test_a_batch_of_unequal_texts_answers_as_each_text_does_alone(encoder):
    stack = make_stack(encoder).eval()
    short, long = torch.tensor([[101, 2000, 102]]), torch.tensor([[101, 2001, 3000, 3001, 102]])
    ids = torch.zeros(2, 5, dtype=torch.long)
    ids[0, :3], ids[1] = short, long

    together = stack(ids, ids != 0)

    for index, alone in enumerate((short, long)):
        for ours, theirs in zip(together, stack(alone, alone != 0), strict=True):
            torch.testing.assert_close(ours[index], theirs[0])


def test_every_example_is_dealt_once_into_batches_of_about_equal_length():
    source = random.Random(0)
    examples = [Example((1,) * source.randint(3, 60), (1.0, 0.0)) for _ in range(100)]

    dealt = batches(examples, 8, random.Random(1))

    assert sorted(id(one) for batch in dealt for one in batch) == sorted(map(id, examples))
    spread = [max(len(one.ids) for one in batch) - min(len(one.ids) for one in batch) for batch in dealt]
    assert max(spread) < 20
    assert dealt != batches(examples, 8, random.Random(2))


def test_an_adapter_starts_as_nothing_and_merges_into_what_it_was():
    torch.manual_seed(0)
    plain, adapted = Block(), Block()
    adapted.load_state_dict(plain.state_dict())
    adapt([adapted])
    x = torch.randn(1, 5, 384)
    torch.testing.assert_close(adapted(x), plain(x))
    layers = [layer for layer in adapted.children() if isinstance(layer, LoraLinear)]
    for layer in layers:
        nn.init.normal_(layer.up, std=0.1)

    merge([plain], adapter_state([adapted]))

    assert len(layers) == 6
    assert layers[0].down.shape == (RANK, 384)
    torch.testing.assert_close(adapted(x), plain(x), rtol=1e-4, atol=1e-4)


def test_an_adapter_that_lacks_a_layer_does_not_merge():
    with pytest.raises(KeyError):
        merge([Block()], {})


def test_a_lukewarm_review_is_a_soft_target():
    assert soft_target(0.0) == (0.5, 0.5)
    assert soft_target(-3.0)[0] > 0.98
    assert sum(soft_target(1.3)) == pytest.approx(1.0)


def test_what_training_ships_is_at_most_a_megabyte():
    data = files("tierline_models").joinpath("data")

    for name in ("text_exits.safetensors", "text_exits.json", "sst2_hashes.txt"):
        assert 0 < len(data.joinpath(name).read_bytes()) <= 1_000_000
