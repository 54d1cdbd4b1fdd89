"""Text to the numbers of its pieces, by a tokenizer that is data: the JSON of the `tokenizers` library."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tierline_models.arrays import Array, as_tensors
from tierline_models.errors import BundleError, InputError, ModelError

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer
    from torch import Tensor

LONGEST = 20_000  # characters
MOST_PIECES = 65_536
TOKENIZER_BYTES = 64 * 2**20
GIVES = ("ids", "mask", "types")


@dataclass(frozen=True, slots=True, kw_only=True)
class TextInput:
    """How UTF-8 text becomes what a model takes: at most `longest` pieces, in a batch of one.

    `gives` says what each of the model's inputs is, in their order: the pieces' numbers, a mask that is 1
    everywhere, or the segments' numbers. Each is (1, T) of int64.
    """

    tokenizer: str = field(repr=False)  # the text of a tokenizer.json
    longest: int
    gives: Sequence[str] = ("ids",)
    encoder: "Tokenizer" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what is no tokenizer.

        Raises:
            BundleError: with one sentence that says what is wrong.
        """
        if type(self.longest) is not int or not 1 <= self.longest <= MOST_PIECES:
            raise BundleError(f"texts of {self.longest!r:.40} pieces make no sense; say 1 to {MOST_PIECES}")
        object.__setattr__(self, "gives", tuple(self.gives))
        if not self.gives or len(set(self.gives)) < len(self.gives) or not set(self.gives) <= set(GIVES):
            raise BundleError(f"a tokenizer gives {', '.join(GIVES)}, each once, not {self.gives!r:.60}")
        object.__setattr__(self, "encoder", _encoder(self.tokenizer, self.longest))
        if self.shortest > self.longest:
            raise BundleError(f"{self.longest} pieces leave no room between the marks at a text's ends")

    @property
    def shortest(self) -> int:
        """Pieces of the shortest text: the marks at its ends, and one."""
        return int(self.encoder.num_special_tokens_to_add(is_pair=False)) + 1

    @property
    def pieces(self) -> int:
        """One more than the largest number of a piece."""
        return max(self.encoder.get_vocab(with_added_tokens=True).values(), default=-1) + 1

    def arrays(self, data: bytes) -> tuple[Array, ...]:
        """Arrays (1, T), what is beyond `longest` pieces not being read; raises InputError."""
        text = read_text(data)
        with _refusing(InputError, "the bundle's tokenizer cannot read this text"):
            encoding = self.encoder.encode(text)
        if len(encoding.ids) < self.shortest:
            raise InputError(
                "the text holds nothing to read, only blanks or control characters; send a sentence"
            )
        return tuple(np.array([_given(encoding, one)], dtype=np.int64) for one in self.gives)

    def prepare(self, data: bytes) -> tuple["Tensor", ...]:
        """The same as tensors."""
        return as_tensors(self.arrays(data))


def _encoder(text: str, longest: int) -> "Tokenizer":
    from tokenizers import Tokenizer  # only here: whoever runs no text does not load it

    if len(text) > TOKENIZER_BYTES:
        raise BundleError(f"the tokenizer has {len(text)} characters, more than any needs")
    with _refusing(BundleError, "the tokenizer is none that this version reads"):
        encoder = Tokenizer.from_str(text)
        encoder.no_padding()
        encoder.enable_truncation(longest)
        encoder.encode("a word")  # what is wrong with its parts shows only when they are used
    return encoder


@contextmanager
def _refusing(kind: type[ModelError], what: str) -> Generator[None]:
    """Turn whatever the library raises into an error of ours."""
    try:
        yield
    except BaseException as error:
        # It raises nothing narrower than Exception, and where its Rust panics not even that.
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise kind(f"{what} ({error!s:.120})") from error
        raise


def _given(encoding: "Encoding", one: str) -> list[int]:
    match one:
        case "mask":
            return list(encoding.attention_mask)
        case "types":
            return list(encoding.type_ids)
        case _:
            return list(encoding.ids)


def read_text(data: bytes) -> str:
    """The text in a raw input; raises InputError for what cannot be answered."""
    if len(data) > 4 * LONGEST:  # no UTF-8 character is longer than four bytes
        raise InputError(_too_long(f"{len(data)} bytes"))
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"the text is not valid UTF-8 (byte {error.start}: {error.reason}); send it as UTF-8"
        ) from error
    if len(text) > LONGEST:
        raise InputError(_too_long(f"{len(text)} characters"))
    if not text.strip():
        raise InputError("the text is empty; send a sentence")
    return text


def _too_long(size: str) -> str:
    return f"the text has {size}; at most {LONGEST} characters are read: send it in parts"
