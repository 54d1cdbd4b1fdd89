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
    }
    assert all(hasattr(tierline_models, name) for name in tierline_models.__all__)
