"""The text workload's encoder as it was published, for whoever wants to train it.

Its modules are imported when asked for, so that a node that runs photographs loads no tokenizer.
"""

from typing import TYPE_CHECKING

from tierline_models.fetch import fetch
from tierline_models.minilm import Block, Embedding, load_encoder

if TYPE_CHECKING:
    from tokenizers import Tokenizer


def pretrained_encoder() -> tuple[Embedding, list[Block]]:
    """MiniLM-L6's embedding and its six blocks; fetched at the first call."""
    from tierline_models.text import MINILM

    return load_encoder(fetch(MINILM) / "model.safetensors")


def pretrained_tokenizer() -> "Tokenizer":
    """The word pieces that go with it, cut at 128 pieces, not padded; fetched at the first call."""
    from tierline_models.text import MINILM, load_input

    return load_input(fetch(MINILM) / "tokenizer.json").encoder
