"""Where a bundle's profile is kept: beside its other files, or in this package for the built-in ones."""

from importlib.resources import files

from tierline_models.graphs.split import Split
from tierline_models.profiles.records import FILE, MOST_BYTES, BundleProfile, parse_profile


def profile_of(cut: Split) -> BundleProfile | None:
    """What stands beside a bundle; None if it was never profiled, or was not loaded from a bundle.

    Raises:
        BundleError: the file is damaged, forged, or of another bundle.
    """
    if cut.files is None or FILE not in cut.files:
        return None
    return parse_profile(cut.files.text(FILE, limit=MOST_BYTES), cut.digest, str(cut.files.folder / FILE))


def shipped_profile(name: str, digest: str) -> BundleProfile | None:
    """What this package brings for a built-in bundle; None if that is of another version, or nothing."""
    found = files("tierline_models").joinpath("data", f"{name}_profile.json")
    if not found.is_file():
        return None
    profile = parse_profile(found.read_bytes(), None, str(found))
    return profile if profile.bundle == digest else None
