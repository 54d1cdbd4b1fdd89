"""What `tierline nodes` makes of exit reports."""

from typing import Any

import pytest

from tests.scheduler.conftest import Population, profile, telemetry
from tierline.exits import exits_of, exits_table, mix_of
from tierline_broker import ExitCard, ExitReport, Pool, Tier

CARD = Population(blocks=6, exits=(2, 4, 6)).card.model_copy(
    update={"exit_cards": (ExitCard(layer=2, confidence=0.8, overclaim=0.02),)}
)
SEEN = ExitReport(
    layer=2, pools={Pool.EASY: 6, Pool.HARD: 2}, confidence=6.0, answered=6, checked=4, agreed=3,
    claimed=3.2, granted=2.8,
)  # fmt: skip
ONWARD = ExitReport(layer=4, answered=2)


def told(*exits: ExitReport) -> Any:
    return telemetry("phone", Tier.MOBILE, exits=exits)


def test_counts_become_shares_and_drift_is_beyond_what_was_measured() -> None:
    first, second = exits_of(told(SEEN, ONWARD), profile("phone", Tier.MOBILE, CARD))

    assert mix_of(told(SEEN, ONWARD)) == {"easy": 0.75, "medium": 0.0, "hard": 0.25}
    assert (first["judged"], first["confidence"], first["answered_share"]) == (8, 0.75, 0.75)
    assert first["agreed_share"] == 0.75
    assert first["drift"] == pytest.approx((3.2 - 2.8) / 4 - 0.02)
    assert (second["confidence"], second["agreed_share"], second["drift"]) == (None, None, None)


def test_without_samples_or_a_profile_nothing_is_made_up() -> None:
    assert mix_of(told()) is None
    assert exits_of(told(ExitReport(layer=2)), None)[0]["answered_share"] is None
    assert exits_of(told(SEEN), None)[0]["drift"] is None


def test_the_table_has_a_line_for_each_exit_that_saw_samples() -> None:
    rows = [{"node": "phone", "exits": exits_of(told(SEEN, ONWARD, ExitReport(layer=6)), None)}]
    table = exits_table(rows)

    assert table is not None
    assert table.row_count == 2
    assert exits_table([{"node": "phone", "exits": []}]) is None
