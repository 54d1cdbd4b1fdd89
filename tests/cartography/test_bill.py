import numpy as np
import pytest

from tierline_cartography import Bill, RecordError, World, all_cloud_bill, bills, mean_bill

WORLD = World(
    block_seconds=(1.0, 2.0, 3.0, 4.0, 5.0, 6.0),
    exit_seconds=0.1,
    codec_seconds=0.01,
    frame_bytes=1000,
    input_bytes=100,
    slowness=(2.0, 1.0, 0.5),
    bytes_per_second=(100.0, 1000.0),
    delay_seconds=(0.5, 0.25),
    compute_watts=3.0,
    joules_per_byte=0.01,
)
EXITS = (2, 4, 6)


def test_a_sample_that_resumes_pays_each_block_once_and_a_frame_a_link():
    near, middle, far = bills(WORLD, EXITS, "resume")

    assert (near.mobile_seconds, near.edge_seconds, near.uplink_bytes) == (pytest.approx(6.2), 0.0, 0.0)
    assert near.latency_seconds == pytest.approx(6.2)
    assert near.joules == pytest.approx(3 * 6.2)
    assert middle.mobile_seconds == pytest.approx(2 * (3 + 0.1 + 0.01))
    assert middle.edge_seconds == pytest.approx(7 + 0.1 + 0.01)
    assert middle.uplink_bytes == 1000
    assert middle.joules == pytest.approx(3 * middle.mobile_seconds + 10)
    assert middle.latency_seconds == pytest.approx(6.22 + 7.11 + 2 * 0.5 + 10)
    assert far.edge_seconds == pytest.approx(7 + 0.1 + 0.02)
    assert far.cloud_seconds == pytest.approx((11 + 0.1 + 0.01) / 2)


def test_a_sample_that_restarts_pays_blocks_again_and_one_sent_straight_pays_one_tier():
    again = bills(WORLD, EXITS, "restart")[2]
    straight = bills(WORLD, EXITS, "direct")[2]

    assert again.edge_seconds == pytest.approx(10.1)
    assert again.cloud_seconds == straight.cloud_seconds == pytest.approx(21.1 / 2)
    assert (straight.mobile_seconds, straight.edge_seconds) == (0.0, 0.0)
    assert again.uplink_bytes == straight.uplink_bytes == 100
    assert straight.latency_seconds == pytest.approx(10.55 + 2 * 0.75 + 1 + 0.1)
    assert all_cloud_bill(WORLD) == straight


def test_the_mean_is_over_all_samples_and_seeds():
    found = [Bill(joules=1.0), Bill(joules=2.0), Bill(joules=4.0)]

    assert mean_bill(found, np.array([[0, 0], [1, 2]])) == Bill(joules=2.0)


def test_a_tier_without_an_exit_is_refused():
    with pytest.raises(RecordError, match="not one of each of 3 tiers"):
        bills(WORLD, (2, 4), "resume")
