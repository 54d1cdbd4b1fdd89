"""Which codec a node uses when it sends: the plan's, or a better one that the budget allows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tierline_broker import CodecCost
from tierline_codecs import CALIBRATED, CODECS, CodecError, Limits, calibrate, encode
from tierline_models import CodecReport, Codings, PointBudget
from tierline_nodes.coding import DEFAULT, Coder, make_coder

RNG = np.random.default_rng(5)
HIDDEN = (RNG.standard_t(6, size=(1, 64, 384)) * np.exp(RNG.normal(size=384)) + RNG.normal(size=384)).astype(
    "f4"
)
CALIBRATION = calibrate([HIDDEN])
SLOW, FAST = 1e5, 5e7  # bytes a second
EACH = {"raw": 1e-10, "fp16": 8e-10, "int8": 4e-10}  # seconds a byte; all others 6e-9
COSTS = {
    codec: CodecCost(
        encode_call=0, encode_byte=EACH.get(codec, 6e-9), decode_call=0, decode_byte=EACH.get(codec, 6e-9)
    )
    for codec in (*CODECS, *CALIBRATED)
}


def report(codec: str) -> CodecReport:
    frame = CALIBRATION.encode(HIDDEN, "int8") if codec in CALIBRATED else encode(HIDDEN, codec)
    back = coder(1.0).decode(bytes(frame), 1, codec, Limits())
    error = float(np.linalg.norm(back - HIDDEN) / np.linalg.norm(HIDDEN))
    return CodecReport(error=error, frame_bytes=len(frame), changed=0.0, lost=0.0, cosine=1.0, samples=300)


def coder(budget: float, reports: dict[str, CodecReport] | None = None) -> Coder:
    points = () if reports is None else (PointBudget(layer=1, error_budget=budget, codecs=reports),)
    return make_coder(Codings(budgets=points, calibrations={1: CALIBRATION.to_arrays()}), COSTS)


REPORTS = {codec: report(codec) for codec in (*CODECS, *CALIBRATED)}


def test_as_the_link_degrades_the_codec_changes_and_says_so() -> None:
    one = coder(0.06, REPORTS)

    fast, slow = (one.encode(HIDDEN, 1, "int8", rate) for rate in (FAST, SLOW))

    assert (fast.codec, fast.noted) == ("int8", ())
    assert (slow.codec, slow.noted) == ("step-zstd", ("codec-refined",))
    assert len(slow.payload) < 0.6 * len(fast.payload)
    assert slow.array_bytes == HIDDEN.nbytes


@given(
    rate=st.floats(1e3, 1e10),
    budget=st.sampled_from([0.0, 0.001, 0.01, 0.03, 0.06, 0.2]),
    wanted=st.sampled_from([*CODECS, *CALIBRATED, "auto"]),
)
@settings(max_examples=80, deadline=None)
def test_whatever_is_asked_for_on_whatever_link_the_budget_is_kept(
    rate: float, budget: float, wanted: str
) -> None:
    one = coder(budget, REPORTS)

    coded = one.encode(HIDDEN, 1, wanted, rate)

    back = one.decode(coded.payload, 1, coded.codec, Limits())
    assert np.linalg.norm(back - HIDDEN) <= budget * np.linalg.norm(HIDDEN) * (1 + 1e-6)
    assert bool(coded.noted) == (coded.codec != wanted)


@pytest.mark.parametrize("rate", [SLOW, FAST, None])
def test_a_plan_that_wants_the_bits_gets_them(rate: float | None) -> None:
    coded = coder(0.06, REPORTS).encode(HIDDEN, 1, "raw", rate)

    assert coded.codec == "raw"
    assert coded.noted == ()


def test_without_an_estimate_of_the_link_the_plan_is_followed() -> None:
    assert coder(0.06, REPORTS).encode(HIDDEN, 1, "int8", None).codec == "int8"


@pytest.mark.parametrize(
    ("wanted", "reason"), [("auto", "codec-unknown"), ("int4", "codec-over-budget"), ("x", "codec-unknown")]
)
def test_what_cannot_be_used_is_replaced_and_counted(wanted: str, reason: str) -> None:
    coded = coder(0.06, REPORTS).encode(HIDDEN, 1, wanted, SLOW)

    assert (coded.codec, coded.noted) == ("step-zstd", (reason,))


def test_where_nothing_was_measured_the_plan_or_the_default_is_used() -> None:
    one = coder(0.06)

    assert one.encode(HIDDEN, 1, "int4", SLOW).codec == "int4"
    assert one.encode(HIDDEN, 1, "auto", SLOW).codec == DEFAULT


def test_a_calibration_is_used_only_where_the_plan_says_that_the_receiver_has_it() -> None:
    one = coder(0.01, REPORTS)

    planned = one.encode(HIDDEN, 1, "int8-calibrated", SLOW)
    alone = one.encode(HIDDEN, 1, "auto", SLOW)

    assert planned.codec == "int8-calibrated"
    assert alone.codec == "fp16"
    with pytest.raises(CodecError, match="no calibration after block 2"):
        one.decode(planned.payload, 2, "int8-calibrated", Limits())
    stranger = make_coder(Codings(calibrations={1: calibrate([HIDDEN * 2]).to_arrays()}), COSTS)
    with pytest.raises(CodecError, match="another calibration"):
        stranger.decode(planned.payload, 1, "int8-calibrated", Limits())


def test_values_that_a_codec_cannot_take_go_exactly() -> None:
    huge = HIDDEN * np.float32(1e5)

    coded = coder(0.06, REPORTS).encode(huge, 1, "fp16", None)

    assert (coded.codec, coded.noted) == ("raw", ("codec-refused",))
    with pytest.raises(CodecError):
        coder(0.06, REPORTS).encode(np.full_like(HIDDEN, np.nan), 1, "int8", None)


def test_what_frames_take_is_learnt_from_those_sent_and_now_and_then_for_the_others() -> None:
    one = coder(0.06, REPORTS)
    noise = RNG.uniform(-1, 1, size=HIDDEN.shape).astype("f4")

    codecs = {one.encode(noise, 1, "auto", SLOW).codec for _ in range(600)}

    assert codecs == {"step-zstd"}
    for codec in ("step-zstd", "step-zstd-2"):
        bits = 8 * len(encode(noise, codec)) / noise.size
        assert one.points[1].bits[codec] == pytest.approx(bits, rel=0.1)
