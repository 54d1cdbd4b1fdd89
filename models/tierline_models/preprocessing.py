"""Preprocessing as data: what a bundle says of how a raw input becomes what its model takes."""

from dataclasses import asdict
from typing import Any, TypeAlias

from tierline_models.errors import BundleError
from tierline_models.pieces import TextInput
from tierline_models.pixels import ImageInput

Preprocessing: TypeAlias = TextInput | ImageInput
TOKENIZER = "tokenizer.json"  # the file that holds a TextInput's tokenizer


def preprocessing_to_json(chosen: Preprocessing | None) -> dict[str, Any] | None:
    """For the manifest; None for a model that takes its tensors as they are."""
    match chosen:
        case None:
            return None
        case ImageInput():
            return {"kind": "image", **asdict(chosen)}
        case TextInput():
            return {"kind": "text", "longest": chosen.longest, "gives": list(chosen.gives)}


def preprocessing_from_json(document: Any, tokenizer: str | None) -> Preprocessing | None:
    """From the manifest and the tokenizer's file; raises BundleError for all that we do not write."""
    if document is None:
        return None
    try:
        fields = dict(document)
        kind = fields.pop("kind")
        if kind == "image":
            return ImageInput(**fields)
        if kind == "text" and tokenizer is not None:
            return TextInput(tokenizer=tokenizer, **fields)
    except (KeyError, TypeError, ValueError) as error:
        raise BundleError(f"the manifest's preprocessing makes no sense: {error!r:.120}") from error
    raise BundleError(f"this version knows no preprocessing of kind {kind!r:.40}; update Tierline here")
