"""Where a model can be cut, what each cut costs, and running any contiguous range of its blocks."""

from tierline_models.agreement import label_by_model
from tierline_models.bundle import Bundle, Sample
from tierline_models.card import ModelCardData, PointData, RouteData
from tierline_models.catalogue import load_bundle
from tierline_models.errors import (
    ActivationError,
    BundleError,
    FetchError,
    InputError,
    ModelError,
    ShapeError,
    SplitError,
)
from tierline_models.graphs.load import load
from tierline_models.graphs.points import SplitPoint, TensorSpec
from tierline_models.graphs.split import Split, split
from tierline_models.graphs.timing import BlockSeconds
from tierline_models.pictures import photographs
from tierline_models.profile import ModelProfile, profile_model
from tierline_models.segmented import ExitAnswer, SegmentedModel

__all__ = [
    "ActivationError",
    "BlockSeconds",
    "Bundle",
    "BundleError",
    "ExitAnswer",
    "FetchError",
    "InputError",
    "ModelCardData",
    "ModelError",
    "ModelProfile",
    "PointData",
    "RouteData",
    "Sample",
    "SegmentedModel",
    "ShapeError",
    "Split",
    "SplitError",
    "SplitPoint",
    "TensorSpec",
    "label_by_model",
    "load",
    "load_bundle",
    "photographs",
    "profile_model",
    "split",
]
