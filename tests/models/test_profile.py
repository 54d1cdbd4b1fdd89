import time

from tierline_models import Bundle, profile_model


def test_every_block_and_the_exits_are_measured_within_the_budget(text_bundle: Bundle):
    start = time.monotonic()
    profile = profile_model(text_bundle.model, text_bundle.example, budget_seconds=0.5)
    elapsed = time.monotonic() - start

    assert len(profile.block_seconds) == 6
    assert all(0 < seconds < 0.5 for seconds in profile.block_seconds)
    assert 0 < profile.exit_seconds < min(profile.block_seconds) * 2
    assert profile.runs >= 3
    assert elapsed < 3


def test_a_node_with_few_blocks_measures_those(text_bundle: Bundle):
    profile = profile_model(text_bundle.model.load_range(1), text_bundle.example, budget_seconds=0)

    assert len(profile.block_seconds) == 1
    assert profile.exit_seconds == 0.0
    assert profile.runs == 3
