"""Networks that answer after several of their blocks: the text encoder, and any model that can be split."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from tierline_cartography.errors import RecipeError
from tierline_models import Block, Embedding, PooledHead, Split, adapt, pretrained_encoder

Passed = tuple[list[Tensor], list[Tensor]]
"""Per exit the logits (B, C), and the features (B, F) that they were made of."""


class ExitNetwork(nn.Module):
    """Something that answers at several layers; `new` are the parameters that were not pretrained."""

    exits: tuple[int, ...]

    def forward(self, *inputs: Tensor) -> Passed:
        """A batch to what every exit says of it."""
        raise NotImplementedError

    def new(self) -> list[nn.Parameter]:
        """Parameters that start from nothing and so learn faster."""
        raise NotImplementedError


class MeanHead(nn.Module):
    """Averages over the words, and classifies the average; all that exits of a bundle do."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.head = PooledHead(width, classes)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """(B, T, H) and where words are (B, T) to logits (B, C) and features (B, H)."""
        features = (x.float() * (mask / mask.sum(1, keepdim=True)).unsqueeze(-1)).sum(1)
        return self.head(features), features


class AttentiveHead(nn.Module):
    """Looks at the words that matter: few weighted means instead of one, which an early exit gains by.

    It starts as about the plain mean, and learns by `LOOKS` queries of its own what to weigh.
    """

    LOOKS = 4

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, self.LOOKS)
        self.mix = nn.Linear(self.LOOKS * width, width)
        self.head = PooledHead(width, classes)
        with torch.no_grad():
            self.query.weight.normal_(0, 0.05)
            self.mix.weight.copy_(torch.eye(width).repeat(1, self.LOOKS) / self.LOOKS)
            self.mix.bias.zero_()

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """As of `MeanHead`."""
        scores = self.query(x).float().masked_fill(~mask.unsqueeze(-1), float("-inf"))  # (B, T, LOOKS)
        seen = torch.einsum("btk,bth->bkh", scores.softmax(1), x.float()).flatten(1)
        features = self.mix(seen).float()
        return self.head(features), features


class ExitEncoder(ExitNetwork):
    """MiniLM with a head after each of the blocks named; the embedding stays as it was published.

    A frozen embedding makes all seeds share the features before layer 1, and all tiers one word table.
    """

    def __init__(
        self,
        embedding: Embedding,
        blocks: Sequence[Block],
        exits: Sequence[int],
        classes: int,
        *,
        dropout: float,
        adapter: bool,
        attentive: bool = False,
    ) -> None:
        super().__init__()
        if not exits or not set(exits) <= set(range(1, len(blocks) + 1)):
            raise RecipeError(f"exits {list(exits)} are not among the blocks 1 to {len(blocks)}")
        self.exits = tuple(sorted(exits))
        self.embedding = embedding.requires_grad_(False)
        self.blocks = nn.ModuleList(blocks[: self.exits[-1]]).requires_grad_(True)
        if adapter:
            adapt(self.blocks)
        width = self.embedding.words.embedding_dim
        kind = AttentiveHead if attentive else MeanHead
        self.heads = nn.ModuleDict({str(layer): kind(width, classes) for layer in self.exits})
        self.dropout = dropout
        self.adapter = adapter

    def forward(self, *inputs: Tensor) -> Passed:
        """Word pieces (B, T) and where they are (B, T)."""
        ids, mask = inputs
        x = self._drop(self.embedding(ids))
        logits, features = [], []
        for layer, block in enumerate(self.blocks, 1):
            x = self._drop(block(x, mask[:, None, None, :]))
            if layer in self.exits:
                said, seen = self.heads[str(layer)](x, mask)
                logits.append(said)
                features.append(seen)
        return logits, features

    def new(self) -> list[nn.Parameter]:
        """Heads, and adapters."""
        chosen = self.parameters() if self.adapter else self.heads.parameters()
        return [one for one in chosen if one.requires_grad]

    def embedded(self, *inputs: Tensor) -> Tensor:
        """The mean of the embeddings (B, H): all that is known of a text before layer 1."""
        ids, mask = inputs
        weights = (mask / mask.sum(1, keepdim=True)).unsqueeze(-1)
        mean: Tensor = (self.embedding(ids) * weights).sum(1)
        return mean

    def _drop(self, x: Tensor) -> Tensor:
        return functional.dropout(x, self.dropout, self.training)


def make_encoder(
    exits: Sequence[int],
    classes: int,
    *,
    seed: int,
    dropout: float = 0.1,
    adapter: bool = False,
    attentive: bool = False,
) -> ExitEncoder:
    """The published encoder with fresh heads; the seed fixes these."""
    torch.manual_seed(seed)
    embedding, blocks = pretrained_encoder()
    return ExitEncoder(
        embedding, blocks, exits, classes, dropout=dropout, adapter=adapter, attentive=attentive
    )


class SplitExits(ExitNetwork):
    """A model that `split` cut, with a linear head on what leaves each of the layers named.

    Its last exit is the model's own output, (B, classes). What travels is averaged over all places of a
    picture (B, C, H, W) or a sequence (B, T, H) before the head. The weights are the model's own: training
    trains it.
    """

    def __init__(self, split: Split, exits: Sequence[int], classes: int, *, seed: int = 0) -> None:
        super().__init__()
        if not set(exits) <= set(range(1, split.layers)):
            raise RecipeError(f"exits {list(exits)} are not among the layers 1 to {split.layers - 1}")
        torch.manual_seed(seed)
        self.exits = (*sorted(exits), split.layers)
        bounds = (0, *self.exits)
        self.segments = nn.ModuleList(split.segment(a, b) for a, b in pairwise(bounds))
        self.segments.requires_grad_(True)
        self.heads = nn.ModuleList(nn.LazyLinear(classes) for _ in exits)
        with torch.no_grad():
            logits, _ = self(*split.example[0])  # gives the heads their sizes
        if logits[-1].ndim != 2 or logits[-1].shape[1] != classes:
            raise RecipeError(f"the model returns {tuple(logits[-1].shape)}, not (B, {classes}) logits")

    def forward(self, *inputs: Tensor) -> Passed:
        """What the model itself takes."""
        carried: Tensor | tuple[Tensor, ...] = inputs
        logits, features = [], []
        for segment, head in zip(self.segments, [*self.heads, None], strict=True):
            carried = segment(*carried) if isinstance(carried, tuple) else segment(carried)
            first = carried[0] if isinstance(carried, tuple) else carried
            features.append(_averaged(first.float()))
            logits.append(features[-1] if head is None else head(features[-1]))
        return logits, features

    def new(self) -> list[nn.Parameter]:
        """The heads."""
        return list(self.heads.parameters())


def _averaged(x: Tensor) -> Tensor:
    match x.ndim:
        case 2:
            return x
        case 3:
            return x.mean(1)
        case 4:
            return x.mean((2, 3))
        case _:
            return x.flatten(1)
