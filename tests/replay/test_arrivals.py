"""When requests come, from a file or drawn."""

from pathlib import Path

import pytest

from tierline_replay import TraceError, parse_arrivals, poisson, read_arrivals
from tierline_replay.arrivals import stretched


def test_times_count_from_the_first_and_other_columns_do_not_matter() -> None:
    text = "app,arrival_s,tokens\na,10.5,3\nb,12,4\nc,11.25,5\n"

    assert parse_arrivals(text, name="f", count=10, seed=0) == (0.0, 0.75, 1.5)


def test_no_more_times_are_taken_than_asked_for() -> None:
    assert parse_arrivals("arrival_s\n1\n2\n3\n", name="f", count=2, seed=0) == (0.0, 1.0)


def test_counts_put_so_many_requests_into_each_second() -> None:
    times = parse_arrivals("3\n0\n2\n", name="f", count=100, seed=1)

    assert len(times) == 5
    assert times == tuple(sorted(times))
    assert times[2] < 1 < 2 - times[0] - 1 + times[3] + 1
    assert times == parse_arrivals("3\n0\n2\n", name="f", count=100, seed=1)
    assert times != parse_arrivals("3\n0\n2\n", name="f", count=100, seed=2)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "no request"),
        ("arrival_s\n", "no request"),
        ("0\n0\n", "no request"),
        ("arrival_s\n1\nsoon\n", "line 3: 'soon'"),
        ("arrival_s\n-1\n", "line 2"),
        ("arrival_s\nnan\n", "line 2"),
        ("end_s,x\n1,2\n", "line 1"),
        ("2\n1.5\n", "line 2: '1.5'"),
        ("99999999999\n", "line 1"),
    ],
)
def test_what_is_no_arrivals_file_is_refused_with_its_line(text: str, complaint: str) -> None:
    with pytest.raises(TraceError, match=complaint):
        parse_arrivals(text, name="bad.csv", count=10, seed=0)


def test_drawn_times_have_the_rate_and_are_the_seeds() -> None:
    times = poisson(2000, 6.0, seed=3)

    assert times[0] == 0
    assert times == tuple(sorted(times))
    assert 2000 / times[-1] == pytest.approx(6.0, rel=0.1)
    assert times == poisson(2000, 6.0, seed=3)


def test_a_pattern_can_be_stretched_to_a_length() -> None:
    assert stretched((0.0, 1.0, 4.0), 8.0) == (0.0, 2.0, 8.0)
    assert stretched((0.0,), 8.0) == (0.0,)


def test_recorded_arrivals_are_read(traces: Path) -> None:
    code = read_arrivals(traces / "arrivals" / "azure_llm_2023_code.csv.xz", count=10_000, seed=0)
    tweets = read_arrivals(traces / "arrivals" / "twitter_2018_per_second_3days.csv.xz", count=500, seed=0)

    assert (len(code), code[:3]) == (8819, (0.0, 0.052, 0.0982))
    assert len(tweets) == 500
    assert 500 / tweets[-1] == pytest.approx(52, rel=0.15)
