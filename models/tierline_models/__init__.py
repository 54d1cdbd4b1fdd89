"""Where a model can be cut, what each cut costs, and running any contiguous range of its blocks."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tierline_models.agreement import label_by_model
    from tierline_models.arrays import Array
    from tierline_models.budgets import Limit, activations, measure_budgets
    from tierline_models.bundle import Bundle, OnnxBundle, Sample, Served
    from tierline_models.card import ExitData, ModelCardData, PointData, PoolData, RouteData, SettingData
    from tierline_models.catalogue import load_bundle, load_served
    from tierline_models.codings import (
        CodecReport,
        Codings,
        PointBudget,
        codings_from_files,
        codings_to_files,
        write_codings,
    )
    from tierline_models.errors import (
        ActivationError,
        BundleError,
        FetchError,
        InputError,
        ModelError,
        ShapeError,
        SplitError,
    )
    from tierline_models.graphs.cut import split
    from tierline_models.graphs.load import load
    from tierline_models.graphs.points import SplitExit, SplitPoint, TensorSpec
    from tierline_models.graphs.save import attach
    from tierline_models.graphs.split import Split
    from tierline_models.graphs.timing import BlockSeconds
    from tierline_models.heads import ImageHead, PooledHead, TokenHead
    from tierline_models.lora import LoraLinear, adapt
    from tierline_models.minilm import Block, Embedding
    from tierline_models.onnx.compare import onnx_differences
    from tierline_models.pictures import photographs
    from tierline_models.pieces import TextInput
    from tierline_models.pixels import ImageInput
    from tierline_models.pretrained import pretrained_encoder, pretrained_tokenizer
    from tierline_models.profile import ModelProfile, profile_model
    from tierline_models.profiles.device import device_class, one_thread
    from tierline_models.profiles.measure import BlockCosts, block_costs, measure_device, sizes_to_measure
    from tierline_models.profiles.records import (
        BundleProfile,
        CodecFigure,
        DeviceProfile,
        SizeProfile,
        read_profile,
    )
    from tierline_models.profiles.scaling import Scaled, scale
    from tierline_models.profiles.start import profile_at_start
    from tierline_models.profiles.stored import profile_of, shipped_profile
    from tierline_models.profiles.subject import Subject, subject_of
    from tierline_models.routing.cartography import Cartography, ExitChart, LegChart
    from tierline_models.routing.document import cartography_from_json, cartography_to_json
    from tierline_models.routing.router import Judged, Spoken, gain_features, judge
    from tierline_models.segmented import Carried, SegmentedModel
    from tierline_models.served import ExitAnswer, ServedModel
    from tierline_models.snippets import Snippet, Source, load_ratings, load_snippets, normalise

__all__ = [
    "ActivationError",
    "Array",
    "Block",
    "BlockCosts",
    "BlockSeconds",
    "Bundle",
    "BundleError",
    "BundleProfile",
    "Carried",
    "Cartography",
    "CodecFigure",
    "CodecReport",
    "Codings",
    "DeviceProfile",
    "Embedding",
    "ExitAnswer",
    "ExitChart",
    "ExitData",
    "FetchError",
    "ImageHead",
    "ImageInput",
    "InputError",
    "Judged",
    "LegChart",
    "Limit",
    "LoraLinear",
    "ModelCardData",
    "ModelError",
    "ModelProfile",
    "OnnxBundle",
    "PointBudget",
    "PointData",
    "PoolData",
    "PooledHead",
    "RouteData",
    "Sample",
    "Scaled",
    "SegmentedModel",
    "Served",
    "ServedModel",
    "SettingData",
    "ShapeError",
    "SizeProfile",
    "Snippet",
    "Source",
    "Split",
    "SplitError",
    "SplitExit",
    "SplitPoint",
    "Spoken",
    "Subject",
    "TensorSpec",
    "TextInput",
    "TokenHead",
    "activations",
    "adapt",
    "attach",
    "block_costs",
    "cartography_from_json",
    "cartography_to_json",
    "codings_from_files",
    "codings_to_files",
    "device_class",
    "gain_features",
    "judge",
    "label_by_model",
    "load",
    "load_bundle",
    "load_ratings",
    "load_served",
    "load_snippets",
    "measure_budgets",
    "measure_device",
    "normalise",
    "one_thread",
    "onnx_differences",
    "photographs",
    "pretrained_encoder",
    "pretrained_tokenizer",
    "profile_at_start",
    "profile_model",
    "profile_of",
    "read_profile",
    "scale",
    "shipped_profile",
    "sizes_to_measure",
    "split",
    "subject_of",
    "write_codings",
]

# Each name is loaded at its first use: a node without torch loads the modules that do without it.
_NAMES = {
    "agreement": "label_by_model",
    "budgets": "Limit activations measure_budgets",
    "arrays": "Array",
    "bundle": "Bundle OnnxBundle Sample Served",
    "card": "ExitData ModelCardData PointData PoolData RouteData SettingData",
    "catalogue": "load_bundle load_served",
    "codings": "CodecReport Codings PointBudget codings_from_files codings_to_files write_codings",
    "errors": "ActivationError BundleError FetchError InputError ModelError ShapeError SplitError",
    "graphs.cut": "split",
    "graphs.load": "load",
    "graphs.points": "SplitExit SplitPoint TensorSpec",
    "graphs.save": "attach",
    "graphs.split": "Split",
    "graphs.timing": "BlockSeconds",
    "heads": "ImageHead PooledHead TokenHead",
    "lora": "LoraLinear adapt",
    "minilm": "Block Embedding",
    "onnx.compare": "onnx_differences",
    "pictures": "photographs",
    "pieces": "TextInput",
    "pixels": "ImageInput",
    "pretrained": "pretrained_encoder pretrained_tokenizer",
    "profile": "ModelProfile profile_model",
    "profiles.device": "device_class one_thread",
    "profiles.measure": "BlockCosts block_costs measure_device sizes_to_measure",
    "profiles.records": "BundleProfile CodecFigure DeviceProfile SizeProfile read_profile",
    "profiles.scaling": "Scaled scale",
    "profiles.start": "profile_at_start",
    "profiles.stored": "profile_of shipped_profile",
    "profiles.subject": "Subject subject_of",
    "routing.cartography": "Cartography ExitChart LegChart",
    "routing.document": "cartography_from_json cartography_to_json",
    "routing.router": "Judged Spoken gain_features judge",
    "segmented": "Carried SegmentedModel",
    "served": "ExitAnswer ServedModel",
    "snippets": "Snippet Source load_ratings load_snippets normalise",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    """Load a public name from the module that it is at home in."""
    if name not in _HOMES:
        raise AttributeError(f"module 'tierline_models' has no attribute {name!r}")
    return getattr(import_module(f"tierline_models.{_HOMES[name]}"), name)
