"""How small real activations get, and at what error, beside what is possible."""

from collections.abc import Iterator

import numpy as np
from _codec_arrays import hidden_states, ratio_and_error, relative, relu_maps
from _codec_timing import Effort, Row, row

from tierline_codecs import calibrate

STATES = "MiniLM states after blocks 1, 3, 5"
MAPS = "ReLU6 maps within EfficientNet-Lite0"


def rate_rows(effort: Effort) -> Iterator[Row]:
    """Yield ratios and errors."""
    count = 8 if effort.quick else 60
    states = hidden_states(count)
    yield from _pair(STATES, "step-zstd", states.values(), 7.0, 0.05)
    yield from _pair(STATES, "int8", states.values(), 3.9, 0.013)
    others = hidden_states(count, skip=1000)
    errors = []
    for layer, state in states.items():
        calibration = calibrate([others[layer]], outliers=2)
        errors.append(relative(state, calibration.decode(calibration.encode(state, "int8"))))
    claim = f"{STATES}: int8 error, calibrated on other snippets, two outlier channels"
    yield row(claim, errors, 0.0071, better="lower", unit="of the norm")
    yield from _pair(MAPS, "step-zstd", relu_maps(1 if effort.quick else 3), 15.0, 0.04)


def _pair(
    title: str, codec: str, arrays: Iterator[np.ndarray], ratio_reach: float, error_reach: float
) -> Iterator[Row]:
    """Yield a codec's ratio and error."""
    ratios, errors = zip(*(ratio_and_error(array, codec) for array in arrays), strict=True)
    yield row(f"{title}: {codec} ratio", ratios, ratio_reach, better="higher", unit="times")
    yield row(f"{title}: {codec} error", errors, error_reach, better="lower", unit="of the norm")


def gaussian_bound(states: np.ndarray, error: float) -> float:
    """Return the smallest bits an element that a Gaussian of this covariance takes at a relative error.

    By reverse water-filling over the covariance's eigenvalues (Cover and Thomas, Elements of Information
    Theory, 10.3.3).

    Args:
        states: (T, H).
        error: L2, relative.
    """
    variances = np.linalg.eigvalsh(np.cov(states.T)).clip(1e-12)
    target = error**2 * float(np.mean(states**2)) * states.shape[1]
    low, high = 0.0, float(variances.max())
    for _ in range(100):
        level = (low + high) / 2
        low, high = (level, high) if np.minimum(variances, level).sum() < target else (low, level)
    return float(np.maximum(0, 0.5 * np.log2(variances / low)).sum() / states.shape[1])
