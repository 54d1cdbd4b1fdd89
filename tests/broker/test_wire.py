import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tierline_broker import (
    TOPICS,
    Answer,
    Birth,
    Part,
    Pool,
    RecordError,
    Result,
    Route,
    Stage,
    Step,
    Telemetry,
    Tier,
    Work,
    pack,
    unpack,
)
from tierline_broker.wire import MAX_MESSAGE_BYTES, MAX_PAYLOAD_BYTES

TOPIC = "tierline/1/site/work/edge"


def full_work(work):
    stage = Stage(tier=Tier.EDGE, node="edge", layer=4, codec="int8-lz4")
    return work(
        b"\x00\xff" * 100,
        route=Route(stages=(stage,), easy=0.9, medium=0.7, tiers={Pool.EASY: Tier.MOBILE}),
        tier=Tier.CLOUD,
        steps=(Step(node="phone", tier=Tier.MOBILE, first=0, last=2, compute=0.01, wire=0.5),),
        best=Answer(output=(0.25, -1.5), label="positive", confidence=0.75, layer=2),
        part=Part(index=0, count=2, total=400),
        sent_clock=12.5,
    )


def code_of(data, record_type=Work):
    with pytest.raises(RecordError) as caught:
        unpack(TOPIC, data, record_type)
    return caught.value


def outcome(data, record_type):
    """Return the record, or the code of the only error there may be."""
    try:
        return unpack(TOPIC, data, record_type)
    except RecordError as error:
        return error.code


def test_a_record_comes_back_as_it_was_sent(work):
    sent = full_work(work)

    assert unpack(TOPIC, pack(sent), Work) == sent


def test_only_what_differs_from_the_defaults_travels(work):
    fields = msgpack.unpackb(pack(work(b"", sequence=7)))

    assert fields["v"] == 1
    assert "route" not in fields
    assert "payload" not in fields
    assert fields["sequence"] == 7


def test_fields_that_a_receiver_does_not_know_are_ignored(work):
    sent = work()
    fields = msgpack.unpackb(pack(sent)) | {"colour": "green", "nested": {"a": [1, 2]}}

    assert unpack(TOPIC, msgpack.packb(fields), Work) == sent


@pytest.mark.parametrize("version", [2, 0, "1", None, 1.5, [1], {"v": 1}])
def test_another_major_version_is_refused_and_says_whom_to_answer(work, version):
    sent = work()
    fields = msgpack.unpackb(pack(sent)) | {"v": version, "payload": 5}

    error = code_of(msgpack.packb(fields))

    assert error.code == "unsupported-version"
    assert (error.request_id, error.origin) == (sent.id, "phone")
    assert "update the older" in str(error)


def test_a_version_can_be_refused_without_knowing_whom_to_answer():
    error = code_of(msgpack.packb({"v": 9, "id": b"short", "origin": "Not A Name"}))

    assert (error.code, error.request_id, error.origin) == ("unsupported-version", None, None)


@pytest.mark.parametrize(
    "change",
    [
        {"layer": -1},
        {"layer": 1 << 40},
        {"deadline": float("nan")},
        {"deadline": -0.1},
        {"origin": "../../etc"},
        {"origin": "Upper"},
        {"id": b"fifteen bytes.."},
        {"steps": [{}] * 3},
        {"payload": None},
        {"tier": "moon"},
        {"part": {"index": 0, "count": 0, "total": 1}},
        {"attempt": 0},
    ],
)
def test_a_field_out_of_range_is_a_bad_record(work, change):
    fields = msgpack.unpackb(pack(work())) | change

    error = code_of(msgpack.packb(fields))

    assert error.code == "bad-record"
    assert next(iter(change)) in str(error)
    assert len(str(error)) < 400


def test_an_error_never_repeats_a_hostile_payload(work):
    fields = msgpack.unpackb(pack(work())) | {"layer": "A" * 50_000, "B" * 5_000: 1}

    assert len(str(code_of(msgpack.packb(fields)))) < 400


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"hello",
        msgpack.packb([1, 2, 3]),
        msgpack.packb("v"),
        msgpack.packb({1: 2}),
        msgpack.packb({"v": 1}) + b"\x00",
        b"\xdb\xff\xff\xff\xff",  # a string of 4 GB, it says
        b"\xdd\xff\xff\xff\xff",  # an array of four billion
        b"\xdf\xff\xff\xff\xff",  # a map of four billion
        b"\xc6\xff\xff\xff\xff",  # four gigabytes
        b"\x91" * 100_000,  # nested ever deeper
        b"\x81\xa1v\xa2\xff\xfe",  # text that is not UTF-8
        b"\xc7\x05\x01hello",  # an extension type
        b"\xd6\xff\x00\x00\x00\x00",  # a timestamp
    ],
)
def test_bytes_that_are_no_map_are_malformed(data):
    assert code_of(data).code == "malformed"


def test_a_cut_record_is_malformed(work):
    data = pack(full_work(work))

    for end in range(0, len(data), 7):
        assert code_of(data[:end]).code == "malformed"


def test_a_message_over_the_limit_is_refused_unread():
    assert code_of(b"\x00" * (MAX_MESSAGE_BYTES + 1)).code == "too-large"


def test_a_payload_over_its_limit_is_refused_and_one_at_the_limit_is_not(work):
    at_limit = work(bytes(MAX_PAYLOAD_BYTES))

    assert len(unpack(TOPIC, pack(at_limit), Work).payload) == MAX_PAYLOAD_BYTES
    assert code_of(pack(work(bytes(MAX_PAYLOAD_BYTES + 1)))).code == "malformed"


def test_a_result_without_an_answer_keeps_its_failure():
    sent = Result(id=b"0" * 16, node="edge", tier=Tier.EDGE, error={"code": "x", "message": "why"})

    assert unpack(TOPIC, pack(sent), Result).error == sent.error


def test_telemetry_with_enum_keys_comes_back(work):
    sent = Telemetry(
        node="edge",
        tier=Tier.EDGE,
        incarnation=1,
        queue=0,
        speed=1.0,
        busy=0.5,
        arrival_rate=2.0,
        pools={Pool.HARD: 3},
    )

    assert unpack(TOPIC, pack(sent), Telemetry) == sent


RECORD_TYPES = st.sampled_from([topic.record for topic in TOPICS])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=20)
    | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=300), RECORD_TYPES)
def test_arbitrary_bytes_raise_nothing_but_a_record_error(data, record_type):
    with pytest.raises(RecordError):
        unpack(TOPIC, data, record_type)


@given(st.data(), RECORD_TYPES)
def test_arbitrary_values_in_a_record_s_fields_raise_nothing_but_a_record_error(data, record_type):
    names = st.sampled_from(sorted(record_type.model_fields))
    fields = data.draw(st.dictionaries(names, VALUES, max_size=12)) | {"v": 1}

    found = outcome(msgpack.packb(fields), record_type)

    assert found == "bad-record" or unpack(TOPIC, pack(found), record_type) is not None


@given(st.integers(0, 400), st.binary(min_size=1, max_size=4))
def test_a_damaged_record_raises_nothing_but_a_record_error(position, damage):
    sent = pack(Birth(node="edge", tier=Tier.EDGE, state="ready", incarnation=5, models=("a" * 64,)))
    at = position % len(sent)
    found = outcome(sent[:at] + damage + sent[at + len(damage) :], Birth)

    assert isinstance(found, Birth) or found in {"malformed", "bad-record", "unsupported-version"}
