import tierline_models


def test_public_names_are_sorted_and_pinned():
    assert tierline_models.__all__ == sorted(tierline_models.__all__)
    assert set(tierline_models.__all__) == {
        "ActivationError",
        "BlockSeconds",
        "Bundle",
        "BundleError",
        "ExitAnswer",
        "FetchError",
        "ImageHead",
        "ImageInput",
        "InputError",
        "ModelCardData",
        "ModelError",
        "ModelProfile",
        "PointData",
        "PooledHead",
        "RouteData",
        "Sample",
        "SegmentedModel",
        "ShapeError",
        "Split",
        "SplitError",
        "SplitExit",
        "SplitPoint",
        "TensorSpec",
        "TextInput",
        "TokenHead",
        "attach",
        "label_by_model",
        "load",
        "load_bundle",
        "photographs",
        "profile_model",
        "split",
    }
    assert all(hasattr(tierline_models, name) for name in tierline_models.__all__)
