"""A bundle: one model, its card and labelled inputs, under one digest that is its identity on the wire."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from tierline_models.card import ModelCardData
from tierline_models.codings import NOTHING, Codings
from tierline_models.profiles.records import BundleProfile
from tierline_models.routing.cartography import Cartography

if TYPE_CHECKING:
    from tierline_models.onnx.model import OnnxModel
    from tierline_models.segmented import SegmentedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One raw input as a client would send it, with its true label where that is known."""

    data: bytes
    label: str | None


Sampler = Callable[[str, int], list[Sample]]
"""`(split, seed)` to samples: every sample of the split, in an order that the seed fixes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """A model that is ready to run."""

    name: str
    digest: str
    card: ModelCardData
    model: "SegmentedModel"
    example: bytes  # a raw input of typical size, to profile and probe with; needs no data set
    sampler: Sampler
    codings: Codings = NOTHING  # what coding does at its split points
    profile: BundleProfile | None = None  # what it costs on known classes of devices
    cartography: Cartography | None = None  # how hard samples are; None: they leave by confidence alone

    def samples(self, split: str, seed: int) -> list[Sample]:
        """Every sample of `train`, `validation` or `test`, in an order that `seed` fixes.

        Fetches the data set at the first call; raises FetchError where that fails.
        """
        return self.sampler(split, seed)


@dataclass(frozen=True, slots=True, kw_only=True)
class OnnxBundle:
    """A model that onnxruntime is ready to run."""

    name: str
    digest: str
    card: ModelCardData
    model: "OnnxModel"
    example: bytes
    codings: Codings = NOTHING
    cartography: Cartography | None = None


Served: TypeAlias = Bundle | OnnxBundle
"""What a node runs."""


def digest_of(name: str, architecture: int, files: Mapping[str, str]) -> str:
    """A bundle's identity: what it is called, the version of the code that runs it and what is in its files.

    Args:
        name: of the bundle.
        architecture: to be raised whenever the code computes something else from the same weights.
        files: sha256 in hex by file name, of all weights, tokenizers and manifests.
    """
    manifest = json.dumps([name, architecture, dict(sorted(files.items()))], separators=(",", ":"))
    return hashlib.sha256(manifest.encode()).hexdigest()
