"""MiniLM-L6, a BERT of six blocks, read from its published weights: knows tensors, not text.

B is the batch, T the word pieces of a text (at most WINDOW), H = 384 the width of the hidden state.
"""

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from tierline_models.errors import BundleError

BLOCKS = 6
HIDDEN = 384
HEADS = 12
INNER = 1536
VOCABULARY = 30_522
POSITIONS = 512
WINDOW = 128  # word pieces; longer texts are cut, as when the encoder was trained
EPSILON = 1e-12

# Our names on the left, the published file's on the right.
_EMBEDDING_NAMES = {
    "words": "embeddings.word_embeddings",
    "positions": "embeddings.position_embeddings",
    "types": "embeddings.token_type_embeddings",
    "norm": "embeddings.LayerNorm",
}
_BLOCK_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "mix": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
    "norm": "output.LayerNorm",
}


class Embedding(nn.Module):
    """Word pieces to hidden states: what each piece is, where it stands and its segment, summed."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, HIDDEN)
        self.positions = nn.Embedding(POSITIONS, HIDDEN)
        self.types = nn.Embedding(2, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN, eps=EPSILON)

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) of int64 to (B, T, H)."""
        places = self.positions.weight[: ids.shape[1]]  # (T, H); there is one segment, number 0
        summed: Tensor = self.norm(self.words(ids) + places + self.types.weight[0])
        return summed


class Block(nn.Module):
    """Self-attention, then two linear layers, each added to its input and normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(HIDDEN, HIDDEN)
        self.key = nn.Linear(HIDDEN, HIDDEN)
        self.value = nn.Linear(HIDDEN, HIDDEN)
        self.mix = nn.Linear(HIDDEN, HIDDEN)
        self.attention_norm = nn.LayerNorm(HIDDEN, eps=EPSILON)
        self.widen = nn.Linear(HIDDEN, INNER)
        self.narrow = nn.Linear(INNER, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN, eps=EPSILON)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """(B, T, H) to (B, T, H); only a batch of unequal texts needs the mask (B, 1, 1, T)."""
        q, k, v = (_heads(project(x)) for project in (self.query, self.key, self.value))
        attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.attention_norm(x + self.mix(attended.transpose(1, 2).flatten(2)))
        y: Tensor = self.norm(x + self.narrow(functional.gelu(self.widen(x))))
        return y


class FirstBlock(nn.Module):
    """The embedding and the block after it: what layer 1 takes to compute."""

    def __init__(self, embedding: Embedding, block: Block) -> None:
        super().__init__()
        self.embedding = embedding
        self.block = block

    def forward(self, ids: Tensor) -> Tensor:
        """(B, T) of int64 to (B, T, H)."""
        hidden: Tensor = self.block(self.embedding(ids))
        return hidden


def load_encoder(path: Path) -> tuple[Embedding, list[Block]]:
    """The encoder with its published weights, which stay in the file until they are used."""
    try:
        published = load_file(path)
        with torch.device("meta"):  # no time spent on random weights that are replaced at once
            embedding, blocks = Embedding(), [Block() for _ in range(BLOCKS)]
        _assign(embedding, published, "", _EMBEDDING_NAMES)
        for index, block in enumerate(blocks):
            _assign(block, published, f"encoder.layer.{index}.", _BLOCK_NAMES)
    except (KeyError, OSError, RuntimeError, SafetensorError) as error:
        raise BundleError(
            f"{path} does not hold MiniLM-L6 ({error}); delete it to have it fetched again"
        ) from error
    return embedding.eval(), [block.eval() for block in blocks]


def _assign(module: nn.Module, published: dict[str, Tensor], prefix: str, names: dict[str, str]) -> None:
    state = {}
    for name in module.state_dict():
        ours, _, kind = name.partition(".")  # `query`, `weight`
        state[name] = published[f"{prefix}{names[ours]}.{kind}"]
    module.load_state_dict(state, assign=True)


def _heads(x: Tensor) -> Tensor:
    """(B, T, H) to (B, HEADS, T, H / HEADS)."""
    return x.view(x.shape[0], x.shape[1], HEADS, HIDDEN // HEADS).transpose(1, 2)
