"""What a node measures of its model at its start: a moment if a profile shipped, else all of it."""

import time

from tierline_models.bundle import Bundle, OnnxBundle, Served
from tierline_models.profile import ModelProfile, profile_model


def profile_at_start(bundle: Served) -> ModelProfile:
    """Seconds per block and exit on this machine (at most three seconds of work, of whatever model).

    Where the bundle brings a profile of this class of devices, that one scaled to this very machine; it has
    more passes behind it than there is time for at a start.
    """
    if isinstance(bundle, OnnxBundle):  # what ships was measured with torch
        return profile_model(bundle.model, bundle.example)
    return _of_torch(bundle)


def _of_torch(bundle: Bundle) -> ModelProfile:
    from tierline_models.profiles.device import device_class
    from tierline_models.profiles.scaling import scale
    from tierline_models.profiles.subject import subject_of

    known = bundle.profile.devices.get(device_class()) if bundle.profile is not None else None
    if known is None:
        return profile_model(bundle.model, bundle.example)
    started = time.perf_counter()
    subject = subject_of(bundle)
    preprocess_seconds = time.perf_counter() - started
    scaled = scale(known, subject)
    return ModelProfile(
        block_seconds=scaled.block_seconds,
        exit_seconds=scaled.exit_seconds,
        preprocess_seconds=preprocess_seconds,
        runs=scaled.passes,
        scaled_by=scaled.factor,
    )
