import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierline_codecs import (
    CODECS,
    CodecError,
    CodecSeconds,
    Device,
    break_even,
    choose,
    decode,
    encode,
    statistics_from,
    statistics_of,
)
from tierline_codecs.choice import SPEEDS, expect

RNG = np.random.default_rng(11)
HIDDEN = RNG.standard_t(6, size=(1, 128, 384)).astype("f4")
MAP = np.maximum(RNG.normal(size=(1, 64, 56, 56)), 0.4).astype("f4") - np.float32(0.4)
DEVICE = Device(encode_copy=20e9, decode_copy=20e9)
MEGABIT = 125_000.0
HIDDEN_LIKE, MAP_LIKE = statistics_of(HIDDEN), statistics_of(MAP)


def slower(device, times):
    return dataclasses.replace(
        device, encode_copy=device.encode_copy / times, decode_copy=device.decode_copy / times
    )


@pytest.mark.parametrize("array", [HIDDEN, MAP], ids=["hidden", "map"])
@pytest.mark.parametrize("codec", SPEEDS)
def test_what_is_expected_of_a_codec_is_about_what_it_does(array, codec):
    expected = expect(codec, MEGABIT, DEVICE, statistics_of(array))

    frame = encode(array, codec)
    error = np.linalg.norm(decode(frame) - array) / np.linalg.norm(array)
    assert 0.9 * len(frame) < expected.frame_bytes < 1.15 * len(frame)
    assert expected.error == pytest.approx(error, rel=0.35, abs=2e-4)


@given(
    st.floats(1e3, 1e10),
    st.floats(1e7, 1e11),
    st.floats(0, 1),
    st.sampled_from([statistics_of(HIDDEN), statistics_of(MAP)]),
)
def test_the_choice_keeps_to_its_budget_and_no_allowed_codec_is_sooner(link, copy, budget, tensor):
    device = Device(encode_copy=copy, decode_copy=copy)

    choice = choose(link, device, tensor, budget)

    assert choice.codec in CODECS
    assert choice.error <= budget
    for codec in SPEEDS:
        other = expect(codec, link, device, tensor)
        assert other.error > budget or other.seconds >= choice.seconds


@pytest.mark.parametrize(
    ("array", "link", "budget", "codec"),
    [
        (HIDDEN, MEGABIT, 0, "raw"),
        (HIDDEN, MEGABIT, 0.001, "fp16"),
        (HIDDEN, MEGABIT, 0.06, "step-zstd"),
        (HIDDEN, MEGABIT, 0.015, "int8"),
        (MAP, MEGABIT, 0.01, "int8-mask"),
        (MAP, MEGABIT, 0.04, "step-zstd"),
        (HIDDEN, 1e13, 0.06, "raw"),
    ],
)
def test_slow_links_get_the_smallest_frame_and_fast_ones_the_least_work(array, link, budget, codec):
    assert choose(link, DEVICE, statistics_of(array), budget).codec == codec


def test_a_codec_wins_below_its_break_even_and_loses_above_it():
    tensor = statistics_of(HIDDEN)
    edge = break_even("step-zstd", "int8", DEVICE, tensor)

    for link, wins in ((0.9 * edge, True), (1.1 * edge, False)):
        step, plain = (expect(codec, link, DEVICE, tensor).seconds for codec in ("step-zstd", "int8"))
        assert (step < plain) == wins
    assert break_even("step-zstd", "int8", slower(DEVICE, 10), tensor) == pytest.approx(edge / 10)
    assert break_even("int8", "step-zstd", DEVICE, tensor) == 0
    assert break_even("raw", "raw", DEVICE, tensor) == math.inf


LINKS = st.floats(1e3, 1e11)
COSTS = st.builds(
    CodecSeconds,
    encode_call=st.floats(0, 1e-3),
    encode_byte=st.floats(0, 1e-8),
    decode_call=st.floats(0, 1e-3),
    decode_byte=st.floats(0, 1e-8),
)
MEASURED = st.fixed_dictionaries(dict.fromkeys(SPEEDS, COSTS))


