"""The codec that is chosen where the link is what takes the time: at each split point, the smallest frame."""

import torch

from tierline_codecs import CALIBRATED, Calibration, decode, encode
from tierline_models import Bundle


def smallest(bundle: Bundle) -> dict[int, str]:
    """Return the codec of the smallest frame within the error budget, by split point."""
    found = {}
    for budget in bundle.codings.budgets:
        allowed = {c: one for c, one in budget.codecs.items() if one.error <= budget.error_budget}
        found[budget.layer] = min(allowed, key=lambda codec: allowed[codec].frame_bytes)
    return found


def crossed(bundle: Bundle, layer: int, codec: str, x: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Return an activation as it arrives in a codec, and the bytes of its frame."""
    if codec not in CALIBRATED:
        frame = encode(x, codec)
        return torch.from_numpy(decode(frame)), len(frame)
    calibration = Calibration.from_arrays(bundle.codings.calibrations[layer])
    frame = calibration.encode(x, CALIBRATED[codec])
    return torch.from_numpy(calibration.decode(frame)), len(frame)
