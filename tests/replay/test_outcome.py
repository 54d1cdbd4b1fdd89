"""Requests and their times."""

from tierline_replay import Sample, schedule

SAMPLES = [Sample(data=bytes([number]), label=None) for number in range(3)]


def test_every_input_is_sent_in_turn_at_its_time() -> None:
    requests = schedule(SAMPLES, (0.0, 1.0, 2.0, 4.0), all_cloud=False)

    assert [(one.due, one.sample.data[0]) for one in requests] == [(0.0, 0), (1.0, 1), (2.0, 2), (4.0, 0)]


def test_all_cloud_sends_the_same_inputs_in_between() -> None:
    requests = schedule(SAMPLES, (0.0, 1.0, 2.0), all_cloud=True)

    assert [one.due for one in requests] == [0.0, 0.5, 1.0, 1.5, 2.0, 2.5]
    assert [one.all_cloud for one in requests] == [False, True] * 3
    assert [one.index for one in requests] == [0, 0, 1, 1, 2, 2]
    assert all(a.sample == b.sample for a, b in zip(requests[::2], requests[1::2], strict=True))


def test_a_single_request_has_its_pair() -> None:
    assert [one.due for one in schedule(SAMPLES, (0.0,), all_cloud=True)] == [0.0, 0.0]
