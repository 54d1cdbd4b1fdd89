"""A mahimahi trace becomes what a message meets, window by window."""

import lzma
from pathlib import Path

import pytest

from tierline_replay import TraceError, parse_mahimahi, read_link_trace


def test_a_steady_link_has_its_rate_in_every_window() -> None:
    text = "\n".join(str(ms) for ms in range(1, 1001))  # a packet each millisecond, for a second

    trace = parse_mahimahi(text, name="steady")

    assert trace.bytes_per_second == 1_500_000
    assert len(trace.windows) == 10
    assert all(window.pause == 0 for window in trace.windows)
    assert all(window.bytes_per_second == pytest.approx(1.5e6, rel=0.02) for window in trace.windows)


def test_several_packets_in_one_millisecond_count_each() -> None:
    text = "\n".join(str(ms) for ms in range(1, 101) for _ in range(4))

    assert parse_mahimahi(text, name="fast").at(0.0).bytes_per_second == pytest.approx(6e6, rel=0.02)


def test_an_outage_makes_messages_wait_for_its_end_and_then_go_at_the_rate_found_there() -> None:
    packets = [*range(100), *range(1001, 1101)]  # nothing from 100 to 1000 ms

    trace = parse_mahimahi("\n".join(map(str, packets)), name="outage")

    assert trace.at(0.1).pause == pytest.approx(0.901)
    assert trace.at(0.5).pause == pytest.approx(0.501)
    assert trace.at(0.9).pause == pytest.approx(0.101)
    assert trace.at(0.5).bytes_per_second == pytest.approx(8 * 1500 / 0.007)
    assert trace.at(1.0).pause == 0


def test_a_sparse_link_is_rated_over_as_many_packets_as_one_activation_takes() -> None:
    text = "\n".join(str(ms) for ms in range(50, 5001, 50))  # 20 packets a second

    assert parse_mahimahi(text, name="sparse").at(1.0).bytes_per_second == pytest.approx(30_000, rel=0.15)


def test_a_trace_is_repeated_from_its_end() -> None:
    trace = parse_mahimahi("\n".join(["10"] * 20 + ["200"] * 10), name="short")

    assert [trace.at(seconds) for seconds in (0.2, 0.3, 20.1)] == [
        trace.at(0.0),
        trace.at(0.1),
        trace.at(0.1),
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no packet"),
        ("0\n0\n", "no packet"),
        ("1\n2\nthree\n", "line 3: 'three'"),
        ("1\n-2\n", "line 2: '-2'"),
        ("5\n4\n", "line 2: 4 comes after 5"),
        ("1\n9999999999999\n", "line 2"),
        ("1792412345\n1792412346\n", "line 1: 1792412345 ms is more than a day"),
        ("1\n86400001\n", "line 2: 86400001 ms .* cut it shorter"),
    ],
)
def test_what_is_no_trace_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(TraceError, match=complaint):
        parse_mahimahi(text, name="bad.up")


def test_a_trace_of_a_whole_day_is_taken() -> None:
    trace = parse_mahimahi("0\n86400000\n", name="day")

    assert len(trace.windows) == 864_000
    assert trace.at(86_399.85).pause == pytest.approx(0.2)


def test_files_are_read_plain_or_packed(tmp_path: Path) -> None:
    plain, packed = tmp_path / "link.up", tmp_path / "link.up.xz"
    plain.write_text("1\n100\n")
    packed.write_bytes(lzma.compress(b"1\n100\n"))

    assert read_link_trace(plain).windows == read_link_trace(packed).windows


@pytest.mark.parametrize("content", [None, b"\xfd7zXZ\0 cut short", b"1\n\xff\n"])
def test_a_file_that_cannot_be_read_is_one_sentence(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / ("bad.up.xz" if content and content.startswith(b"\xfd") else "bad.up")
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(TraceError, match=r"bad\.up") as caught:
        read_link_trace(path)
    assert "\n" not in str(caught.value)


def test_recorded_uplinks_have_the_means_that_are_known_of_them(traces: Path) -> None:
    folder = traces / "network" / "mahimahi"

    for name, megabits in (
        ("TMobile-LTE-short", 13.3),
        ("ATT-LTE-driving", 0.83),
        ("Verizon-EVDO-driving", 0.84),
    ):
        trace = read_link_trace(folder / f"{name}.up.xz")
        assert trace.bytes_per_second * 8e-6 == pytest.approx(megabits, rel=0.02)
        assert all(window.bytes_per_second > 0 and window.pause >= 0 for window in trace.windows)