@given(LINKS, LINKS, MEASURED, MEASURED, st.floats(0, 1), st.sampled_from([HIDDEN_LIKE, MAP_LIKE]))
def test_a_slower_link_never_gets_a_bigger_frame(one, other, sender, receiver, budget, tensor):
    device = Device(sender=sender, receiver=receiver)

    slow, fast = (choose(link, device, tensor, budget) for link in sorted((one, other)))

    assert slow.frame_bytes <= fast.frame_bytes * (1 + 1e-9)


@given(LINKS, MEASURED, MEASURED, st.floats(0, 1))
def test_measured_seconds_decide_where_both_ends_measured(link, sender, receiver, budget):
    device = Device(sender=sender, receiver=receiver)

    choice = choose(link, device, HIDDEN_LIKE, budget)

    size = 4 * HIDDEN_LIKE.elements
    here, there = sender[choice.codec], receiver[choice.codec]
    coding = here.encode_call + there.decode_call + size * (here.encode_byte + there.decode_byte)
    assert choice.seconds == pytest.approx(coding + choice.frame_bytes / link)
    for codec in SPEEDS:
        other = expect(codec, link, device, HIDDEN_LIKE)
        assert other.error > budget or other.seconds >= choice.seconds


def test_statistics_from_measured_frames_expect_just_these_frames():
    frames, errors = {"raw": 4064.0, "int8": 1100.0}, {"int8": 0.01}

    tensor = statistics_from(1000, frames, errors)

    for codec, size in frames.items():
        assert expect(codec, 1e6, DEVICE, tensor).frame_bytes == pytest.approx(size)
    assert choose(1e6, DEVICE, tensor, 0.005).codec == "raw"
    with pytest.raises(CodecError, match="no codec keeps"):
        choose(1e6, DEVICE, statistics_from(1000, {"int8": 1100.0}, errors), 0.005)


def test_a_codec_of_which_nothing_is_known_is_named():
    tensor = statistics_from(1000, {"raw": 4064, "int8-lz4": 1064}, {"int8-lz4": 0.01})

    with pytest.raises(CodecError, match="nothing says what int8-lz4 takes; measure it on both devices"):
        choose(1e6, Device(), tensor, 0.05)


def test_values_beyond_fp16_rule_it_out():
    assert "fp16" not in statistics_of(HIDDEN * np.float32(1e5)).by_codec


@pytest.mark.parametrize("array", [np.ones(3, "i4"), np.ones((0, 3), "f4"), np.array([np.nan], "f4")])
def test_what_has_no_statistics_is_refused(array):
    with pytest.raises(CodecError):
        statistics_of(array)


@pytest.mark.parametrize(
    ("link", "budget"), [(0, 0.1), (-1, 0.1), (math.nan, 0.1), (1e6, -1), (1e6, math.nan)]
)
def test_what_makes_no_sense_is_refused(link, budget):
    with pytest.raises(CodecError):
        choose(link, DEVICE, statistics_of(HIDDEN), budget)


def test_the_worked_example_of_the_documentation_adds_up():
    tensor = statistics_from(10_000, {"int8": 10_100.0, "step-zstd": 5_900.0}, {})
    each = {"int8": 0.05e-3, "step-zstd": 0.25e-3}
    costs = {
        codec: CodecSeconds(encode_call=half, encode_byte=0, decode_call=half, decode_byte=0)
        for codec, half in each.items()
    }
    device = Device(sender=costs, receiver=costs)

    assert break_even("step-zstd", "int8", device, tensor) == pytest.approx(84e6 / 8)
    for link, int8, step in ((20e6 / 8, 4.14e-3, 2.86e-3), (1e9 / 8, 0.18e-3, 0.55e-3)):
        assert expect("int8", link, device, tensor).seconds == pytest.approx(int8, rel=0.01)
        assert expect("step-zstd", link, device, tensor).seconds == pytest.approx(step, rel=0.01)
