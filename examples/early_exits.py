"""Give an image model early exits, train all of it, and see which pictures are easy."""

import torch
from torch import Tensor, nn

import tierline
from tierline_cartography import Recipe, SplitExits, answer, data_map, examples_of, fit


def stripes(count: int) -> list[tuple[Tensor, int]]:
    """Pictures (1, 16, 16) of stripes, each with noise of its own, and whether they run down."""
    pattern = (torch.arange(16) % 4 < 2).float().expand(16, 16)
    made = []
    for number in range(count):
        clean = pattern if number % 2 else pattern.T
        made.append(((clean + 3 * torch.rand(1) * torch.randn(16, 16)).unsqueeze(0), number % 2))
    return made


torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 8, 3, 2), nn.ReLU(),
    nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(),
    nn.Conv2d(16, 16, 3, 2), nn.ReLU(),
    nn.Flatten(), nn.Linear(144, 2),
)  # fmt: skip
pictures = stripes(600)
train, held_out = examples_of(pictures[:400], classes=2), examples_of(pictures[400:], classes=2)
cut = tierline.split(model.eval(), torch.stack([pictures[0][0], pictures[1][0]]))
network = SplitExits(cut, exits=[1], classes=2)  # after the first of its layers, and at its end
recipe = Recipe(epochs=6, batch=16, rate=3e-3, head_rate=1e-2)
dynamics = fit(network, train, held_out, recipe)

said = answer(network, held_out, recipe).logits.argmax(-1)  # (exits, pictures)
for layer, right in zip(network.exits, (said == held_out.labels).mean(1), strict=True):
    print(f"exit after layer {layer} of {cut.layers}: {right:.1%} right")
found = data_map(dynamics.train[:, 0], dynamics.train_correct[:, 0])
easy = found.correctness == 1  # in every epoch
print(f"easy for the first exit: {easy.mean():.0%} of the pictures it was trained on")
